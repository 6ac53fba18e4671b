//! The admin door: a unix socket that only its owner can open.

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use chancery_model::{BreakGlassId, Person};

use super::guard::{Door, Leave, Names};
use super::tcp::{missing, no_method};
use super::time::Times;
use crate::api;
use crate::rooms::Rooms;

/// Whoever changes something through the admin API.
#[derive(Clone, Debug)]
pub(crate) enum Peer {
    /// On the other end of the admin socket: a user id of this machine.
    Local(u32),
    /// Signed in with a browser.
    Person(Arc<Person>),
    /// The same, as an administrator for a while: in what they do stands under which break-glass.
    Elevated(Arc<Person>, BreakGlassId),
}

impl Peer {
    /// Who they are here, where they are somebody.
    pub(crate) fn person(&self) -> Option<&Person> {
        match self {
            Self::Local(_) => None,
            Self::Person(person) | Self::Elevated(person, _) => Some(person),
        }
    }

    /// How entries name the actor of a change. No person's name has a colon in it.
    pub(crate) fn actor(&self) -> String {
        match self {
            Self::Local(user) => format!("local:{user}"),
            Self::Person(person) => person.name.clone(),
            Self::Elevated(person, glass) => format!("{}:{glass}", person.name),
        }
    }
}

/// The longest body, in bytes.
const BODY: usize = 1 << 20;

/// Every address of this door. No browser has business here: any `Origin` is foreign.
pub(crate) fn door(rooms: Arc<Rooms>) -> Door {
    let names = Names::new(["localhost".to_owned()], &[]);
    let router = api::routes()
        .fallback(missing)
        .method_not_allowed_fallback(no_method)
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(rooms);
    Door { names, router, times: Times::default(), leave: Leave::default() }
}
