//! One exchange: check, resolve, check, connect, ask, read.

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, HOST, USER_AGENT};
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::sync::Semaphore;
use tokio_rustls::rustls::ClientConfig;

use crate::address;
use crate::connect::{self, Stream};
use crate::resolver::{Resolver, System};
use crate::target::{Host, Target};
use crate::{Answer, Ask, BadConfig, Config, FetchError};

/// What other servers read of us.
const AGENT: &str = concat!("chancery/", env!("CARGO_PKG_VERSION"));

/// The head of an answer, in bytes.
const HEAD: usize = 32 * 1024;

/// Fetches documents from addresses that somebody else named. Shared by all rooms.
pub struct Fetcher {
    config: Config,
    resolver: Arc<dyn Resolver>,
    tls: Arc<ClientConfig>,
    /// Which addresses may be connected to without being listed.
    pub(crate) public: fn(IpAddr) -> bool,
    lanes: Semaphore,
}

impl Fetcher {
    /// Resolves as the system does.
    ///
    /// # Errors
    /// [`BadConfig`] for a list or a file that is not understood.
    pub fn new(config: Config) -> Result<Self, BadConfig> {
        Self::with_resolver(config, Arc::new(System))
    }

    /// Resolves as it is told.
    ///
    /// # Errors
    /// As [`Fetcher::new`].
    pub fn with_resolver(config: Config, resolver: Arc<dyn Resolver>) -> Result<Self, BadConfig> {
        config.check()?;
        let tls = connect::tls(config.authorities.as_deref())?;
        let lanes = Semaphore::new(config.at_once.max(1));
        Ok(Self { config, resolver, tls, public: address::is_public, lanes })
    }

    /// One exchange, within the time limit.
    ///
    /// # Errors
    /// See [`FetchError`]. An answer with an error status is an answer.
    pub async fn fetch(&self, ask: Ask) -> Result<Answer, FetchError> {
        let target = self.config.permits_where(self.public, &ask.url)?;
        let limit = self.config.total;
        let slow = || FetchError::TooSlow { host: target.host(), seconds: limit.as_secs() };
        tokio::time::timeout(limit, self.exchange(ask, &target)).await.map_err(|_| slow())?
    }

    async fn exchange(&self, ask: Ask, target: &Target) -> Result<Answer, FetchError> {
        let broken = |why: String| FetchError::Broken { host: target.host(), why };
        let _lane = self.lanes.acquire().await.map_err(|e| broken(e.to_string()))?;
        let addresses = self.resolve(target).await?;
        let stream = self.connect(target, &addresses).await?;
        let limit = ask.limit;
        let request = request(ask, target).map_err(|e| broken(e.to_string()))?;
        let mut speaking = http1::Builder::new();
        let speaking = speaking.max_buf_size(HEAD).handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = speaking.map_err(|e| broken(e.to_string()))?;
        let talk = async move {
            let response = sender.send_request(request).await.map_err(|e| broken(reason(&e)))?;
            read(response, target, limit).await
        };
        let (mut talk, connection) = (pin!(talk), pin!(connection));
        tokio::select! {
            answer = &mut talk => return answer,
            // What came before the end is still to be read.
            _ = connection => {}
        }
        talk.await
    }

    /// Every address of the host, all of them allowed. The only place where names are resolved.
    async fn resolve(&self, target: &Target) -> Result<Vec<SocketAddr>, FetchError> {
        let found = match target.place() {
            Host::Address(address) => vec![*address],
            Host::Name(name) => {
                let unknown = |why: String| FetchError::NotResolved { host: name.clone(), why };
                let found = self.resolver.resolve(name).await.map_err(|e| unknown(e.to_string()))?;
                if found.is_empty() {
                    return Err(unknown("it has no address".to_owned()));
                }
                found
            }
        };
        // One forbidden address is enough to refuse: which of them is connected to is not ours to guess.
        found.iter().try_for_each(|address| self.config.permits_address(self.public, target, *address))?;
        Ok(found.into_iter().map(|address| SocketAddr::new(address, target.port())).collect())
    }

    async fn connect(&self, target: &Target, addresses: &[SocketAddr]) -> Result<Stream, FetchError> {
        let not = |why: String| FetchError::NotReached { host: target.host(), why };
        let tls = target.is_https().then(|| Arc::clone(&self.tls));
        let host = target.host();
        let connecting = connect::to(addresses, &host, tls);
        let connected = tokio::time::timeout(self.config.connect, connecting).await;
        let late = |_| not(format!("no connection within {} s", self.config.connect.as_secs()));
        connected.map_err(late)?.map_err(|e| not(reason(&e)))
    }
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher").field("config", &self.config).finish_non_exhaustive()
    }
}

fn request(ask: Ask, target: &Target) -> Result<Request<Full<Bytes>>, http::Error> {
    let mut request = Request::builder().method(ask.method).uri(target.origin_form()).body(Full::new(ask.body))?;
    let headers = request.headers_mut();
    *headers = ask.headers;
    headers.insert(HOST, HeaderValue::from_str(target.authority())?);
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(request)
}

/// Reads the body, at most to the limit.
async fn read(response: Response<Incoming>, target: &Target, limit: usize) -> Result<Answer, FetchError> {
    let host = || target.host();
    let (head, mut incoming) = response.into_parts();
    if head.status.is_redirection() {
        return Err(FetchError::Redirect { host: host(), status: head.status.as_u16() });
    }
    let mut body = BytesMut::new();
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|e| FetchError::Broken { host: host(), why: reason(&e) })?;
        let Ok(data) = frame.into_data() else { continue };
        if body.len() + data.len() > limit {
            return Err(FetchError::TooLarge { host: host(), limit });
        }
        body.extend_from_slice(&data);
    }
    Ok(Answer { status: head.status, headers: head.headers, body: body.freeze() })
}

/// An error with what caused it, for instance `connection refused`.
fn reason(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
