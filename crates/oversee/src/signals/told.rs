//! What an entry of the log tells others: the events of CAEP 1.0, about agents and about people.
//!
//! Whoever took a token of ours knows its `sub`, `client_id` and `sid`. So a person or an agent is named by our issuer and
//! that `sub`; a session by all three together. A person whose name is an e-mail address is named by that, which others
//! know too. What others told us is not told onward: its transmitter does that, and two servers would tell each other for
//! ever.

use chancery_model::{Agent, Change, Entry, Finding, Person, PersonId, Session, SessionId, Severity};
use chancery_store::{Store, StoreError, agents, blueprints, persons, sessions};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::kinds;
use super::receiver::ACTOR;
use super::subject::{complex, iss_sub, opaque};

/// How many sessions are climbed to the root of a chain.
const LINKS: usize = 100;

/// One event, for everybody who asked for its kind.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Told {
    pub(super) kind: &'static str,
    pub(super) subject: Value,
    pub(super) event: Map<String, Value>,
}

/// Where names are looked up.
pub(super) struct Teller<'s> {
    pub(super) store: &'s Store,
    pub(super) issuer: &'s str,
}

/// What an entry changed, and its event in the making.
struct About<'e> {
    entry: &'e Entry,
    change: &'e Change,
}

impl Teller<'_> {
    /// The events of one entry; most have none.
    pub(super) async fn tell(&self, entry: &Entry) -> Result<Vec<Told>, StoreError> {
        let Some(change) = &entry.draft.change else { return Ok(Vec::new()) };
        if entry.draft.who.human.as_deref().is_some_and(|actor| actor.starts_with(ACTOR)) {
            return Ok(Vec::new());
        }
        let about = About { entry, change };
        let told = match (change.noun.as_str(), change.verb.as_str()) {
            ("session", verb) => self.session(&about, verb).await?,
            ("login", "sign_in") => about.login(kinds::SESSION_ESTABLISHED, self.login_person(&about).await?),
            ("login", "sign_out") => about.login(kinds::SESSION_REVOKED, self.login_person(&about).await?),
            ("agent", verb) => self.agent(&about, verb).await?,
            ("blueprint", "suspend") => self.blueprint(&about).await?,
            ("person", "suspend") => about.read::<Person>().map(|person| {
                about.revoked(self.person(&person), "the person was suspended", "Your account was suspended.")
            }),
            ("grant", "create" | "revoke") => self.grant(&about).await?,
            ("finding", verb @ ("open" | "close")) => self.finding(&about, verb == "open").await?,
            ("containment", verb @ ("contain" | "lift")) => return self.containment(&about, verb == "contain").await,
            _ => None,
        };
        Ok(told.into_iter().collect())
    }

    fn person(&self, person: &Person) -> Value {
        match person.name.contains('@') {
            true => json!({"format": "email", "email": person.name}),
            false => iss_sub(self.issuer, person.id.as_str()),
        }
    }

    fn identity(&self, id: &str) -> Value {
        iss_sub(self.issuer, id)
    }

    async fn session(&self, about: &About<'_>, verb: &str) -> Result<Option<Told>, StoreError> {
        let kind = match verb {
            "end" => kinds::SESSION_REVOKED,
            "open" | "open task" | "hand over" => kinds::SESSION_ESTABLISHED,
            "continue" => kinds::SESSION_PRESENTED,
            "confirm_presence" => kinds::ASSURANCE_LEVEL_CHANGE,
            _ => return Ok(None),
        };
        let session = match about.read::<Session>() {
            Some(session) => Some(session),
            None => self.session_named(&about.change.id).await?,
        };
        let Some(session) = session else { return Ok(None) };
        let subject = self.about_session(&session).await?;
        let mut event = about.event();
        match verb {
            "end" => about.because(&mut event, "the session was ended", "The session was ended."),
            "confirm_presence" => {
                // RFC 8176, section 2: `user` is a test of user presence.
                event.insert("namespace".into(), "RFC8176".into());
                event.insert("current_level".into(), "user".into());
                event.insert("change_direction".into(), "increase".into());
            }
            _ => {}
        }
        Ok(Some(Told { kind, subject, event }))
    }

    async fn session_named(&self, id: &str) -> Result<Option<Session>, StoreError> {
        match id.parse::<SessionId>() {
            Ok(id) => sessions::get(self.store, &id).await,
            Err(_) => Ok(None),
        }
    }

    /// As our tokens name it: in whose name (`sub`), who acts (`client_id`), in which session (`sid`).
    async fn about_session(&self, session: &Session) -> Result<Value, StoreError> {
        let user = match &session.human {
            Some(human) => self.person_with(human).await?,
            None => self.identity(self.root(session).await?.agent.as_str()),
        };
        let application = self.identity(session.agent.as_str());
        Ok(complex([("user", user), ("application", application), ("session", opaque(session.id.as_str()))]))
    }

    async fn person_with(&self, id: &PersonId) -> Result<Value, StoreError> {
        let person = persons::get(self.store, id).await?;
        Ok(person.map_or_else(|| self.identity(id.as_str()), |person| self.person(&person)))
    }

    async fn root(&self, session: &Session) -> Result<Session, StoreError> {
        let mut root = session.clone();
        for _ in 0..LINKS {
            let Some(parent) = &root.parent else { break };
            let Some(above) = sessions::get(self.store, parent).await? else { break };
            root = above;
        }
        Ok(root)
    }

    async fn login_person(&self, about: &About<'_>) -> Result<Option<Value>, StoreError> {
        #[derive(Deserialize)]
        struct Login {
            person: PersonId,
        }
        match about.read::<Login>() {
            Some(login) => self.person_with(&login.person).await.map(Some),
            None => Ok(None),
        }
    }

    async fn agent(&self, about: &About<'_>, verb: &str) -> Result<Option<Told>, StoreError> {
        let (what, change, reason) = match verb {
            "suspend" => ("", "", "the agent was suspended"),
            "enrol" => ("public-key", "update", "the agent proved possession of a key"),
            "new_secret" => ("password", "create", "the agent was given a shared secret"),
            "revoke_secrets" => ("password", "revoke", "the agent's shared secrets were revoked"),
            "set_certificate" => ("x509", "create", "a certificate was registered for the agent"),
            "remove_certificate" => ("x509", "delete", "the agent's certificate was removed"),
            _ => return Ok(None),
        };
        let Some(agent) = self.agent_named(&about.change.id).await? else { return Ok(None) };
        let subject = self.identity(agent.id.as_str());
        if verb == "suspend" {
            return Ok(Some(about.revoked(subject, reason, "The agent was stopped.")));
        }
        let mut event = about.event();
        event.insert("credential_type".into(), what.into());
        event.insert("change_type".into(), change.into());
        about.because(&mut event, reason, "A credential of the agent changed.");
        Ok(Some(Told { kind: kinds::CREDENTIAL_CHANGE, subject, event }))
    }

    async fn agent_named(&self, name: &str) -> Result<Option<Agent>, StoreError> {
        match name.parse() {
            Ok(id) => agents::get(self.store, &id).await,
            Err(_) => agents::by_name(self.store, name).await,
        }
    }

    async fn blueprint(&self, about: &About<'_>) -> Result<Option<Told>, StoreError> {
        let found = blueprints::by_name(self.store, &about.change.id).await?;
        let subject = found.map(|found| complex([("group", opaque(found.id.as_str()))]));
        let stopped = "the blueprint was suspended, and with it all its instances";
        Ok(subject.map(|subject| about.revoked(subject, stopped, "The agent was stopped.")))
    }

    /// What a grant gives stands in no claim of a token, but it is what the token is worth.
    async fn grant(&self, about: &About<'_>) -> Result<Option<Told>, StoreError> {
        let Some(grant) = about.read::<chancery_model::Grant>() else { return Ok(None) };
        let name = grant.principal.strip_prefix("Agent::\"").and_then(|name| name.strip_suffix('"'));
        let Some(name) = name else { return Ok(None) };
        let Some(agent) = self.agent_named(name).await? else { return Ok(None) };
        let state = if grant.revoked_at.is_some() { "revoked" } else { "given" };
        let said = json!({"id": grant.id, "template": grant.template, "resource": grant.resource, "state": state});
        let mut event = about.event();
        event.insert("claims".into(), json!({"grant": said}));
        about.because(&mut event, &format!("a grant was {state}"), "The agent's rights changed.");
        let subject = self.identity(agent.id.as_str());
        Ok(Some(Told { kind: kinds::TOKEN_CLAIMS_CHANGE, subject, event }))
    }

    async fn finding(&self, about: &About<'_>, open: bool) -> Result<Option<Told>, StoreError> {
        let Some(finding) = about.read::<Finding>() else { return Ok(None) };
        let Some(agent) = self.agent_named(&finding.subject).await? else { return Ok(None) };
        let level = match finding.severity {
            Severity::Low => "LOW",
            Severity::Medium => "MEDIUM",
            Severity::High => "HIGH",
        };
        let (now, before) = if open { (level, None) } else { ("LOW", Some(level)) };
        let subject = self.identity(agent.id.as_str());
        Ok(Some(about.risk(subject, "AGENT", (now, before), &finding.rule.to_uppercase().replace('-', "_"))))
    }

    /// The kill switch: whatever it covers is revoked, and its risk is high until it is lifted.
    async fn containment(&self, about: &About<'_>, contained: bool) -> Result<Vec<Told>, StoreError> {
        #[derive(Deserialize)]
        struct Containment {
            scope: String,
            #[serde(default)]
            subject: String,
        }
        let Some(said) = about.read::<Containment>() else { return Ok(Vec::new()) };
        let Some((subject, principal)) = self.contained(&said.scope, &said.subject).await? else {
            return Ok(Vec::new());
        };
        let levels = if contained { ("HIGH", None) } else { ("LOW", Some("HIGH")) };
        let mut told = Vec::new();
        if contained {
            told.push(about.revoked(subject.clone(), "it was contained", "It was stopped."));
        }
        told.push(about.risk(subject, principal, levels, "CONTAINMENT"));
        Ok(told)
    }

    async fn contained(&self, scope: &str, subject: &str) -> Result<Option<(Value, &'static str)>, StoreError> {
        let found = match scope {
            "agent" => self.agent_named(subject).await?.map(|agent| (self.identity(agent.id.as_str()), "AGENT")),
            "instance" => {
                // A running copy of an agent, or an agent that was made from a blueprint.
                let (name, copy) = subject.split_once('/').map_or((subject, None), |(name, copy)| (name, Some(copy)));
                self.agent_named(name).await?.map(|agent| {
                    let of = self.identity(agent.id.as_str());
                    let of = copy.map_or(of.clone(), |copy| complex([("user", of), ("device", opaque(copy))]));
                    (of, "AGENT")
                })
            }
            "session" => match self.session_named(subject).await? {
                Some(session) => Some((self.about_session(&session).await?, "SESSION")),
                None => None,
            },
            "blueprint" => blueprints::by_name(self.store, subject)
                .await?
                .map(|found| (complex([("group", opaque(found.id.as_str()))]), "GROUP")),
            // The agents of an owner, those who use a tool or a server: no subject of a token, but a group of agents.
            "owner" | "tool" | "server" => Some((complex([("group", opaque(&format!("{scope}:{subject}")))]), "GROUP")),
            "everything" => Some((complex([("tenant", opaque(self.issuer))]), "TENANT")),
            _ => None,
        };
        Ok(found)
    }
}

impl About<'_> {
    /// What the noun is after the change.
    fn read<T: for<'d> Deserialize<'d>>(&self) -> Option<T> {
        serde_json::from_str(self.change.after.as_deref()?).ok()
    }

    /// The members that every event has (CAEP 1.0, section 2).
    fn event(&self) -> Map<String, Value> {
        Map::from_iter([
            ("event_timestamp".to_owned(), self.entry.draft.at.seconds().into()),
            ("initiating_entity".to_owned(), self.initiator().into()),
        ])
    }

    /// Who began it. Whoever changes something by the admin API is an administrator, whoever they are.
    fn initiator(&self) -> &'static str {
        let who = &self.entry.draft.who;
        match who.human.as_deref() {
            Some("system") => "system",
            Some(rule) if rule.starts_with("rule:") => "policy",
            _ if self.change.noun == "login" || self.change.verb == "confirm_presence" => "user",
            _ if who.agent.is_some() => "user",
            Some(_) => "admin",
            None => "system",
        }
    }

    fn because(&self, event: &mut Map<String, Value>, admin: &str, user: &str) {
        let said = self.entry.draft.why.reason.as_deref().filter(|reason| !reason.is_empty());
        let admin = said.map_or_else(|| admin.to_owned(), |reason| format!("{admin}: {reason}"));
        event.insert("reason_admin".into(), json!({"en": admin}));
        event.insert("reason_user".into(), json!({"en": user}));
    }

    fn revoked(&self, subject: Value, admin: &str, user: &str) -> Told {
        let mut event = self.event();
        self.because(&mut event, admin, user);
        Told { kind: kinds::SESSION_REVOKED, subject, event }
    }

    fn login(&self, kind: &'static str, person: Option<Value>) -> Option<Told> {
        let subject = complex([("user", person?), ("session", opaque(&self.change.id))]);
        let mut event = self.event();
        if kind == kinds::SESSION_REVOKED {
            self.because(&mut event, "the person signed out", "You signed out.");
        }
        Some(Told { kind, subject, event })
    }

    fn risk(&self, subject: Value, principal: &str, (now, before): (&str, Option<&str>), reason: &str) -> Told {
        let mut event = self.event();
        event.insert("principal".into(), principal.into());
        event.insert("current_level".into(), now.into());
        if let Some(before) = before {
            event.insert("previous_level".into(), before.into());
        }
        event.insert("risk_reason".into(), reason.into());
        Told { kind: kinds::RISK_LEVEL_CHANGE, subject, event }
    }
}
