//! Every document that is fetched because somebody named its address: key sets, client metadata, trust bundles, and
//! the authorization servers of upstream systems.
//!
//! Whoever may name an address may try to make us reach what only we can reach (server-side request forgery). So:
//! one strict spelling of addresses; `https` alone; the host resolved once, every address of it checked, and the
//! connection made to exactly the checked addresses; no redirects, no cookies, no proxies, no pooled connections;
//! limits of size and time that hold while the body streams. What the operator lists in `[fetch] allow` is exempt
//! from the first two, by host and port as written.

mod address;
mod answer;
mod ask;
mod config;
mod connect;
mod error;
mod fetcher;
mod resolver;
mod target;
#[cfg(test)]
mod tests;

pub use address::is_public;
pub use answer::Answer;
pub use ask::Ask;
pub use config::{BadConfig, Config};
pub use error::FetchError;
pub use fetcher::Fetcher;
pub use resolver::{Resolver, Resolving};
pub use target::{BadUrl, Target};
