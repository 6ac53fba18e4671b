//! People: who may sign in, and in whose names agents may act.

use chancery_model::{Person, PersonId, PersonState, Random, Secret, Span, Timestamp};
use chancery_store::logins::{Link, code_hash};
use chancery_store::{StoreError, logins, persons};

use crate::code::{LONG, secret};
use crate::registrar::{By, Registrar};
use crate::{RegisterError, fields};

/// How long a sign-in link is good.
const LIFETIME: Span = Span::minutes(15);
/// How codes of links begin, so that a leaked one is recognised.
const PREFIX: &str = "chy-link-";

/// The code of a sign-in link. It can be shown this once; only its hash is kept.
#[derive(Debug)]
pub struct SignInCode {
    /// The code: the last part of the link's path.
    pub code: Secret,
    /// From then on it is worth nothing.
    pub expires_at: Timestamp,
}

impl SignInCode {
    fn new(now: Timestamp, random: &dyn Random) -> Self {
        Self { code: secret::<LONG>(PREFIX, random), expires_at: now + LIFETIME }
    }
}

impl Registrar {
    /// Adds a person. They can sign in once they are given a link.
    pub async fn add_person(&self, name: &str, display: Option<&str>, actor: &str) -> Result<Person, RegisterError> {
        let now = self.clock.now();
        let person = Person {
            id: PersonId::new(now, &*self.random),
            name: fields::person("name", name)?,
            display: display.map(|text| fields::said("display", text)).transpose()?,
            state: PersonState::Active,
            epoch: 1,
            created_at: now,
        };
        let draft = By { actor, verb: "add", reason: None }.draft(now, "person", &person.name, &person);
        let stored = person.clone();
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                if persons::by_name(&mut *tx, &stored.name).await?.is_some() {
                    return Err(StoreError::refuse(RegisterError::PersonTaken(stored.name)));
                }
                persons::insert(tx, &stored).await
            })
        });
        write.await?;
        Ok(person)
    }

    /// Everybody, by name.
    pub async fn people(&self) -> Result<Vec<Person>, RegisterError> {
        Ok(persons::all(&self.store).await?)
    }

    /// One person, by name.
    pub async fn person(&self, name: &str) -> Result<Person, RegisterError> {
        let unknown = || RegisterError::NoPerson(name.chars().take(80).collect());
        persons::by_name(&self.store, name).await?.ok_or_else(unknown)
    }

    /// Their logins and links end at once, and so does everything that agents do in their name.
    pub async fn suspend_person(&self, name: &str, reason: &str, actor: &str) -> Result<Person, RegisterError> {
        let reason = fields::said("reason", reason)?;
        let by = By { actor, verb: "suspend", reason: Some(&reason) };
        self.change_person(name, &by, PersonState::Suspended).await
    }

    /// They may sign in again. What ended with the suspension stays ended.
    pub async fn resume_person(&self, name: &str, reason: &str, actor: &str) -> Result<Person, RegisterError> {
        let reason = fields::said("reason", reason)?;
        let by = By { actor, verb: "resume", reason: Some(&reason) };
        self.change_person(name, &by, PersonState::Active).await
    }

    /// A one-time link with which they sign in. It voids the ones before.
    pub async fn sign_in_link(&self, name: &str, actor: &str) -> Result<SignInCode, RegisterError> {
        let now = self.clock.now();
        let person = self.person(name).await?;
        if !person.is_active() {
            return Err(RegisterError::PersonState(person.name, "suspended"));
        }
        let code = SignInCode::new(now, &*self.random);
        let by = By { actor, verb: "make_link", reason: None };
        let draft = by.draft(now, "person", &person.name, &serde_json::json!({ "expires_at": code.expires_at }));
        let hash = code_hash(code.code.expose());
        let link = Link { hash, person: person.id, created_at: now, expires_at: code.expires_at, used_at: None };
        let write = self.store.write(draft, move |tx| Box::pin(async move { logins::insert_link(tx, &link).await }));
        write.await?;
        Ok(code)
    }

    async fn change_person(&self, name: &str, by: &By<'_>, state: PersonState) -> Result<Person, RegisterError> {
        let now = self.clock.now();
        let before = self.person(name).await?;
        let word = if before.is_active() { "active" } else { "suspended" };
        let already = || RegisterError::PersonState(before.name.clone(), word);
        let after = before.clone().into_state(state).ok_or_else(already)?;
        let draft = by.draft(now, "person", &after.name, &after);
        let written = after.clone();
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                if persons::get(&mut *tx, &before.id).await?.as_ref() != Some(&before) {
                    return Err(StoreError::refuse(RegisterError::Busy(before.name)));
                }
                if !written.is_active() {
                    logins::void_links(tx, &written.id, now).await?;
                }
                persons::update(tx, &written).await
            })
        });
        write.await?;
        Ok(after)
    }
}
