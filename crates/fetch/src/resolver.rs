//! Names to addresses, as a parameter.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

/// What a resolver is about to give.
pub type Resolving = Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send>>;

/// Where addresses come from. It is asked once for each exchange.
pub trait Resolver: Send + Sync + 'static {
    /// Every address of a name, best first.
    fn resolve(&self, name: &str) -> Resolving;
}

/// The resolver of the system.
pub(crate) struct System;

impl Resolver for System {
    fn resolve(&self, name: &str) -> Resolving {
        let name = name.to_owned();
        Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect()) })
    }
}
