//! The MCP data path through the front door: real upstreams, real clients, and what the record says of it.

mod calls;
mod conformance;
mod connecting;
mod connections;
mod credentials;
mod differential;
mod history;
mod messages;
mod meters;
pub(crate) mod peers;
mod pins;
mod reach;
mod sessions;
mod stdio;
mod streams;
mod waiting;
pub(crate) mod world;
