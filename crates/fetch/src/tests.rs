//! Attack class A7: what an address or the server behind it may try. Only loopback services of our own are reached.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::{Ask, Config, FetchError, Fetcher, Resolver, Resolving};

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Stands for a public address: loopback too, so that nothing leaves the machine.
const PUBLIC: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// A server that answers every connection in one way, and counts them.
struct Server {
    address: SocketAddr,
    seen: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

/// What is sent: a piece, and how often.
#[derive(Clone)]
struct Script {
    head: String,
    piece: Vec<u8>,
    times: usize,
    pause: Duration,
}

impl Script {
    fn answer(head: &str, body: &str) -> Self {
        let head = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n", body.len());
        Self { head, piece: body.into(), times: 1, pause: Duration::ZERO }
    }

    fn endless(piece: &[u8], times: usize, pause: Duration) -> Self {
        Self { head: "HTTP/1.1 200 OK\r\n\r\n".into(), piece: piece.into(), times, pause }
    }
}

impl Server {
    async fn start(script: Script) -> Self {
        Self::at(LOCAL, 0, script).await
    }

    async fn at(ip: IpAddr, port: u16, script: Script) -> Self {
        let listener = TcpListener::bind((ip, port)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                let script = script.clone();
                tokio::spawn(async move {
                    let mut request = [0; 4096];
                    let _ = socket.read(&mut request).await;
                    let _ = socket.write_all(script.head.as_bytes()).await;
                    for _ in 0..script.times {
                        if socket.write_all(&script.piece).await.is_err() {
                            return;
                        }
                        tokio::time::sleep(script.pause).await;
                    }
                });
            }
        });
        Self { address, seen, task }
    }

    fn url(&self) -> String {
        format!("http://{}/doc", self.address)
    }

    fn seen(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Gives one answer after the other, the last one for ever.
struct Rebinding {
    answers: Vec<Vec<IpAddr>>,
    asked: AtomicUsize,
}

impl Rebinding {
    fn new(answers: &[&[IpAddr]]) -> Arc<Self> {
        Arc::new(Self { answers: answers.iter().map(|a| a.to_vec()).collect(), asked: AtomicUsize::new(0) })
    }
}

impl Resolver for Rebinding {
    fn resolve(&self, _name: &str) -> Resolving {
        let turn = self.asked.fetch_add(1, Ordering::SeqCst).min(self.answers.len() - 1);
        let answer = self.answers[turn].clone();
        Box::pin(async move { Ok(answer) })
    }
}

fn config(allow: &[&str]) -> Config {
    Config {
        allow: allow.iter().map(|entry| (*entry).to_owned()).collect(),
        total: Duration::from_millis(600),
        connect: Duration::from_millis(300),
        ..Config::default()
    }
}

/// May reach that server.
fn fetcher_for(server: &Server) -> Fetcher {
    Fetcher::new(config(&[&server.address.to_string()])).unwrap()
}

/// Takes [`PUBLIC`] for public; plain http is listed for a name that is not at a private address.
fn resolving(resolver: Arc<dyn Resolver>, allow: &[&str]) -> Fetcher {
    let mut fetcher = Fetcher::with_resolver(config(allow), resolver).unwrap();
    fetcher.public = |address| address == PUBLIC;
    fetcher
}

#[tokio::test]
async fn a_listed_place_is_reached_over_http() {
    let server = Server::start(Script::answer("200 OK\r\ncontent-type: application/json", "{}")).await;
    let answer = fetcher_for(&server).fetch(Ask::get(server.url())).await.unwrap();
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"{}"[..]));
    assert!(answer.is_json());
}

#[tokio::test]
async fn an_error_status_is_an_answer() {
    let server = Server::start(Script::answer("404 Not Found", "no")).await;
    let answer = fetcher_for(&server).fetch(Ask::get(server.url())).await.unwrap();
    assert_eq!(answer.status.as_u16(), 404);
}

#[tokio::test]
async fn private_addresses_are_not_reached() {
    let server = Server::start(Script::answer("200 OK", "secret")).await;
    let port = server.address.port();
    let fetcher = Fetcher::new(config(&[])).unwrap();
    for host in ["127.0.0.1", "[::1]", "169.254.169.254", "0.0.0.0", "[fd00::1]", "10.0.0.1", "[2002:7f00:1::]"] {
        let refused = fetcher.fetch(Ask::get(format!("https://{host}:{port}/"))).await.unwrap_err();
        assert!(matches!(refused, FetchError::NotPublic { .. }), "{host}: {refused}");
        let refused = fetcher.fetch(Ask::get(format!("http://{host}:{port}/"))).await.unwrap_err();
        assert!(matches!(refused, FetchError::Plain(_)), "{host}: {refused}");
    }
    for host in ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"] {
        let refused = fetcher.fetch(Ask::get(format!("https://{host}:{port}/"))).await.unwrap_err();
        assert!(matches!(refused, FetchError::Url(_)), "{host}: {refused}");
    }
    for url in ["gopher://127.0.0.1/", "file:///etc/passwd", "ftp://127.0.0.1/"] {
        assert!(matches!(fetcher.fetch(Ask::get(url)).await, Err(FetchError::Url(_))), "{url}");
    }
    let local = fetcher.fetch(Ask::get(format!("https://localhost:{port}/"))).await.unwrap_err();
    assert!(matches!(local, FetchError::NotPublic { .. } | FetchError::NotResolved { .. }), "{local}");
    assert_eq!(server.seen(), 0);
}

#[tokio::test]
async fn a_listed_port_lists_no_other() {
    let (listed, other) =
        tokio::join!(Server::start(Script::answer("200 OK", "")), Server::start(Script::answer("200 OK", "")),);
    let refused = fetcher_for(&listed).fetch(Ask::get(other.url())).await.unwrap_err();
    assert!(matches!(refused, FetchError::Plain(_)), "{refused}");
    assert_eq!(other.seen(), 0);
}

/// A name that is public when it is checked and private when it is connected to: it is resolved once.
#[tokio::test]
async fn a_rebound_name_does_not_reach_the_private_address() {
    let public = Server::at(PUBLIC, 0, Script::answer("200 OK", "public")).await;
    let port = public.address.port();
    let private = Server::at(LOCAL, port, Script::answer("200 OK", "private")).await;
    let resolver = Rebinding::new(&[&[PUBLIC], &[LOCAL]]);
    let fetcher = resolving(resolver.clone(), &[]);
    // No certificate there: the connection is what counts.
    let url = format!("https://rebound.example:{port}/");
    let first = fetcher.fetch(Ask::get(&url)).await.unwrap_err();
    assert!(matches!(first, FetchError::NotReached { .. }), "{first}");
    assert_eq!((resolver.asked.load(Ordering::SeqCst), public.seen(), private.seen()), (1, 1, 0));
    let second = fetcher.fetch(Ask::get(&url)).await.unwrap_err();
    assert!(matches!(second, FetchError::NotPublic { address: LOCAL, .. }), "{second}");
    assert_eq!((resolver.asked.load(Ordering::SeqCst), public.seen(), private.seen()), (2, 1, 0));
}

#[tokio::test]
async fn one_private_address_among_public_ones_is_enough_to_refuse() {
    let public = Server::at(PUBLIC, 0, Script::answer("200 OK", "")).await;
    let fetcher = resolving(Rebinding::new(&[&[PUBLIC, LOCAL]]), &[]);
    let url = format!("https://mixed.example:{}/", public.address.port());
    assert!(matches!(fetcher.fetch(Ask::get(url)).await, Err(FetchError::NotPublic { .. })));
    assert_eq!(public.seen(), 0);
}

/// A listed name may be at a private address, but not where clouds keep their keys.
#[tokio::test]
async fn a_listed_name_may_be_private_and_not_link_local() {
    let server = Server::start(Script::answer("200 OK", "inside")).await;
    let entry = format!("issuer.internal:{}", server.address.port());
    let resolver = Rebinding::new(&[&[LOCAL], &["169.254.169.254".parse().unwrap()]]);
    let fetcher = resolving(resolver, &[&entry]);
    let url = format!("http://{entry}/");
    assert_eq!(&fetcher.fetch(Ask::get(&url)).await.unwrap().body[..], b"inside");
    assert!(matches!(fetcher.fetch(Ask::get(&url)).await, Err(FetchError::NotPublic { .. })));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let inside = Server::start(Script::answer("200 OK", "inside")).await;
    for status in [301, 302, 303, 307, 308] {
        let head = format!("{status} Elsewhere\r\nlocation: {}", inside.url());
        let server = Server::start(Script::answer(&head, "")).await;
        let allow = [server.address.to_string(), inside.address.to_string()];
        let fetcher = Fetcher::new(config(&[&allow[0], &allow[1]])).unwrap();
        let refused = fetcher.fetch(Ask::get(server.url())).await.unwrap_err();
        assert!(matches!(refused, FetchError::Redirect { status: s, .. } if s == status), "{refused}");
    }
    assert_eq!(inside.seen(), 0);
}

#[tokio::test]
async fn ten_megabytes_are_not_read() {
    let server = Server::start(Script::endless(&[b'x'; 10_240], 1024, Duration::ZERO)).await;
    let refused = fetcher_for(&server).fetch(Ask::get(server.url())).await.unwrap_err();
    assert!(matches!(refused, FetchError::TooLarge { limit: 65_536, .. }), "{refused}");
    let exact = Server::start(Script::answer("200 OK", "12345")).await;
    let fetcher = fetcher_for(&exact);
    assert!(fetcher.fetch(Ask::get(exact.url()).limit(5)).await.is_ok());
    assert!(matches!(fetcher.fetch(Ask::get(exact.url()).limit(4)).await, Err(FetchError::TooLarge { .. })));
}

#[tokio::test]
async fn a_body_that_drips_is_given_up() {
    let server = Server::start(Script::endless(b"x", 10_000, Duration::from_millis(20))).await;
    let refused = fetcher_for(&server).fetch(Ask::get(server.url())).await.unwrap_err();
    assert!(matches!(refused, FetchError::TooSlow { .. }), "{refused}");
}

#[tokio::test]
async fn a_head_without_end_is_given_up() {
    let mut script = Script::endless(&b"x: y\r\n".repeat(1000), 1000, Duration::ZERO);
    script.head = "HTTP/1.1 200 OK\r\n".into();
    let server = Server::start(script).await;
    let refused = fetcher_for(&server).fetch(Ask::get(server.url())).await.unwrap_err();
    assert!(matches!(refused, FetchError::Broken { .. }), "{refused}");
}

/// Exchanges that hang cannot take more than their lanes, and waiting counts.
#[tokio::test]
async fn exchanges_have_lanes() {
    let server = Server::start(Script::endless(b"x", 10_000, Duration::from_millis(20))).await;
    let config = Config { at_once: 1, ..config(&[&server.address.to_string()]) };
    let fetcher = Fetcher::new(config).unwrap();
    let (one, two) = tokio::join!(fetcher.fetch(Ask::get(server.url())), fetcher.fetch(Ask::get(server.url())));
    assert!(
        matches!((&one, &two), (Err(FetchError::TooSlow { .. }), Err(FetchError::TooSlow { .. }))),
        "{one:?} {two:?}"
    );
    assert_eq!(server.seen(), 1);
}

mod secure {
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::crypto::aws_lc_rs;
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;

    use super::*;

    /// Serves one document over TLS under a certificate for `issuer.example`; returns its port and the certificate.
    async fn serve() -> (u16, String, JoinHandle<()>) {
        let made = rcgen::generate_simple_self_signed(["issuer.example".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((PUBLIC, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(socket).await else { continue };
                let mut request = [0; 4096];
                let read = stream.read(&mut request).await.unwrap_or(0);
                let seen = String::from_utf8_lossy(&request[..read]).into_owned();
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{seen}", seen.len());
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        (port, made.cert.pem(), task)
    }

    #[tokio::test]
    async fn certificates_are_checked_against_the_host() {
        let (port, pem, task) = serve().await;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), pem).unwrap();
        let trusting = Config { authorities: Some(file.path().to_owned()), ..config(&[]) };
        let mut fetcher = Fetcher::with_resolver(trusting, Rebinding::new(&[&[PUBLIC]])).unwrap();
        fetcher.public = |address| address == PUBLIC;
        let answer = fetcher.fetch(Ask::get(format!("https://issuer.example:{port}/keys?a=b"))).await.unwrap();
        let seen = String::from_utf8_lossy(&answer.body).to_ascii_lowercase();
        assert!(seen.starts_with("get /keys?a=b http/1.1\r\n"), "{seen}");
        assert!(seen.contains(&format!("host: issuer.example:{port}\r\n")), "{seen}");
        assert!(seen.contains("user-agent: chancery/") && !seen.contains("cookie"), "{seen}");
        let other = fetcher.fetch(Ask::get(format!("https://other.example:{port}/"))).await.unwrap_err();
        assert!(matches!(other, FetchError::NotReached { .. }), "{other}");
        let stranger = resolving(Rebinding::new(&[&[PUBLIC]]), &[]);
        let refused = stranger.fetch(Ask::get(format!("https://issuer.example:{port}/"))).await.unwrap_err();
        assert!(matches!(refused, FetchError::NotReached { .. }), "{refused}");
        task.abort();
    }
}
