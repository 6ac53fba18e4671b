//! The way to the gateway: tokens, proofs, nonces, and asking again where that helps.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chancery_authenticate::wallet::{Next, NotIssued, Wallet};
use chancery_model::problem::{BAD_ANSWER, BAD_CLIENT, UNREACHABLE};
use chancery_model::{Clock, Random};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::Mutex;

use crate::failure::{Done, Failure};
use crate::http::refused;

const DPOP: HeaderName = HeaderName::from_static("dpop");
const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");
/// How often a request is repeated: once for a nonce, once for a token, once for that token's nonce.
const ATTEMPTS: usize = 4;
/// How often, and after which pause, a token is asked for of a server that started a moment ago.
const PATIENCE: usize = 10;
const PAUSE: Duration = Duration::from_secs(1);
/// The longest answer of the token endpoint, in bytes.
const TOKEN_ANSWER: usize = 64 * 1024;

/// The token endpoint says what is wrong; this is who can mend it.
const ADVICE: &str = "a suspended agent is let go on with `chancery agent resume NAME`, an expired one with `chancery \
                      agent extend NAME`; a key that is not known is enrolled with `chancery agent enrol NAME`";

/// One agent's way to one server.
pub struct Link {
    client: Client<HttpConnector, Full<Bytes>>,
    wallet: Mutex<Wallet>,
    /// Where the server is reached; its own name for itself may be another.
    base: String,
    issuer_len: usize,
    resource: String,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Link {
    /// Nothing is sent yet.
    pub fn new(wallet: Wallet, base: &str, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Done<Self> {
        let resource = wallet.resource().to_owned();
        let issuer_len = resource.find("/mcp/").ok_or_else(|| Failure::new(BAD_ANSWER, &resource))?;
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            wallet: Mutex::new(wallet),
            base: base.to_owned(),
            issuer_len,
            resource,
            clock,
            random,
        })
    }

    /// Gets a token if there is none that lasts.
    pub async fn renew(&self) -> Done {
        let mut wallet = self.wallet.lock().await;
        let (mut asked, mut waited) = (0, 0);
        while asked < ATTEMPTS && waited < PATIENCE {
            if !wallet.is_empty(self.clock.now()) {
                return Ok(());
            }
            if self.ask(&mut wallet).await? == Next::Later {
                waited += 1;
                tokio::time::sleep(PAUSE).await;
            } else {
                asked += 1;
            }
        }
        Err(Failure::new(BAD_CLIENT, "the token endpoint asked for another nonce each time"))
    }

    async fn ask(&self, wallet: &mut Wallet) -> Done<Next> {
        let call = wallet.ask(self.clock.now(), &*self.random).map_err(|e| Failure::new(BAD_CLIENT, e))?;
        let mut request = Request::post(self.reached(&call.url))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::HOST, self.host());
        if let Some(dpop) = &call.dpop {
            request = request.header(DPOP, dpop);
        }
        let request = request.body(Full::new(Bytes::from(call.form))).map_err(|e| Failure::new(BAD_ANSWER, e))?;
        let response = self.client.request(request).await.map_err(|e| self.unreachable(&e))?;
        let (status, nonce) = (response.status().as_u16(), text(response.headers(), &DPOP_NONCE));
        let body = Limited::new(response.into_body(), TOKEN_ANSWER).collect().await;
        let body = body.map_err(|e| Failure::new(BAD_ANSWER, e))?.to_bytes();
        let taken = wallet.take(status, nonce.as_deref(), &body, self.clock.now());
        taken.map_err(|e| match e {
            NotIssued::Refused { .. } => Failure::new(BAD_CLIENT, e).next(ADVICE),
            NotIssued::Unreadable(_) => Failure::new(BAD_ANSWER, e),
        })
    }

    /// Sends a message, as often as it takes to have a token and a nonce that are good.
    pub async fn send(&self, method: &str, headers: HeaderMap, body: Vec<u8>) -> Done<Response<Incoming>> {
        let body = Bytes::from(body);
        for attempt in 1..=ATTEMPTS {
            self.renew().await?;
            let response = self.once(method, &headers, body.clone()).await?;
            let challenge = text(response.headers(), &header::WWW_AUTHENTICATE);
            let nonce = text(response.headers(), &DPOP_NONCE);
            let status = response.status().as_u16();
            let next = self.wallet.lock().await.answered(status, nonce.as_deref(), challenge.as_deref());
            if next == Next::Done || attempt == ATTEMPTS {
                return judged(response).await;
            }
        }
        Err(Failure::new(BAD_ANSWER, "the gateway asked again and again"))
    }

    async fn once(&self, method: &str, headers: &HeaderMap, body: Bytes) -> Done<Response<Incoming>> {
        let wallet = self.wallet.lock().await;
        let made = wallet.headers(method, &self.resource, self.clock.now(), &*self.random);
        drop(wallet);
        let made = made.map_err(|e| Failure::new(BAD_CLIENT, e))?;
        let bad = |e: &dyn std::fmt::Display| Failure::new(BAD_ANSWER, e);
        let verb = Method::from_bytes(method.as_bytes()).map_err(|e| bad(&e))?;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = verb;
        *request.uri_mut() = self.reached(&self.resource).parse().map_err(|e| bad(&e))?;
        *request.headers_mut() = headers.clone();
        let mut put = |name: HeaderName, value: &str| -> Done {
            request.headers_mut().insert(name, HeaderValue::from_str(value).map_err(|e| bad(&e))?);
            Ok(())
        };
        put(header::HOST, self.host())?;
        put(header::AUTHORIZATION, made.authorization.expose())?;
        if let Some(dpop) = &made.dpop {
            put(DPOP, dpop)?;
        }
        self.client.request(request).await.map_err(|e| self.unreachable(&e))
    }

    /// The same address as seen from here.
    fn reached(&self, url: &str) -> String {
        format!("{}{}", self.base, url.get(self.issuer_len..).unwrap_or_default())
    }

    fn host(&self) -> &str {
        self.base.strip_prefix("http://").unwrap_or(&self.base)
    }

    fn unreachable(&self, error: &dyn std::error::Error) -> Failure {
        let cause = error.source().map(|s| format!(": {s}")).unwrap_or_default();
        Failure::new(UNREACHABLE, format!("{}: {error}{cause}", self.base))
    }
}

/// An answer that is no MCP message is an error of its own.
async fn judged(response: Response<Incoming>) -> Done<Response<Incoming>> {
    let status = response.status();
    let kind = text(response.headers(), &header::CONTENT_TYPE).unwrap_or_default();
    let is_message = kind.starts_with("application/json") || kind.starts_with("text/event-stream");
    if status.is_success() || is_message {
        return Ok(response);
    }
    let body = Limited::new(response.into_body(), TOKEN_ANSWER).collect().await;
    let body = body.map_err(|e| Failure::new(BAD_ANSWER, e))?.to_bytes();
    Err(refused(status, &body))
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}
