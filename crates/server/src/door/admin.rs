//! The admin door: a unix socket that only its owner can open.

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;

use super::guard::{Door, Leave, Names};
use super::tcp::{missing, no_method};
use super::time::Times;
use crate::api;
use crate::rooms::Rooms;

/// Whoever is on the other end of the admin socket: a user id of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer(pub(crate) u32);

impl Peer {
    /// How entries name the actor of a change.
    pub(crate) fn actor(self) -> String {
        format!("local:{}", self.0)
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
