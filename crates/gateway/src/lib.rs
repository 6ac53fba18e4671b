//! `act`: the MCP data path. A request is read once, its caller identified, its meaning stated, decided, durably
//! recorded, given the upstream's credential, forwarded, and its outcome recorded.
//!
//! What cannot happen here: a request at an upstream without a [`chancery_authorize::Permit`] and a
//! [`chancery_record::Receipt`]; a byte of the agent's own token at an upstream; an upstream's credential at an
//! agent; a tool called whose definition nobody approved; an error that lets something through.

mod body;
mod config;
mod message;
mod methods;
mod names;
mod refusal;
mod schema;
mod scrub;
mod sse;
mod upstream;
mod wire;

pub use body::{Body, BoxError};
pub use config::{Command, Config, Inject, Limits, PinMode, ServerConfig, Timeouts, Transport};

/// A lock whose holder panicked still guards sound data here: every change under it is complete or not begun.
pub(crate) fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
