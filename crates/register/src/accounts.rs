//! Accounts: which of our people an identity provider means.

use chancery_model::{Account, Person};
use chancery_store::{StoreError, accounts, persons};

use crate::registrar::{By, Registrar};
use crate::{RegisterError, fields};

/// The longest subject, in bytes (OpenID Connect Core 1.0, section 2, has 255).
const LONGEST: usize = 512;

impl Registrar {
    /// Says that a provider's account is this person's. The provider is one of the configuration.
    pub async fn add_account(
        &self,
        name: &str,
        issuer: &str,
        subject: &str,
        actor: &str,
    ) -> Result<Account, RegisterError> {
        let now = self.clock.now();
        let person = self.person(name).await?;
        if !self.config.providers.iter().any(|known| known == issuer) {
            return Err(RegisterError::NoProvider(issuer.chars().take(200).collect()));
        }
        check_subject(subject)?;
        let account = Account {
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            person: person.id,
            created_at: now,
            removed_at: None,
        };
        let by = By { actor, verb: "add_account", reason: None };
        let draft = by.draft(now, "person", &person.name, &account);
        let stored = account.clone();
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                if accounts::get(&mut *tx, &stored.issuer, &stored.subject).await?.is_some() {
                    return Err(StoreError::refuse(RegisterError::AccountTaken));
                }
                accounts::insert(tx, &stored).await
            })
        });
        write.await?;
        Ok(account)
    }

    /// Takes an account away: what agents do in the person's name ends with it, and they sign in again.
    pub async fn remove_account(
        &self,
        name: &str,
        issuer: &str,
        subject: &str,
        reason: &str,
        actor: &str,
    ) -> Result<Account, RegisterError> {
        let now = self.clock.now();
        let reason = fields::said("reason", reason)?;
        let before = self.person(name).await?;
        let found = accounts::get(&self.store, issuer, subject).await?;
        let unknown = || RegisterError::NoAccount(subject.chars().take(200).collect());
        let account = found.filter(|account| account.person == before.id).ok_or_else(unknown)?;
        let after = Person { epoch: before.epoch + 1, ..before.clone() };
        let by = By { actor, verb: "remove_account", reason: Some(&reason) };
        let draft = by.draft(now, "person", &before.name, &account);
        let removed = account.clone();
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                if persons::get(&mut *tx, &before.id).await?.as_ref() != Some(&before) {
                    return Err(StoreError::refuse(RegisterError::Busy(before.name)));
                }
                accounts::remove(&mut *tx, &removed, now).await?;
                persons::update(tx, &after).await
            })
        });
        write.await?;
        Ok(account)
    }

    /// The accounts of one person.
    pub async fn accounts(&self, name: &str) -> Result<Vec<Account>, RegisterError> {
        let person = self.person(name).await?;
        Ok(accounts::of_person(&self.store, &person.id).await?)
    }
}

/// One text, as the provider writes it.
fn check_subject(subject: &str) -> Result<(), RegisterError> {
    let odd = |c: char| c.is_control() || c.is_whitespace() || fields::unseen(c) || c == '*';
    if !subject.is_empty() && subject.len() <= LONGEST && !subject.contains(odd) {
        return Ok(());
    }
    let why =
        format!("write the one `sub` of this person letter by letter: 1 to {LONGEST} bytes, no white space, no `*`");
    Err(RegisterError::Field { field: "subject", why })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{ACTOR, World};

    const IDP: &str = "https://login.example";

    async fn world() -> World {
        let mut world = World::new().await;
        world.registrar.config.providers = vec![IDP.to_owned()];
        for name in ["mara", "lee"] {
            let request = crate::PersonRequest { name: name.to_owned(), ..crate::PersonRequest::default() };
            world.registrar.add_person(&request, ACTOR).await.unwrap();
        }
        world
    }

    #[tokio::test]
    async fn an_account_is_one_persons() {
        let world = world().await;
        let add = |name: &'static str, issuer: &'static str, subject: &'static str| {
            world.registrar.add_account(name, issuer, subject, ACTOR)
        };
        add("mara", IDP, "auth0|7").await.unwrap();
        assert!(matches!(add("lee", IDP, "auth0|7").await, Err(RegisterError::AccountTaken)));
        assert!(matches!(add("mara", IDP, "auth0|7").await, Err(RegisterError::AccountTaken)));
        add("lee", IDP, "AUTH0|7").await.unwrap();
        for (issuer, subject) in [("https://login.example/", "a"), ("https://other.example", "a"), ("", "a")] {
            assert!(matches!(add("mara", issuer, subject).await, Err(RegisterError::NoProvider(_))), "{issuer}");
        }
        for subject in ["", " ", "a b", "*", "user-*", "a\n", "a\u{202e}"] {
            assert!(matches!(add("mara", IDP, subject).await, Err(RegisterError::Field { .. })), "{subject:?}");
        }
        assert!(matches!(add("ghost", IDP, "b").await, Err(RegisterError::NoPerson(_))));
        assert_eq!(world.registrar.accounts("mara").await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn what_was_done_by_an_account_ends_with_it() {
        let world = world().await;
        let before = world.registrar.person("mara").await.unwrap();
        world.registrar.add_account("mara", IDP, "7", ACTOR).await.unwrap();
        assert_eq!(world.registrar.person("mara").await.unwrap(), before, "an account more ends nothing");
        let remove = |name: &'static str| world.registrar.remove_account(name, IDP, "7", "left", ACTOR);
        assert!(matches!(remove("lee").await, Err(RegisterError::NoAccount(_))), "it is another's");
        remove("mara").await.unwrap();
        assert_eq!(world.registrar.person("mara").await.unwrap().epoch, before.epoch + 1);
        assert!(matches!(remove("mara").await, Err(RegisterError::NoAccount(_))));
        world.registrar.add_account("lee", IDP, "7", ACTOR).await.unwrap();
    }
}
