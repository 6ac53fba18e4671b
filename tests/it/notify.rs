//! People are told what happens: by webhooks, mail and chat.

mod channels;
mod chat;
mod killed;
mod peers;
mod sinks;
mod triggers;
