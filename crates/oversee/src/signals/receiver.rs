//! The receiver: what others tell about people, and what is done about it.
//!
//! An event can end something, or open a finding. It can begin and allow nothing: whoever forges one, with the keys of a
//! transmitter that the operator named, can stop people and no more. So that even that is bounded, a transmitter that
//! ends things for many people in a short time is held up, and a human decides about the rest.

use std::collections::BTreeMap;
use std::sync::Arc;

use chancery_fetch::Fetcher;
use chancery_model::{
    Clock, Draft, Finding, HeldId, HeldSignal, Person, PersonState, Random, Severity, SignalAction, Span, Timestamp,
};
use chancery_store::{Store, StoreError, Tx, accounts, findings, logins, persons, signals};
use serde_json::{Value, json};

use super::push::word;
use super::{Heard, Judges, NotTaken, kinds};
use crate::entry::Act;

/// How the entries of this room name who acts: `signal:` and the transmitter.
pub(super) const ACTOR: &str = "signal:";
/// A transmitter ended things for too many people at once.
pub(super) const MASS: &str = "signals-mass";
/// A transmitter says that somebody is at risk.
const RISK: &str = "signals-risk";

/// Settings about one transmitter.
#[derive(Clone, Debug)]
pub struct ReceiveConfig {
    /// The issuers whose accounts it may speak of, letter by letter.
    pub accounts: Vec<String>,
    /// Whether it may speak of people by their e-mail addresses.
    pub emails: bool,
    /// Members of complex subjects with which an event is about less than the person, and left alone.
    pub critical: Vec<String>,
    /// What is done.
    pub reactions: Reactions,
    /// For so many people it may end something …
    pub most_people: u64,
    /// … within this time.
    pub within: Span,
    /// How long the names of its events are remembered: longer than an event is taken.
    pub remember: Span,
    /// How its events are fetched; nothing where it sends them.
    pub collect: Option<Collect>,
    /// The name of the stored secret that a push must show.
    pub push_secret: Option<String>,
}

/// What is done about an event.
#[derive(Clone, Copy, Debug)]
pub struct Reactions {
    /// A session was revoked (CAEP 1.0, section 3.1).
    pub session_revoked: SignalAction,
    /// A credential was revoked, deleted or changed (section 3.3).
    pub credential_change: SignalAction,
    /// An account was disabled or purged (RISC 1.0, sections 2.2 and 2.4).
    pub account_disabled: SignalAction,
    /// The risk of somebody became high (CAEP 1.0, section 3.8).
    pub risk_high: SignalAction,
    /// A device is not compliant any more (section 3.5).
    pub device_not_compliant: SignalAction,
}

/// How events of a transmitter are fetched (RFC 8936).
#[derive(Clone, Debug)]
pub struct Collect {
    /// The address that is polled.
    pub endpoint: String,
    /// The name of the stored secret: a token, or the secret of our client there.
    pub secret: String,
    /// Where tokens are had for that secret, and as which client; nothing where it is a token.
    pub client: Option<(String, String)>,
    /// How often.
    pub every: Span,
}

/// Acts on what others tell.
pub struct Receiver {
    pub(super) issuer: String,
    pub(super) transmitters: BTreeMap<String, ReceiveConfig>,
    pub(super) store: Store,
    pub(super) judges: Arc<dyn Judges>,
    pub(super) fetcher: Arc<Fetcher>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
}

/// What an event asks for.
struct Wanted {
    action: SignalAction,
    /// Severity of a finding, if it becomes one.
    severity: Severity,
    reason: Option<String>,
}

/// An event on its way into the store.
struct Coming {
    transmitter: String,
    heard: Heard,
    wanted: Wanted,
    now: Timestamp,
}

impl Receiver {
    /// A receiver over this store. `issuer` is ours: others may name people by what we call them.
    pub fn new(
        issuer: String,
        transmitters: BTreeMap<String, ReceiveConfig>,
        (store, fetcher): (Store, Arc<Fetcher>),
        judges: Arc<dyn Judges>,
        (clock, random): (Arc<dyn Clock>, Arc<dyn Random>),
    ) -> Arc<Self> {
        Arc::new(Self { issuer, transmitters, store, judges, fetcher, clock, random })
    }

    /// Is there a transmitter of this name that pushes? If so, the name of the stored secret that it has to show.
    pub fn push_secret(&self, transmitter: &str) -> Option<&str> {
        self.transmitters.get(transmitter)?.push_secret.as_deref()
    }

    /// Takes one security event token. What it asks for is durable when this returns. One that comes again is taken and
    /// does nothing: a transmitter may not know that it arrived (RFC 8935, section 2).
    pub async fn take(&self, transmitter: &str, token: &str) -> Result<(), NotTaken> {
        let heard = match self.judges.judge(transmitter, token).await {
            Ok(heard) => heard,
            Err(refused) => return Err(self.refused(transmitter, refused).await),
        };
        if self.came_before(transmitter, &heard).await? {
            return Ok(());
        }
        let Some(config) = self.transmitters.get(transmitter) else {
            return Err(NotTaken { code: Some("access_denied"), why: "there is no such transmitter".to_owned() });
        };
        let person = self.person(config, &heard.subject).await?;
        let wanted = wanted(config, &heard);
        let coming = Coming { transmitter: transmitter.to_owned(), heard, wanted, now: self.clock.now() };
        match person.filter(|_| coming.wanted.action != SignalAction::Ignore) {
            Some(person) => self.act(config, coming, person).await,
            None => self.note(config, coming).await,
        }
    }

    /// The same name with other content is another event, which one of them has no right to.
    async fn came_before(&self, transmitter: &str, heard: &Heard) -> Result<bool, NotTaken> {
        match signals::received(&self.store, transmitter, &heard.jti).await? {
            None => Ok(false),
            Some(digest) if digest == heard.digest => Ok(true),
            Some(_) => Err(twice()),
        }
    }

    /// A refusal is an entry too, as far as the fault is not ours.
    async fn refused(&self, transmitter: &str, refused: NotTaken) -> NotTaken {
        let Some(code) = refused.code else { return refused };
        let actor = format!("{ACTOR}{transmitter}");
        let act = Act { actor: &actor, noun: "signal", id: transmitter, verb: "refuse", reason: None };
        let draft = act.draft(self.clock.now(), &json!({"code": code, "why": word(&refused.why)}));
        match self.store.append(draft).await {
            Ok(_) => refused,
            Err(e) => e.into(),
        }
    }

    /// An event about nobody here, or about which nothing is to be done.
    async fn note(&self, config: &ReceiveConfig, coming: Coming) -> Result<(), NotTaken> {
        let draft = coming.draft("signal", &coming.heard.jti, "receive", &json!({"event": coming.heard.kind}));
        let remember = config.remember;
        let write =
            self.store.write(draft, move |tx| Box::pin(async move { coming.remember(tx, remember, None).await }));
        write.await?;
        Ok(())
    }

    async fn act(&self, config: &ReceiveConfig, coming: Coming, person: Person) -> Result<(), NotTaken> {
        match coming.wanted.action {
            SignalAction::Ignore => self.note(config, coming).await,
            SignalAction::Finding => self.find(config, coming, person).await,
            SignalAction::End | SignalAction::Suspend => self.end(config, coming, person).await,
        }
    }

    async fn find(&self, config: &ReceiveConfig, coming: Coming, person: Person) -> Result<(), NotTaken> {
        let finding = coming.finding(RISK, &person.name, coming.wanted.severity, coming.evidence(&person.name));
        let id = format!("{RISK}/{}", person.name);
        let draft = coming.draft("finding", &id, "open", &json!(finding));
        let remember = config.remember;
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                coming.remember(tx, remember, None).await?;
                findings::open(tx, &finding).await
            })
        });
        write.await?;
        Ok(())
    }

    /// Ends what there is of a person, or holds the event where too much was ended already.
    async fn end(&self, config: &ReceiveConfig, coming: Coming, person: Person) -> Result<(), NotTaken> {
        let since = coming.now - config.within;
        let others = signals::people_since(&self.store, &coming.transmitter, since, person.id.as_str()).await?;
        if others >= config.most_people {
            return self.hold(config, coming, person).await;
        }
        let (limit, remember) = (config.most_people, config.remember);
        let after = ended(person.clone(), coming.wanted.action);
        let draft = coming.draft("person", &person.name, verb(coming.wanted.action), &json!(after));
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                // Between the look and this commit others may have been ended: the limit is exact.
                let id = person.id.as_str();
                if signals::people_since(&mut *tx, &coming.transmitter, since, id).await? >= limit {
                    return Err(busy());
                }
                coming.remember(tx, remember, Some(id)).await?;
                end_in(tx, &person, &after, coming.now).await
            })
        });
        write.await?;
        Ok(())
    }

    async fn hold(&self, config: &ReceiveConfig, coming: Coming, person: Person) -> Result<(), NotTaken> {
        let held = HeldSignal {
            id: HeldId::new(coming.now, &*self.random),
            transmitter: coming.transmitter.clone(),
            event: kinds::short(&coming.heard.kind).to_owned(),
            person: person.name,
            action: coming.wanted.action,
            reason: coming.wanted.reason.clone(),
            received_at: coming.now,
            decided_at: None,
            decided_by: None,
            applied: None,
        };
        let evidence = format!(
            "transmitter `{}` ended things for {} people within {} minutes: what it sends beyond that waits for a \
             human, see `chancery signal held`",
            coming.transmitter,
            config.most_people,
            config.within.as_seconds() / 60
        );
        let finding = coming.finding(MASS, &coming.transmitter, Severity::High, evidence);
        let draft = coming.draft("held_signal", held.id.as_str(), "hold", &json!(held));
        let remember = config.remember;
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                coming.remember(tx, remember, None).await?;
                signals::hold(tx, &held).await?;
                findings::open(tx, &finding).await
            })
        });
        write.await?;
        Ok(())
    }

    /// Who a subject is here. Only accounts of the issuers that the transmitter may speak of, and what we call people.
    async fn person(&self, config: &ReceiveConfig, subject: &Value) -> Result<Option<Person>, StoreError> {
        let text = |name: &str| subject.get(name).and_then(Value::as_str).unwrap_or_default();
        match text("format") {
            "complex" => {
                let less = config.critical.iter().any(|member| subject.get(member).is_some());
                match subject.get("user").filter(|user| !less && user.get("format") != Some(&"complex".into())) {
                    Some(user) => Box::pin(self.person(config, user)).await,
                    None => Ok(None),
                }
            }
            "email" => self.by_email(config, text("email")).await,
            "account" => self.by_email(config, text("uri").strip_prefix("acct:").unwrap_or_default()).await,
            "iss_sub" if text("iss") == self.issuer => match text("sub").parse() {
                Ok(id) => persons::get(&self.store, &id).await,
                Err(_) => Ok(None),
            },
            "iss_sub" => self.by_account(config, text("iss"), text("sub")).await,
            _ => Ok(None),
        }
    }

    async fn by_email(&self, config: &ReceiveConfig, email: &str) -> Result<Option<Person>, StoreError> {
        if !config.emails || !email.contains('@') || email.contains(char::is_control) {
            return Ok(None);
        }
        match persons::by_name(&self.store, email).await? {
            None => persons::by_name(&self.store, &email.to_lowercase()).await,
            found => Ok(found),
        }
    }

    async fn by_account(&self, config: &ReceiveConfig, issuer: &str, name: &str) -> Result<Option<Person>, StoreError> {
        if !config.accounts.iter().any(|known| known == issuer) || name.contains(char::is_control) {
            return Ok(None);
        }
        match accounts::get(&self.store, issuer, name).await? {
            Some(account) => persons::get(&self.store, &account.person).await,
            None => Ok(None),
        }
    }
}

impl Coming {
    /// The entry of what is done about it.
    fn draft(&self, noun: &str, id: &str, verb: &str, after: &Value) -> Draft {
        let actor = format!("{ACTOR}{}", self.transmitter);
        let reason = self.wanted.reason.as_deref();
        let detail = format!("{} `{}`", kinds::short(&self.heard.kind), word(&self.heard.jti));
        let draft = Act { actor: &actor, noun, id, verb, reason }.draft(self.now, after);
        Draft { detail: Some(detail), ..draft }
    }

    /// From now on it came before.
    async fn remember(&self, tx: &mut Tx, how_long: Span, person: Option<&str>) -> Result<(), StoreError> {
        if signals::received(&mut *tx, &self.transmitter, &self.heard.jti).await?.is_some() {
            return Err(StoreError::refuse(twice()));
        }
        signals::forget_received(tx, &self.transmitter, self.now - how_long).await?;
        signals::receive(tx, &self.transmitter, (&self.heard.jti, self.heard.digest), self.now, person).await
    }

    fn evidence(&self, person: &str) -> String {
        let event = kinds::short(&self.heard.kind);
        let said = self.wanted.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        format!("transmitter `{}` says {event} about `{person}`{said}", self.transmitter)
    }

    fn finding(&self, rule: &str, subject: &str, severity: Severity, evidence: String) -> Finding {
        Finding {
            rule: rule.to_owned(),
            subject: subject.to_owned(),
            severity,
            evidence,
            owasp: "NHI1".to_owned(),
            opened_at: self.now,
            closed_at: None,
        }
    }
}

impl Default for Reactions {
    fn default() -> Self {
        Self {
            session_revoked: SignalAction::End,
            credential_change: SignalAction::End,
            account_disabled: SignalAction::End,
            risk_high: SignalAction::Finding,
            device_not_compliant: SignalAction::Finding,
        }
    }
}

/// What an event asks for, by its type and content. A type that is not known asks for nothing.
fn wanted(config: &ReceiveConfig, heard: &Heard) -> Wanted {
    let text = |name: &str| heard.event.get(name).and_then(Value::as_str).unwrap_or_default();
    let reactions = &config.reactions;
    let in_family = |family: &str| heard.kind.strip_prefix(family);
    let (action, severity) = match (in_family(kinds::CAEP), in_family(kinds::RISC)) {
        (Some("session-revoked"), _) | (_, Some("sessions-revoked")) => (reactions.session_revoked, Severity::Medium),
        (Some("credential-change"), _) if text("change_type") != "create" => {
            (reactions.credential_change, Severity::Medium)
        }
        (_, Some("account-credential-change-required" | "credential-compromise")) => {
            (reactions.credential_change, Severity::High)
        }
        (_, Some("account-disabled" | "account-purged")) => (reactions.account_disabled, Severity::High),
        (Some("risk-level-change"), _) if text("current_level") == "HIGH" => (reactions.risk_high, Severity::High),
        (Some("device-compliance-change"), _) if text("current_status") == "not-compliant" => {
            (reactions.device_not_compliant, Severity::Medium)
        }
        _ => (SignalAction::Ignore, Severity::Low),
    };
    Wanted { action, severity, reason: reason(heard) }
}

/// What the transmitter says to administrators, in the first of its languages, English before others.
fn reason(heard: &Heard) -> Option<String> {
    let said = match heard.event.get("reason_admin")? {
        Value::String(text) => text.as_str(),
        Value::Object(languages) => {
            languages.get("en").or_else(|| languages.values().next()).and_then(Value::as_str)?
        }
        _ => return None,
    };
    Some(word(said)).filter(|text| !text.is_empty())
}

pub(super) fn verb(action: SignalAction) -> &'static str {
    if action == SignalAction::Suspend { "suspend" } else { "end" }
}

/// The person after everything of theirs was ended.
pub(super) fn ended(person: Person, action: SignalAction) -> Person {
    match action {
        SignalAction::Suspend if person.is_active() => {
            Person { state: PersonState::Suspended, ..person.with_everything_ended() }
        }
        _ => person.with_everything_ended(),
    }
}

pub(super) async fn end_in(tx: &mut Tx, before: &Person, after: &Person, now: Timestamp) -> Result<(), StoreError> {
    if persons::get(&mut *tx, &before.id).await?.as_ref() != Some(before) {
        return Err(busy());
    }
    logins::void_links(tx, &after.id, now).await?;
    persons::update(tx, after).await
}

/// Somebody else changed the same a moment ago: the transmitter sends it again.
fn busy() -> StoreError {
    StoreError::refuse(NotTaken { code: None, why: "the person changed a moment ago".to_owned() })
}

fn twice() -> NotTaken {
    NotTaken { code: Some("invalid_request"), why: "its `jti` was another event's".to_owned() }
}
