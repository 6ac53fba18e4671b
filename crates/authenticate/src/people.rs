//! People with browsers: the link they sign in with, the login that follows, and what each form must show.
//!
//! A browser holds 256 random bits in a cookie. Here is their SHA-256, on the disk: a login outlives a restart, and what
//! is stored cannot be turned into a login. A form carries a value that follows from the cookie and that nobody learns
//! without it or the page.

use std::sync::Arc;

use chancery_model::problem::{self, Row};
use chancery_model::{
    Change, Draft, Hash, Kind, Login, LoginId, PasskeyId, Person, Role, Secret, Span, Timestamp, Who, canonical,
};
use chancery_store::passkeys::NotCounted;
use chancery_store::{StoreError, Tx, logins, persons};
use chancery_webauthn::NotAccepted;

use crate::authenticator::Authenticator;
use crate::jose::{encode, sha256};

/// A use is made durable if the last durable one is so long ago.
const TOUCH: Span = Span::minutes(1);
/// What is hashed with the cookie for the forms of a login.
const FORM: &[u8] = b"chancery form ";

/// Why somebody is not signed in, or may not do what they asked.
#[derive(Debug, thiserror::Error)]
pub enum PeopleError {
    /// No such link, or used, replaced, expired, or its person is suspended.
    #[error("it is wrong, was used, was replaced by a newer one, or expired")]
    Link,
    /// There is no such session, or it is over, or not one that they answer for.
    #[error("{0}")]
    Session(String),
    /// The login is older than what is asked for needs.
    #[error("the login is older than five minutes")]
    Stale,
    /// No passkey was shown in this login, or too long ago.
    #[error("no passkey was shown in the last five minutes")]
    Unproved,
    /// A passkey, or what it signed, that is not accepted.
    #[error("{0}")]
    Passkey(#[from] NotAccepted),
    /// There is none, or it is somebody else's.
    #[error("no such passkey is registered here for this person")]
    NoPasskey,
    /// More than anybody needs.
    #[error("there are {0} already: remove one first")]
    TooMany(usize),
    /// The first administrator's link, from somewhere else than the host.
    #[error("it makes the first administrator, and this browser is not on the server's host")]
    NotHere,
    /// The vault failed.
    #[error("{0}")]
    Vault(String),
    /// The store failed.
    #[error("{0}")]
    Store(StoreError),
}

impl PeopleError {
    /// Its row of the error table.
    pub fn row(&self) -> Row {
        match self {
            Self::Link => problem::BAD_LINK,
            Self::Session(_) => problem::NOT_THEIRS,
            Self::Stale => problem::NOT_SIGNED_IN,
            Self::Unproved => problem::SHOW_PASSKEY,
            Self::Passkey(_) | Self::TooMany(_) => problem::BAD_PASSKEY,
            Self::NoPasskey => problem::NO_PASSKEY,
            Self::NotHere => problem::NOT_FROM_HOST,
            Self::Vault(_) => problem::INTERNAL,
            Self::Store(_) => problem::STORE_FAILED,
        }
    }
}

impl From<StoreError> for PeopleError {
    fn from(e: StoreError) -> Self {
        let e = match e.refusal::<Self>() {
            Ok(own) => return own,
            Err(e) => e,
        };
        match e.refusal::<NotCounted>() {
            Ok(NotCounted::Answered) => Self::Passkey(NotAccepted::Challenge),
            Ok(NotCounted::Gone) => Self::NoPasskey,
            Ok(NotCounted::Counter) => Self::Passkey(NotAccepted::Counter),
            Err(e) => Self::Store(e),
        }
    }
}

/// A person who is signed in at this moment.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// Who.
    pub person: Arc<Person>,
    /// The login's name in entries.
    pub login: LoginId,
    /// When they signed in, however that was.
    pub since: Timestamp,
    /// When a passkey of theirs was last shown in this login, with their device having verified them.
    pub proved_at: Option<Timestamp>,
    /// What every form of this login carries.
    pub form_key: String,
}

impl SignedIn {
    /// When they were last known to be there: they signed in, or showed a passkey.
    pub fn present_at(&self) -> Timestamp {
        self.proved_at.map_or(self.since, |proved| proved.max(self.since))
    }

    /// Were they known to be there within this time?
    pub fn is_fresh(&self, now: Timestamp, within: Span) -> bool {
        now < self.present_at() + within
    }

    /// Did they show a passkey within this time?
    pub fn is_proved(&self, now: Timestamp, within: Span) -> bool {
        self.proved_at.is_some_and(|proved| now < proved + within)
    }

    /// Does a form carry what our page gave it?
    pub fn sent(&self, form_key: &str) -> bool {
        // Hashes are compared, so that the time it takes tells nothing.
        sha256(form_key.as_bytes()) == sha256(self.form_key.as_bytes())
    }
}

impl Authenticator {
    /// For whom a sign-in link is. Looking does not use it up.
    pub async fn link_is_for(&self, code: &str) -> Result<Arc<Person>, PeopleError> {
        let hash = logins::code_hash(code);
        let found = logins::link(&self.store, &hash, self.clock.now()).await?;
        let slot = found.and_then(|id| self.directory.person(&id)).ok_or(PeopleError::Link)?;
        let person = slot.person();
        if person.is_active() { Ok(person) } else { Err(PeopleError::Link) }
    }

    /// May a link be opened from there? The first administrator's opens on the server's host only; from anywhere once
    /// an administrator has a passkey.
    pub async fn link_opens(&self, person: &Person, from_host: bool) -> Result<(), PeopleError> {
        let open = from_host || !person.has(Role::Admin) || self.is_claimed().await?;
        if open { Ok(()) } else { Err(PeopleError::NotHere) }
    }

    /// Uses a link: what the browser has to hold from now on. The login it held before, if any, is over.
    pub async fn sign_in(&self, code: &str, before: Option<&str>) -> Result<Secret, PeopleError> {
        let (now, hash) = (self.clock.now(), logins::code_hash(code));
        let person = self.link_is_for(code).await?;
        let cookie = encode(&self.random.bytes::<32>());
        let login = Login {
            id: LoginId::new(now, &*self.random),
            hash: sha256(cookie.as_bytes()),
            person: person.id.clone(),
            epoch: person.epoch,
            created_at: now,
            used_at: now,
            proved_at: None,
            ended_at: None,
        };
        let draft = draft(now, &person, &login.id, "sign_in", None);
        let before: Option<Hash> = before.map(|cookie| sha256(cookie.as_bytes()));
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                if logins::redeem_link(tx, &hash, now).await?.as_ref() != Some(&login.person) {
                    return Err(StoreError::refuse(PeopleError::Link));
                }
                begin(tx, &login, before, PeopleError::Link).await
            })
        });
        write.await?;
        Ok(Secret::new(cookie))
    }

    /// Who holds this cookie, if that is good for anything at this moment. It is a use of the login.
    pub async fn signed_in(&self, cookie: &str) -> Result<Option<SignedIn>, PeopleError> {
        let now = self.clock.now();
        let Some((login, person)) = self.login(cookie, now).await? else { return Ok(None) };
        if now >= login.used_at + TOUCH {
            let (draft, id) = (draft(now, &person, &login.id, "touch", None), login.id.clone());
            let write = self.store.write(draft, move |tx| Box::pin(async move { logins::touch(tx, &id, now).await }));
            write.await?;
        }
        let form_key = encode(&sha256(&[FORM, cookie.as_bytes()].concat()));
        Ok(Some(SignedIn { person, login: login.id, since: login.created_at, proved_at: login.proved_at, form_key }))
    }

    /// Whose login it is, if it lasts. That it is looked at does not keep it from ending.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn still_signed_in(&self, cookie: &str) -> Result<Option<Arc<Person>>, PeopleError> {
        Ok(self.login(cookie, self.clock.now()).await?.map(|(_, person)| person))
    }

    async fn login(&self, cookie: &str, now: Timestamp) -> Result<Option<(Login, Arc<Person>)>, PeopleError> {
        let found = logins::get(&self.store, &sha256(cookie.as_bytes())).await?;
        let Some(login) = found else { return Ok(None) };
        let person = self.directory.person(&login.person).map(|slot| slot.person());
        Ok(person.filter(|person| login.admits(person, now)).map(|person| (login, person)))
    }

    /// Ends the login of this cookie.
    pub async fn sign_out(&self, cookie: &str) -> Result<(), PeopleError> {
        let Some(signed_in) = self.signed_in(cookie).await? else { return Ok(()) };
        let (now, hash) = (self.clock.now(), sha256(cookie.as_bytes()));
        let draft = draft(now, &signed_in.person, &signed_in.login, "sign_out", None);
        let write = self.store.write(draft, move |tx| Box::pin(async move { logins::end(tx, &hash, now).await }));
        write.await?;
        Ok(())
    }
}

/// Adds a login in the place of the one before, or refuses.
pub(crate) async fn begin(
    tx: &mut Tx,
    login: &Login,
    before: Option<Hash>,
    refusal: PeopleError,
) -> Result<(), StoreError> {
    let now = login.created_at;
    // As they are at this moment: they may have been suspended since the page was shown.
    let person = persons::get(&mut *tx, &login.person).await?;
    if !person.is_some_and(|person| login.admits(&person, now)) {
        return Err(StoreError::refuse(refusal));
    }
    if let Some(before) = before {
        logins::end(tx, &before, now).await?;
    }
    logins::insert(tx, login).await
}

pub(crate) fn draft(
    now: Timestamp,
    person: &Person,
    login: &LoginId,
    verb: &str,
    passkey: Option<&PasskeyId>,
) -> Draft {
    let mut after = serde_json::json!({ "person": person.id, "epoch": person.epoch });
    if let Some(passkey) = passkey {
        after["passkey"] = passkey.to_string().into();
    }
    let after = canonical(&after).ok();
    let change = Change {
        noun: "login".into(),
        id: login.to_string(),
        verb: verb.into(),
        after: after.map(|json| String::from_utf8_lossy(&json).into_owned()),
    };
    let who = Who { human: Some(person.name.clone()), ..Who::default() };
    Draft { kind: Kind::Change, at: now, who, change: Some(change), ..Draft::default() }
}
