//! Upstream credentials: opened from the sealed store, put in on the way out, and known to the scrubber.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use chancery_model::{Secret, problem};
use futures_util::future::BoxFuture;
use http::{HeaderName, HeaderValue};

use crate::config::{Inject, Transport};
use crate::connection::Prover;
use crate::lock;
use crate::refusal::{Refusal, rpc};
use crate::scrub::{SHORTEST, Scrubber};
use crate::upstream::Upstream;

/// Where sealed secrets are opened.
pub trait Secrets: Send + Sync + 'static {
    /// Opens the secret of this name; nothing if none is stored. The error says why it does not open.
    fn open<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Secret>, String>>;
}

/// A credential, ready to be put in.
pub(crate) struct Credential {
    pub(crate) header: Option<(HeaderName, HeaderValue)>,
    pub(crate) variable: Option<(String, Secret)>,
    /// Makes the proof that goes with a token that is bound to a key.
    pub(crate) prover: Option<Prover>,
    /// Takes this credential out of answers, and those it replaced: whoever was given one may still say it.
    pub(crate) scrubber: Arc<Scrubber>,
    /// Another number for another value: a child that was started with another one has another credential.
    pub(crate) generation: u64,
    /// The secrets that are looked for, newest first.
    secrets: Vec<Secret>,
}

/// Replaced secrets of one server that are still looked for.
const REPLACED: usize = 3;
/// Tokens of one connection that are looked for, replaced ones included.
const TOKENS: usize = 12;

/// Opened credentials by server.
pub(crate) struct Credentials {
    secrets: Arc<dyn Secrets>,
    opened: Mutex<Opened>,
}

#[derive(Default)]
struct Opened {
    /// How often everything was forgotten. What was opened before the last time is opened again.
    forgotten: u64,
    generation: u64,
    credentials: HashMap<Arc<str>, (u64, Arc<Credential>)>,
}

impl Credentials {
    pub(crate) fn new(secrets: Arc<dyn Secrets>) -> Self {
        Self { secrets, opened: Mutex::default() }
    }

    /// Forgets all, so that changed secrets are read again.
    pub(crate) fn forget(&self) {
        lock(&self.opened).forgotten += 1;
    }

    /// The credential for this upstream.
    pub(crate) async fn of(&self, upstream: &Upstream) -> Result<Arc<Credential>, Refusal> {
        let before = {
            let opened = lock(&self.opened);
            if let Some((at, known)) = opened.credentials.get(&upstream.name)
                && *at == opened.forgotten
            {
                return Ok(known.clone());
            }
            opened.forgotten
        };
        let credential = match &upstream.config.inject {
            None => Credential::none(),
            Some(inject) => self.open(inject, &upstream.config.transport).await?,
        };
        Ok(lock(&self.opened).take(&upstream.name, before, credential))
    }

    async fn open(&self, inject: &Inject, transport: &Transport) -> Result<Credential, Refusal> {
        let missing = |why: String| Refusal::new(problem::NO_SECRET, rpc::INTERNAL, why);
        let opened = self.secrets.open(&inject.secret).await;
        let opened = opened.map_err(|e| missing(format!("secret `{}` does not open: {e}", inject.secret)))?;
        let secret = opened.ok_or_else(|| missing(format!("there is no secret `{}`", inject.secret)))?;
        if secret.expose().len() < SHORTEST {
            return Err(missing(format!(
                "secret `{}` is shorter than {SHORTEST} bytes: it could not be told from ordinary text in answers",
                inject.secret
            )));
        }
        let value = Secret::new(inject.value.replace("{secret}", secret.expose()));
        match transport {
            Transport::Http(_) => {
                let name = header_name(&inject.name).map_err(missing)?;
                let mut header = HeaderValue::from_str(value.expose())
                    .map_err(|_| missing(format!("secret `{}` cannot stand in a header", inject.secret)))?;
                header.set_sensitive(true);
                Ok(Credential { header: Some((name, header)), secrets: vec![secret], ..Credential::none() })
            }
            Transport::Stdio(_) => {
                let variable = Some((inject.name.clone(), value));
                Ok(Credential { variable, secrets: vec![secret], ..Credential::none() })
            }
        }
    }
}

impl Credential {
    fn none() -> Self {
        let scrubber = Arc::default();
        Self { header: None, variable: None, prover: None, scrubber, generation: 0, secrets: Vec::new() }
    }

    /// The credential of a connection. What it replaces is still looked for in answers.
    pub(crate) fn of_token(
        header: (HeaderName, HeaderValue),
        prover: Option<Prover>,
        mut secrets: Vec<Secret>,
        before: Option<&Self>,
    ) -> Self {
        for old in before.iter().flat_map(|before| &before.secrets) {
            if secrets.len() < TOKENS && !secrets.contains(old) {
                secrets.push(old.clone());
            }
        }
        let scrubber = Arc::new(Scrubber::new(secrets.iter().map(Secret::expose)));
        Self { header: Some(header), prover, scrubber, secrets, ..Self::none() }
    }

    fn is_same(&self, other: &Self) -> bool {
        self.header == other.header && self.variable == other.variable
    }
}

impl Opened {
    /// Takes over a credential that was opened when everything had been forgotten `at` times; gives the one to use.
    fn take(&mut self, server: &Arc<str>, at: u64, mut fresh: Credential) -> Arc<Credential> {
        let known = self.credentials.get(server).cloned();
        let credential = match &known {
            Some((_, known)) if known.is_same(&fresh) => known.clone(),
            _ => {
                let replaced = known.iter().flat_map(|(_, known)| &known.secrets).take(REPLACED).cloned();
                fresh.secrets.extend(replaced);
                fresh.scrubber = Arc::new(Scrubber::new(fresh.secrets.iter().map(Secret::expose)));
                self.generation += 1;
                fresh.generation = self.generation;
                Arc::new(fresh)
            }
        };
        // What was opened before a change must not stand in the place of what was opened after it.
        if known.is_none_or(|(newest, _)| newest <= at) {
            self.credentials.insert(server.clone(), (at, credential.clone()));
        }
        credential
    }
}

/// Headers that belong to the protocol or the connection cannot carry a credential.
pub(crate) fn header_name(name: &str) -> Result<HeaderName, String> {
    const TAKEN: [&str; 9] = [
        "host",
        "content-length",
        "content-type",
        "transfer-encoding",
        "connection",
        "upgrade",
        "te",
        "accept",
        "chancery-intent",
    ];
    let parsed: HeaderName = name.parse().map_err(|_| format!("`{name}` is not a header"))?;
    if TAKEN.contains(&parsed.as_str()) || parsed.as_str().starts_with("mcp-") {
        return Err(format!("the header `{name}` cannot carry a credential"));
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use chancery_store::Lease;

    use super::*;
    use crate::config::{Config, Limits, PinMode, ServerConfig, Timeouts};
    use crate::connection::testing::Still;
    use std::collections::BTreeMap;
    use tokio::sync::Semaphore;

    /// Opens the value that stands there when it is asked, and gives it once it may.
    struct Slow {
        value: Mutex<String>,
        asked: Semaphore,
        may: Semaphore,
    }

    impl Secrets for Slow {
        fn open<'a>(&'a self, _name: &'a str) -> BoxFuture<'a, Result<Option<Secret>, String>> {
            Box::pin(async {
                let value = lock(&self.value).clone();
                self.asked.add_permits(1);
                self.may.acquire().await.unwrap().forget();
                Ok(Some(Secret::new(value)))
            })
        }
    }

    fn upstream() -> Upstream {
        let inject = Inject { name: "x-key".into(), value: "{secret}".into(), secret: "key".into() };
        let transport = Transport::Http("http://127.0.0.1:1/mcp".into());
        let server = ServerConfig {
            transport,
            inject: Some(inject),
            oauth: None,
            record_fields: Vec::new(),
            pin: PinMode::default(),
            dry_run: BTreeMap::new(),
        };
        let all = Config {
            public_url: String::new(),
            servers: BTreeMap::new(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
        };
        let lease = Arc::new(Lease::for_ever(Arc::new(Still::default())));
        Upstream::new("crm", &server, &all, &lease).unwrap()
    }

    fn rig(may: usize) -> (Arc<Slow>, Arc<Credentials>, Arc<Upstream>) {
        let value = Mutex::new("first-secret".to_owned());
        let slow = Arc::new(Slow { value, asked: Semaphore::new(0), may: Semaphore::new(may) });
        (slow.clone(), Arc::new(Credentials::new(slow)), Arc::new(upstream()))
    }

    fn header(credential: &Credential) -> &str {
        credential.header.as_ref().unwrap().1.to_str().unwrap()
    }

    #[tokio::test]
    async fn a_value_that_was_read_before_a_change_is_not_kept() {
        let (slow, credentials, upstream) = rig(0);
        let early = tokio::spawn({
            let (credentials, upstream) = (credentials.clone(), upstream.clone());
            async move { credentials.of(&upstream).await.unwrap() }
        });
        slow.asked.acquire().await.unwrap().forget();
        "second-secret".clone_into(&mut lock(&slow.value));
        credentials.forget();
        slow.may.add_permits(2);
        assert_eq!(header(&early.await.unwrap()), "first-secret");
        assert_eq!(header(&credentials.of(&upstream).await.unwrap()), "second-secret");
    }

    #[tokio::test]
    async fn a_replaced_secret_is_still_looked_for_and_an_unchanged_one_is_the_same() {
        let (slow, credentials, upstream) = rig(9);
        let first = credentials.of(&upstream).await.unwrap();
        credentials.forget();
        assert!(Arc::ptr_eq(&first, &credentials.of(&upstream).await.unwrap()), "another server's secret changed");
        "second-secret".clone_into(&mut lock(&slow.value));
        credentials.forget();
        let second = credentials.of(&upstream).await.unwrap();
        assert_ne!(first.generation, second.generation);
        assert_eq!(second.scrubber.text("first-secret second-secret"), "[removed by chancery] [removed by chancery]");
    }
}
