//! What the room of signals needs of the others: keys, seals, stored secrets.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chancery_authenticate::{Authenticator, Place, SetSource, Vault};
use chancery_fetch::Fetcher;
use chancery_gateway::Secrets as _;
use chancery_model::{Clock, Random, Secret, Span};
use chancery_oversee::signals::{
    Collect, Feed, Heard, Judges, NotTaken, Reactions, ReceiveConfig, Receiver, Seals, Signs, TransmitConfig,
    Transmitter,
};
use chancery_store::{BoxFuture, Store};
use serde_json::Value;

use crate::credentials::Sealed;
use crate::{Config, Delivered, SignalTransmitter};

/// The table of what is sealed for streams.
const TABLE: &str = "signal_streams";

/// The room of signals.
pub(crate) struct Signals {
    pub(crate) transmitter: Arc<Transmitter>,
    pub(crate) receiver: Arc<Receiver>,
}

/// What it is made of.
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) vault: Vault,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) fetcher: Arc<Fetcher>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
}

impl Signals {
    pub(crate) fn open(config: &Config, url: &str, parts: Parts) -> Self {
        let Parts { store, vault, authenticator, fetcher, clock, random } = parts;
        let transmit =
            TransmitConfig { issuer: url.to_owned(), receivers: receivers(config), fetch: config.fetching() };
        let signs = Arc::new(Keys(Arc::clone(&authenticator)));
        let transmitter = Transmitter::new(
            transmit,
            (store.clone(), Arc::clone(&fetcher)),
            (signs, Arc::new(Sealing(vault.clone()))),
            (Arc::clone(&clock), Arc::clone(&random)),
        );
        let sources = config.signals.receive.iter().map(|from| (from.name.clone(), source(from))).collect();
        let secrets = Sealed { store: store.clone(), vault };
        let judges = Arc::new(Judging { authenticator, sources, secrets });
        let transmitters = config.signals.receive.iter().map(|from| (from.name.clone(), receive(from))).collect();
        let receiver = Receiver::new(url.to_owned(), transmitters, (store, fetcher), judges, (clock, random));
        Self { transmitter, receiver }
    }

    /// What reads the log for the transmitter.
    pub(crate) fn feed(&self) -> Feed {
        Feed(Arc::clone(&self.transmitter))
    }
}

fn receivers(config: &Config) -> HashMap<String, Option<String>> {
    config.signals.transmit.iter().map(|to| (to.receiver.clone(), to.audience.clone())).collect()
}

fn source(from: &SignalTransmitter) -> SetSource {
    SetSource {
        issuer: from.issuer.clone(),
        audience: from.audience.clone(),
        jwks_uri: from.jwks_uri.clone(),
        algorithm: from.algorithm,
        window: Span::hours(from.window_hours.into()),
    }
}

fn receive(from: &SignalTransmitter) -> ReceiveConfig {
    let own = || vec![from.issuer.clone()];
    let client = from.token_endpoint.clone().zip(from.client_id.clone());
    let polled = from.endpoint.clone().filter(|_| from.delivery == Delivered::Poll);
    ReceiveConfig {
        accounts: if from.accounts.is_empty() { own() } else { from.accounts.clone() },
        emails: from.emails,
        critical: from.critical.clone(),
        reactions: Reactions {
            session_revoked: from.session_revoked,
            credential_change: from.credential_change,
            account_disabled: from.account_disabled,
            risk_high: from.risk_high,
            device_not_compliant: from.device_not_compliant,
        },
        most_people: from.most_people.into(),
        within: Span::minutes(from.within_minutes.into()),
        // Longer than one is taken, so that none is forgotten while it could come again.
        remember: Span::hours(i64::from(from.window_hours) + 1),
        collect: polled.map(|endpoint| Collect {
            endpoint,
            secret: from.secret.clone(),
            client,
            every: Span::seconds(from.every_seconds.into()),
        }),
        push_secret: (from.delivery == Delivered::Push).then(|| from.secret.clone()),
    }
}

struct Keys(Arc<Authenticator>);

impl Signs for Keys {
    fn sign<'a>(&'a self, claims: &'a Value) -> BoxFuture<'a, Result<String, String>> {
        Box::pin(async move { self.0.sign_set(claims).await.map_err(|e| e.to_string()) })
    }
}

struct Sealing(Vault);

impl Seals for Sealing {
    fn seal(&self, stream: &str, text: &Secret) -> Result<Vec<u8>, String> {
        let place = Place { table: TABLE, row: stream };
        self.0.seal(place, text.expose().as_bytes()).map_err(|e| e.to_string())
    }

    fn open(&self, stream: &str, sealed: &[u8]) -> Result<Secret, String> {
        self.0.unseal_text(Place { table: TABLE, row: stream }, sealed).map_err(|e| e.to_string())
    }
}

struct Judging {
    authenticator: Arc<Authenticator>,
    sources: BTreeMap<String, SetSource>,
    secrets: Sealed,
}

impl Judges for Judging {
    fn judge<'a>(&'a self, transmitter: &'a str, token: &'a str) -> BoxFuture<'a, Result<Heard, NotTaken>> {
        Box::pin(async move {
            let stranger = || NotTaken { code: Some("access_denied"), why: "there is no such transmitter".to_owned() };
            let source = self.sources.get(transmitter).ok_or_else(stranger)?;
            let facts = self
                .authenticator
                .judge_set(token, source)
                .await
                .map_err(|refused| NotTaken { code: (!refused.is_ours()).then_some(refused.code), why: refused.why })?;
            Ok(Heard {
                jti: facts.jti,
                digest: facts.digest,
                issued_at: facts.issued_at,
                subject: facts.subject,
                kind: facts.kind,
                event: facts.event,
            })
        })
    }

    fn secret<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Secret>, String>> {
        self.secrets.open(name)
    }
}
