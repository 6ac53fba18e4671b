//! Upstream credentials: opened from the sealed store, put in on the way out, and known to the scrubber.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use chancery_model::{Secret, problem};
use futures_util::future::BoxFuture;
use http::{HeaderName, HeaderValue};

use crate::config::{Inject, Transport};
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
    pub(crate) scrubber: Arc<Scrubber>,
}

/// Opened credentials by server.
pub(crate) struct Credentials {
    secrets: Arc<dyn Secrets>,
    opened: Mutex<HashMap<Arc<str>, Arc<Credential>>>,
}

impl Credentials {
    pub(crate) fn new(secrets: Arc<dyn Secrets>) -> Self {
        Self { secrets, opened: Mutex::default() }
    }

    /// Forgets all, so that changed secrets are read again.
    pub(crate) fn forget(&self) {
        lock(&self.opened).clear();
    }

    /// The credential for this upstream.
    pub(crate) async fn of(&self, upstream: &Upstream) -> Result<Arc<Credential>, Refusal> {
        if let Some(known) = lock(&self.opened).get(&upstream.name).cloned() {
            return Ok(known);
        }
        let credential = match &upstream.config.inject {
            None => Credential { header: None, variable: None, scrubber: Arc::default() },
            Some(inject) => self.open(inject, &upstream.config.transport).await?,
        };
        let credential = Arc::new(credential);
        lock(&self.opened).insert(upstream.name.clone(), credential.clone());
        Ok(credential)
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
        let scrubber = Arc::new(Scrubber::new([secret.expose()]));
        match transport {
            Transport::Http(_) => {
                let name = header_name(&inject.name).map_err(missing)?;
                let mut header = HeaderValue::from_str(value.expose())
                    .map_err(|_| missing(format!("secret `{}` cannot stand in a header", inject.secret)))?;
                header.set_sensitive(true);
                Ok(Credential { header: Some((name, header)), variable: None, scrubber })
            }
            Transport::Stdio(_) => {
                Ok(Credential { header: None, variable: Some((inject.name.clone(), value)), scrubber })
            }
        }
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
