//! People: who may sign in, and in whose names agents may act.

use chancery_model::{Person, PersonId, PersonState, Random, Role, Secret, Span, Timestamp};
use chancery_store::logins::{Link, code_hash};
use chancery_store::{StoreError, Tx, groups, logins, persons};

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

    /// What is kept of it.
    fn link(&self, person: &Person, now: Timestamp) -> Link {
        let hash = code_hash(self.code.expose());
        Link { hash, person: person.id.clone(), created_at: now, expires_at: self.expires_at, used_at: None }
    }
}

/// A person who is added.
#[derive(Debug, Clone, Default)]
pub struct PersonRequest {
    /// Their name in the directory, or their e-mail address.
    pub name: String,
    /// How they are shown to others.
    pub display: Option<String>,
    /// What they may do from the beginning.
    pub roles: Vec<Role>,
}

impl Registrar {
    /// Adds a person. They can sign in once they are given a link.
    pub async fn add_person(&self, request: &PersonRequest, actor: &str) -> Result<Person, RegisterError> {
        let now = self.clock.now();
        let person = self.new_person(request, now)?;
        let draft = By { actor, verb: "add", reason: None }.draft(now, "person", &person.name, &person);
        let stored = person.clone();
        let write = self.store.write(draft, move |tx| Box::pin(async move { insert(tx, &stored).await }));
        write.await?;
        Ok(person)
    }

    /// Adds a person and makes the link with which they sign in, at once.
    pub async fn invite(&self, request: &PersonRequest, actor: &str) -> Result<(Person, SignInCode), RegisterError> {
        let now = self.clock.now();
        let person = self.new_person(request, now)?;
        let draft = By { actor, verb: "invite", reason: None }.draft(now, "person", &person.name, &person);
        let code = SignInCode::new(now, &*self.random);
        let (stored, link) = (person.clone(), code.link(&person, now));
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                insert(tx, &stored).await?;
                logins::insert_link(tx, &link).await
            })
        });
        write.await?;
        Ok((person, code))
    }

    /// Makes somebody administrator, whether they are there already or not, with a link to sign in with. For the host:
    /// it is how the first one comes in, and how one comes back who lost every passkey.
    pub async fn set_up_admin(
        &self,
        name: &str,
        display: Option<&str>,
        actor: &str,
    ) -> Result<(Person, SignInCode), RegisterError> {
        let before = persons::by_name(&self.store, &fields::person("name", name)?).await?;
        let Some(before) = before else {
            let display = display.map(str::to_owned);
            return self
                .invite(&PersonRequest { name: name.to_owned(), display, roles: vec![Role::Admin] }, actor)
                .await;
        };
        if !before.is_active() {
            return Err(RegisterError::PersonState(before.name, "suspended".into()));
        }
        let now = self.clock.now();
        let after = before.clone().with_role(Role::Admin).unwrap_or_else(|| before.clone());
        let draft = By { actor, verb: "set_up_admin", reason: None }.draft(now, "person", &after.name, &after);
        let code = SignInCode::new(now, &*self.random);
        let (written, link) = (after.clone(), code.link(&after, now));
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                replace(tx, &before, &written).await?;
                logins::insert_link(tx, &link).await
            })
        });
        write.await?;
        Ok((after, code))
    }

    fn new_person(&self, request: &PersonRequest, now: Timestamp) -> Result<Person, RegisterError> {
        let mut roles = request.roles.clone();
        roles.sort_unstable();
        roles.dedup();
        Ok(Person {
            id: PersonId::new(now, &*self.random),
            name: fields::person("name", &request.name)?,
            display: request.display.as_deref().map(|text| fields::said("display", text)).transpose()?,
            state: PersonState::Active,
            roles,
            epoch: 1,
            created_at: now,
        })
    }

    /// They may do what this role may, from now on.
    pub async fn add_role(&self, name: &str, role: Role, actor: &str) -> Result<Person, RegisterError> {
        let already = |person: Person| RegisterError::PersonState(person.name, format!("{} already", role.name()));
        let step = |before: Person| before.clone().with_role(role).ok_or_else(|| already(before));
        self.change_person(name, &By { actor, verb: "add_role", reason: None }, step).await
    }

    /// They may not any more, from now on.
    pub async fn remove_role(
        &self,
        name: &str,
        role: Role,
        reason: &str,
        actor: &str,
    ) -> Result<Person, RegisterError> {
        let reason = fields::said("reason", reason)?;
        let is_not = |person: Person| RegisterError::PersonState(person.name, format!("not {}", role.name()));
        let step = |before: Person| before.clone().without_role(role).ok_or_else(|| is_not(before));
        self.change_person(name, &By { actor, verb: "remove_role", reason: Some(&reason) }, step).await
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
        self.change_person(name, &by, into(PersonState::Suspended)).await
    }

    /// They may sign in again. What ended with the suspension stays ended.
    pub async fn resume_person(&self, name: &str, reason: &str, actor: &str) -> Result<Person, RegisterError> {
        let reason = fields::said("reason", reason)?;
        let by = By { actor, verb: "resume", reason: Some(&reason) };
        self.change_person(name, &by, into(PersonState::Active)).await
    }

    /// A one-time link with which they sign in. It voids the ones before.
    pub async fn sign_in_link(&self, name: &str, actor: &str) -> Result<SignInCode, RegisterError> {
        let now = self.clock.now();
        let person = self.person(name).await?;
        if !person.is_active() {
            return Err(RegisterError::PersonState(person.name, "suspended".into()));
        }
        let code = SignInCode::new(now, &*self.random);
        let by = By { actor, verb: "make_link", reason: None };
        let draft = by.draft(now, "person", &person.name, &serde_json::json!({ "expires_at": code.expires_at }));
        let link = code.link(&person, now);
        let write = self.store.write(draft, move |tx| Box::pin(async move { logins::insert_link(tx, &link).await }));
        write.await?;
        Ok(code)
    }

    async fn change_person(
        &self,
        name: &str,
        by: &By<'_>,
        step: impl FnOnce(Person) -> Result<Person, RegisterError>,
    ) -> Result<Person, RegisterError> {
        let now = self.clock.now();
        let before = self.person(name).await?;
        let after = step(before.clone())?;
        let draft = by.draft(now, "person", &after.name, &after);
        let written = after.clone();
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                if !written.is_active() {
                    logins::void_links(tx, &written.id, now).await?;
                }
                replace(tx, &before, &written).await
            })
        });
        write.await?;
        Ok(after)
    }
}

/// The step into another state.
fn into(state: PersonState) -> impl FnOnce(Person) -> Result<Person, RegisterError> {
    move |before| {
        let word = if before.is_active() { "active" } else { "suspended" };
        let name = before.name.clone();
        before.into_state(state).ok_or_else(|| RegisterError::PersonState(name, word.into()))
    }
}

/// A name is a person's or a group's: whoever keeps an agent is called by it.
async fn insert(tx: &mut Tx, person: &Person) -> Result<(), StoreError> {
    if persons::by_name(&mut *tx, &person.name).await?.is_some() {
        return Err(StoreError::refuse(RegisterError::PersonTaken(person.name.clone())));
    }
    if groups::by_name(tx, &person.name).await?.is_some() {
        return Err(StoreError::refuse(RegisterError::GroupTaken(person.name.clone())));
    }
    persons::insert(tx, person).await
}

/// What is stored is compared with what was read before it is replaced.
async fn replace(tx: &mut Tx, before: &Person, after: &Person) -> Result<(), StoreError> {
    if persons::get(&mut *tx, &before.id).await?.as_ref() != Some(before) {
        return Err(StoreError::refuse(RegisterError::Busy(before.name.clone())));
    }
    persons::update(tx, after).await
}
