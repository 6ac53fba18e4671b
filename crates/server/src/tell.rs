//! The channels on which people are told what happens, and the triggers that do not wait for them.

use std::sync::Arc;

use chancery_authenticate::Vault;
use chancery_fetch::Fetcher;
use chancery_gateway::Gateway;
use chancery_model::problem::{BAD_CONFIG, NO_CHANNEL, NO_DELIVERY, Problem, STORE_FAILED};
use chancery_model::{Clock, Random, Secret};
use chancery_oversee::notify::{Notifier, NotifyError, Parts, Secrets};
use chancery_oversee::trigger::{self, Triggers};
use chancery_store::{BoxFuture, Store};

use crate::Config;
use crate::credentials::Sealed;
use crate::failure::Failure;

impl Secrets for Sealed {
    fn open<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Secret>, String>> {
        chancery_gateway::Secrets::open(self, name)
    }
}

/// The rooms that the channels need.
pub(crate) struct Rooms<'a> {
    pub(crate) store: &'a Store,
    pub(crate) vault: &'a Vault,
    pub(crate) fetcher: &'a Arc<Fetcher>,
    pub(crate) clock: &'a Arc<dyn Clock>,
    pub(crate) random: &'a Arc<dyn Random>,
}

/// Takes up the channels of the configuration.
pub(crate) async fn open(config: &Config, url: &str, rooms: &Rooms<'_>) -> Result<Notifier, Problem> {
    let parts = Parts {
        store: rooms.store.clone(),
        fetcher: Arc::clone(rooms.fetcher),
        authorities: config.fetch.authorities.clone(),
        secrets: Arc::new(Sealed { store: rooms.store.clone(), vault: rooms.vault.clone() }),
        clock: Arc::clone(rooms.clock),
        random: Arc::clone(rooms.random),
        url: url.to_owned(),
    };
    Notifier::open(config.channels.clone(), parts).await.map_err(|error| match error {
        NotifyError::Store(error) => Problem::new(STORE_FAILED, error.to_string()),
        other => Problem::new(BAD_CONFIG, other.to_string()),
    })
}

/// Takes up the triggers of the configuration.
pub(crate) fn watch(config: &Config, gateway: &Arc<Gateway>, rooms: &Rooms<'_>) -> Triggers {
    let gateway = Arc::clone(gateway);
    let parts = trigger::Parts {
        store: rooms.store.clone(),
        clock: Arc::clone(rooms.clock),
        random: Arc::clone(rooms.random),
        meters: Box::new(move |meter, subject| gateway.meter_stands(meter, subject)),
        most: config.automatic_containments,
    };
    Triggers::new(config.triggers.clone(), parts)
}

impl From<NotifyError> for Failure {
    fn from(error: NotifyError) -> Self {
        match error {
            NotifyError::Store(error) => error.into(),
            NotifyError::NoChannel(_) => Problem::new(NO_CHANNEL, error.to_string()).into(),
            NotifyError::NoDelivery { .. } => Problem::new(NO_DELIVERY, error.to_string()).into(),
            NotifyError::Config { .. } => Problem::new(BAD_CONFIG, error.to_string()).into(),
        }
    }
}
