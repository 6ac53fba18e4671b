//! `act`: the MCP data path. A request is read once, its caller identified, its meaning stated, decided, durably
//! recorded, given the upstream's credential, forwarded, and its outcome recorded.
//!
//! What cannot happen here: a request at an upstream without a [`chancery_authorize::Permit`] and a
//! [`chancery_record::Receipt`]; a byte of the agent's own token at an upstream; an upstream's credential at an
//! agent; a tool called whose definition nobody approved; an error that lets something through.

mod act;
mod after;
mod approve;
mod body;
mod claim;
mod config;
mod connected;
mod connection;
mod contact;
mod cut;
mod decide;
mod decoy;
mod flight;
mod forward;
mod gateway;
mod inject;
mod intend;
mod known;
mod memory;
mod message;
mod methods;
mod names;
mod pins;
mod pump;
mod read;
mod refusal;
mod rehearse;
mod relay;
mod schema;
mod scrub;
mod sessions;
mod slots;
mod sse;
mod tools;
mod upstream;
mod wire;

#[cfg(feature = "faults")]
pub use approve::faults;
pub use body::{Body, BoxError};
pub use config::{Command, Config, Inject, Limits, PinMode, Rehearsal, ServerConfig, Timeouts, Transport};
pub use connection::{
    Ask, AuthMethod, AuthorizationResponse, Begun, ConnectError, ConnectionView, Dpop, Exchange, IdentityProvider,
    OAuth, OAuthMode, Progress, Reply,
};
pub use contact::Contact;
pub use cut::{Confirmation, Reached, UnderWay};
pub use gateway::{Gateway, OpenError, Parts, ToolsChanged};
pub use inject::Secrets;
pub use methods::action_of;
pub use tools::{ApproveError, Approved};

/// A lock whose holder panicked still guards sound data here: every change under it is complete or not begun.
pub(crate) fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
