//! One connection in memory: what it is, the credential made of it, and who is renewing it.

use std::sync::{Arc, Mutex};

use chancery_model::{Clock, Random, Secret, Span, Timestamp};
use http::{HeaderMap, HeaderValue};

use super::error::ConnectError;
use super::kept::{Connection, Tokens};
use super::token::{DPOP_NONCE, Scheme, authorization};
use crate::inject::Credential;
use crate::lock;

use chancery_authenticate::client::{AgentKey, ProofFor};

/// A token is renewed this long before its end, or in the last fifth of its life if that is shorter.
const EARLY: i64 = Span::minutes(1).0;
/// After a failure nobody is asked again for so long.
const PAUSE: Span = Span::seconds(5);

/// The place of one connection.
#[derive(Default)]
pub(super) struct Slot {
    state: Mutex<State>,
    /// Whoever renews holds it.
    pub(super) turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    loaded: bool,
    outdated: bool,
    connection: Option<Arc<Connection>>,
    held: Option<Arc<Held>>,
    failed: Option<(Timestamp, ConnectError)>,
    /// Scopes that the upstream asked for and that somebody has to authorize.
    wanted: Vec<String>,
}

/// A credential in use.
pub(super) struct Held {
    pub(super) credential: Arc<Credential>,
    renew_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
}

impl Slot {
    pub(super) fn is_loaded(&self) -> bool {
        let state = lock(&self.state);
        state.loaded && !state.outdated
    }

    pub(super) fn connection(&self) -> Option<Arc<Connection>> {
        lock(&self.state).connection.clone()
    }

    pub(super) fn held(&self) -> Option<Arc<Held>> {
        let state = lock(&self.state);
        state.held.clone().filter(|_| !state.outdated)
    }

    /// What is in memory is not what is stored any more.
    pub(super) fn outdated(&self) {
        lock(&self.state).outdated = true;
    }

    /// Takes over what was read from the store or made anew. A replaced credential is still looked for in answers.
    pub(super) fn take(&self, connection: Option<Connection>, prover: impl Fn(&Tokens) -> Option<Prover>) {
        let mut state = lock(&self.state);
        let before = state.held.take();
        state.held = connection.as_ref().and_then(|connection| {
            let tokens = connection.tokens.as_ref()?;
            Held::new(connection, tokens, prover(tokens), before.as_deref()).map(Arc::new)
        });
        state.loaded = true;
        state.outdated = false;
        state.failed = None;
        state.connection = connection.map(Arc::new);
    }

    pub(super) fn failed(&self, at: Timestamp, error: &ConnectError) {
        lock(&self.state).failed = Some((at, error.clone()));
    }

    /// What failed a moment ago: whoever comes now is told the same.
    pub(super) fn failure(&self, now: Timestamp) -> Option<ConnectError> {
        let state = lock(&self.state);
        state.failed.as_ref().filter(|(at, _)| now - *at < PAUSE).map(|(_, error)| error.clone())
    }

    pub(super) fn forgive(&self) {
        lock(&self.state).failed = None;
    }

    pub(super) fn last_failure(&self) -> Option<String> {
        lock(&self.state).failed.as_ref().map(|(_, error)| error.why.clone())
    }

    pub(super) fn want(&self, scopes: Vec<String>) {
        let mut state = lock(&self.state);
        state.wanted = super::scopes::united(&state.wanted, scopes);
    }

    pub(super) fn wanted(&self) -> Vec<String> {
        lock(&self.state).wanted.clone()
    }

    pub(super) fn satisfied(&self) {
        lock(&self.state).wanted.clear();
    }
}

impl Held {
    fn new(connection: &Connection, tokens: &Tokens, prover: Option<Prover>, before: Option<&Self>) -> Option<Self> {
        let header = authorization(tokens.scheme, &tokens.access)?;
        let secrets = [Some(&tokens.access), tokens.refresh.as_ref(), connection.client.secret.as_ref()];
        let secrets: Vec<Secret> = secrets.into_iter().flatten().cloned().collect();
        let before = before.map(|held| &*held.credential);
        if let (Some(prover), Some(old)) = (&prover, before.and_then(|before| before.prover.as_ref())) {
            // The nonce is the upstream's, whatever the token.
            lock(&prover.nonce).clone_from(&lock(&old.nonce));
        }
        let renew_at = tokens.expires_at.map(|end| {
            let life = (end - tokens.issued_at).0.max(0);
            end - Span(EARLY.min(life / 5))
        });
        let credential = Arc::new(Credential::of_token(header, prover, secrets, before));
        Some(Self { credential, renew_at, expires_at: tokens.expires_at })
    }

    /// Nothing needs to be done about it yet.
    pub(super) fn is_fresh(&self, now: Timestamp) -> bool {
        self.renew_at.is_none_or(|at| now < at)
    }

    /// Its time is not over.
    pub(super) fn is_valid(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|at| now < at)
    }
}

/// Makes the proof that goes with a bound token: a fresh one for each request (RFC 9449, section 7.1).
pub(crate) struct Prover {
    key: Arc<AgentKey>,
    token: Secret,
    /// The newest nonce of the upstream.
    nonce: Mutex<Option<String>>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Prover {
    /// The prover of these tokens; nothing for bearer tokens.
    pub(super) fn of(tokens: &Tokens, means: &super::Means) -> Option<Self> {
        let key = tokens.key.clone().filter(|_| tokens.scheme == Scheme::Dpop)?;
        let (clock, random) = (means.clock.clone(), means.random.clone());
        Some(Self { key, token: tokens.access.clone(), nonce: Mutex::default(), clock, random })
    }

    /// The `DPoP` header of one request. `url` is without query and fragment.
    pub(crate) fn proof(&self, method: &str, url: &str) -> Result<HeaderValue, String> {
        let nonce = lock(&self.nonce).clone();
        let request = ProofFor { method, url, token: Some(self.token.expose()), nonce: nonce.as_deref() };
        let proof = self.key.proof(request, self.clock.now(), &*self.random).map_err(|e| e.to_string())?;
        HeaderValue::from_str(&proof).map_err(|e| e.to_string())
    }

    /// Keeps the nonce of an answer.
    pub(crate) fn note(&self, headers: &HeaderMap) {
        if let Some(nonce) = headers.get(DPOP_NONCE).and_then(|nonce| nonce.to_str().ok()) {
            *lock(&self.nonce) = Some(nonce.to_owned());
        }
    }
}
