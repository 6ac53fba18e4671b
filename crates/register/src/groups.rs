//! Groups of people: who keeps an agent together, and who is asked together.

use std::sync::Arc;

use chancery_model::{Group, GroupId};
use chancery_store::{StoreError, groups, persons};

use crate::registrar::{By, Registrar};
use crate::{RegisterError, fields};

impl Registrar {
    /// Makes a group with nobody in it.
    pub async fn create_group(&self, name: &str, actor: &str) -> Result<Group, RegisterError> {
        let now = self.clock.now();
        let group = Group {
            id: GroupId::new(now, &*self.random),
            name: fields::name("name", name)?,
            members: Vec::new(),
            created_at: now,
        };
        let draft = By { actor, verb: "create", reason: None }.draft(now, "group", &group.name, &group);
        let stored = group.clone();
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                let person = persons::by_name(&mut *tx, &stored.name).await?.is_some();
                if person || groups::by_name(tx, &stored.name).await?.is_some() {
                    return Err(StoreError::refuse(RegisterError::GroupTaken(stored.name)));
                }
                groups::insert(tx, &stored).await
            })
        });
        write.await?;
        Ok(group)
    }

    /// All groups, by name.
    pub async fn groups(&self) -> Result<Vec<Group>, RegisterError> {
        Ok(groups::all(&self.store).await?)
    }

    /// Puts a person into a group.
    pub async fn add_member(&self, group: &str, person: &str, actor: &str) -> Result<Group, RegisterError> {
        let by = By { actor, verb: "add_member", reason: None };
        let step = |group: Group, id| group.with(id).ok_or("in");
        self.change_group(group, person, &by, step).await
    }

    /// Takes a person out of a group.
    pub async fn remove_member(
        &self,
        group: &str,
        person: &str,
        reason: &str,
        actor: &str,
    ) -> Result<Group, RegisterError> {
        let reason = fields::said("reason", reason)?;
        let by = By { actor, verb: "remove_member", reason: Some(&reason) };
        let step = |group: Group, id| group.without(&id).ok_or("not in");
        self.change_group(group, person, &by, step).await
    }

    async fn change_group(
        &self,
        name: &str,
        person: &str,
        by: &By<'_>,
        step: impl Fn(Group, chancery_model::PersonId) -> Result<Group, &'static str>,
    ) -> Result<Group, RegisterError> {
        let (now, person) = (self.clock.now(), self.person(person).await?);
        let found = self.groups().await?.into_iter().find(|group| group.name == name);
        let before = found.ok_or_else(|| RegisterError::NoGroup(name.chars().take(80).collect()))?;
        let refused = |word| RegisterError::Member(person.name.clone(), word);
        let after = Arc::new(step(before.clone(), person.id.clone()).map_err(refused)?);
        let draft = by.draft(now, "group", &after.name, &*after);
        let written = Arc::clone(&after);
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                if groups::by_name(&mut *tx, &before.name).await?.as_ref() != Some(&before) {
                    return Err(StoreError::refuse(RegisterError::Busy(before.name)));
                }
                groups::update(tx, &written).await
            })
        });
        write.await?;
        Ok(Arc::unwrap_or_clone(after))
    }
}
