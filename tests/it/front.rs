//! The server through its doors: nothing here knows more than a client does.

mod admin;
mod authzen;
mod blueprints;
mod call;
mod guards;
mod metadata;
mod mtls;
pub(crate) mod tls;
mod tokens;
