//! Upstreams over Streamable HTTP: one pooled client each, no redirects, no cookies, no credentials of the agent.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use chancery_store::Lease;
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::client::legacy::connect::{HttpConnector, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower_service::Service;

use super::Failure;
use super::line::{Underway, Wires};
use crate::config::Config;

/// Unused connections are closed before servers close them, most of which do so after five seconds: a request on a
/// connection that is being closed is lost, and may not be repeated.
const POOLED: Duration = Duration::from_secs(3);

/// One HTTP upstream. Clones share its connections.
#[derive(Clone)]
pub(crate) struct Http {
    client: Client<Wires, Full<Bytes>>,
    uri: Uri,
    /// How long is waited for the head of an answer, and for each further byte.
    pub(crate) idle: Duration,
}

impl Http {
    pub(crate) fn new(url: &str, config: &Config, lease: &Arc<Lease>) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|e| format!("`{url}` is not a URL: {e}"))?;
        let host = uri.host().filter(|_| uri.scheme_str() == Some("http"));
        let Some(host) = host else { return Err(format!("`{url}` is not an http:// URL")) };
        if host.trim_matches(['[', ']']).parse().is_ok_and(forbidden) {
            return Err(format!("`{url}` is a link-local address, where clouds keep their metadata"));
        }
        let mut connector = HttpConnector::new_with_resolver(Guarded(GaiResolver::new()));
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(config.timeouts.connect));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOLED)
            .build(Wires { connector, lease: Arc::clone(lease) });
        Ok(Self { client, uri, idle: config.timeouts.idle })
    }

    /// Its URL without the query, as proofs of a key name it (RFC 9449, section 4.2).
    pub(crate) fn url(&self) -> String {
        let (scheme, authority) = (self.uri.scheme_str().unwrap_or("http"), self.uri.authority());
        format!("{scheme}://{}{}", authority.map_or("", |authority| authority.as_str()), self.uri.path())
    }

    /// Sends one request and waits for the head of the answer. Dropped before, nothing more of it is sent.
    pub(crate) async fn send(
        &self,
        method: Method,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, Failure> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = headers;
        let connection = capture_connection(&mut request);
        let sending = pin!(tokio::time::timeout(self.idle, self.client.request(request)));
        // Dropped before what it cuts: by then the connection is not in the pool, and never comes there again.
        let underway = Underway::new(connection);
        match sending.await {
            Ok(Ok(response)) => {
                underway.answered();
                Ok(response)
            }
            Ok(Err(e)) if e.is_connect() => Err(Failure::not_sent(reason(&e))),
            Ok(Err(e)) => Err(Failure::unknown(reason(&e))),
            Err(_) => Err(Failure::unknown(format!("it did not answer within {} s", self.idle.as_secs()))),
        }
    }
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

/// Link-local addresses: cloud metadata services answer there, upstreams do not.
fn forbidden(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast(),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => forbidden(IpAddr::V4(v4)),
            None => {
                v6.is_unicast_link_local()
                    || v6.is_unspecified()
                    || v6.is_multicast()
                    || v6.segments()[..2] == [0xfd00, 0xec2]
            }
        },
    }
}

/// The system's resolver without forbidden addresses; what it gives is what is connected to.
#[derive(Clone)]
pub(crate) struct Guarded(GaiResolver);

impl Service<Name> for Guarded {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolving = self.0.call(name);
        Box::pin(async move {
            let allowed: Vec<_> = resolving.await?.filter(|address| !forbidden(address.ip())).collect();
            if allowed.is_empty() {
                return Err(std::io::Error::other("the name has no address that may be reached"));
            }
            Ok(allowed.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    use super::*;
    use crate::connection::testing::Still;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

    /// A server that says of each request that it came, and answers it.
    async fn server() -> (Uri, mpsc::UnboundedReceiver<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let (came, comes) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let came = came.clone();
                tokio::spawn(async move {
                    while stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {
                        let _ = came.send(());
                        stream.write_all(ANSWER).await.unwrap();
                    }
                });
            }
        });
        (uri, comes)
    }

    #[tokio::test]
    async fn a_connection_with_an_answer_that_nobody_read_is_given_to_nobody() {
        let (uri, mut comes) = server().await;
        let client = Client::builder(TokioExecutor::new()).build(Wires {
            connector: HttpConnector::new_with_resolver(Guarded(GaiResolver::new())),
            lease: Arc::new(Lease::for_ever(Arc::new(Still::default()))),
        });
        let http = Http { client, uri, idle: Duration::from_secs(20) };
        let send = || http.send(Method::GET, HeaderMap::new(), Bytes::new());
        {
            let mut first = pin!(send());
            tokio::select! {
                biased;
                _ = comes.recv() => {}
                _ = first.as_mut() => unreachable!("it is looked at only after it came"),
            }
            // The task of its connection reads the answer meanwhile; whoever sent it goes away without a look at it.
            for _ in 0..10_000 {
                tokio::task::yield_now().await;
            }
        }
        let answered = send().await.map_err(|failure| failure.why);
        assert_eq!(answered.unwrap().status(), 200);
    }

    #[test]
    fn metadata_addresses_are_not_reached() {
        for bad in ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "fd00:ec2::254", "0.0.0.0", "::"] {
            assert!(forbidden(bad.parse().unwrap()), "{bad}");
        }
        for good in ["127.0.0.1", "10.0.0.7", "::1", "203.0.113.9"] {
            assert!(!forbidden(good.parse().unwrap()), "{good}");
        }
    }
}
