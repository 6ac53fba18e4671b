//! What a committed write changed, told to those who keep a copy in memory.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    Account, Agent, Blueprint, BreakGlass, Client, ClientCertificate, ClientSecret, Containment, Grant, Group, Person,
    Session, Tool, TrustSource,
};

/// One changed noun, as it is after the commit. Observers of the store are told before the writer is,
/// so that whoever saw its write acknowledged sees it enforced. Other nodes read it as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "noun", content = "is", rename_all = "snake_case")]
pub enum Changed {
    /// Registered, enrolled, suspended, resumed, edited.
    Agent(Arc<Agent>),
    /// Made, suspended, resumed; its manifest approved.
    Blueprint(Arc<Blueprint>),
    /// Opened, touched, ended.
    Session(Arc<Session>),
    /// Added, suspended, resumed; a role added or removed.
    Person(Arc<Person>),
    /// Made; somebody added or removed.
    Group(Arc<Group>),
    /// Added, removed.
    Account(Arc<Account>),
    /// Made, revoked.
    ClientSecret(Arc<ClientSecret>),
    /// Adopted, registered, removed.
    Client(Arc<Client>),
    /// Added, removed.
    TrustSource(Arc<TrustSource>),
    /// Registered, removed.
    ClientCertificate(Arc<ClientCertificate>),
    /// Given, revoked.
    Grant(Arc<Grant>),
    /// Pinned, quarantined, approved.
    Tool(Arc<Tool>),
    /// Made, renewed, cut: the row with this id. What it holds is read from the store.
    Connection(Arc<String>),
    /// Put in force, lifted.
    Containment(Arc<Containment>),
    /// Opened, ended, reviewed.
    BreakGlass(Arc<BreakGlass>),
    /// Something else is known of what lives in other systems: there are observations up to this number.
    Inventory(u64),
}
