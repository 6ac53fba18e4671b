//! The TLS door, and clients that are known by their certificates (RFC 8705).

use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use bytes::Bytes;
use chancery_server::Tls;
use chancery_testkit::{Builder, HttpUpstream, TestApp};
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

const TLS13_ONLY: &[&SupportedProtocolVersion] = &[&TLS13];

/// A certificate with its key.
pub struct Identity {
    pub certificate: rcgen::Certificate,
    pub key: KeyPair,
}

impl Identity {
    /// Signed by itself.
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        Self { certificate: params.self_signed(&key).unwrap(), key }
    }

    pub fn thumbprint(&self) -> String {
        thumbprint(self.certificate.der())
    }

    pub fn shown(&self) -> Shown {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        (vec![self.certificate.der().clone()], key)
    }
}

/// The `x5t#S256` of a certificate (RFC 8705, section 3.1).
pub fn thumbprint(der: &[u8]) -> String {
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(aws_lc_rs_digest(der))
}

fn aws_lc_rs_digest(bytes: &[u8]) -> Vec<u8> {
    ::aws_lc_rs::digest::digest(&::aws_lc_rs::digest::SHA256, bytes).as_ref().to_vec()
}

/// What a client shows: its certificates, the own one first, and the key of that.
pub type Shown = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// An authority that signs certificates of clients.
pub struct Authority {
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        Self { certificate: params.self_signed(&key).unwrap(), issuer: Issuer::new(params, key) }
    }

    pub(super) fn client(&self, name: &str) -> Identity {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        Identity { certificate: params.signed_by(&key, &self.issuer).unwrap(), key }
    }
}

/// A server with a TLS door beside the plain one, an upstream, and agent `billing` that may use it.
pub struct House {
    pub app: TestApp,
    pub server: Identity,
    _upstream: HttpUpstream,
    _files: tempfile::TempDir,
}

/// What came back: status and JSON.
pub type Said = (u16, Value);

fn configured(files: &Path, server: &Identity, client_roots: &[&Authority]) -> Tls {
    let write = |name: &str, text: &str| {
        use std::os::unix::fs::PermissionsExt;
        let path = files.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let root = |(at, root): (usize, &&Authority)| write(&format!("root-{at}.pem"), &root.certificate.pem());
    Tls {
        listen: ([127, 0, 0, 1], 0).into(),
        certificate: write("server.pem", &server.certificate.pem()),
        key: write("server.key", &server.key.serialize_pem()),
        client_roots: client_roots.iter().enumerate().map(root).collect(),
        public_url: None,
    }
}

impl House {
    pub async fn open(client_roots: &[&Authority]) -> Self {
        Self::open_with(client_roots, |_| {}).await
    }

    /// With another change of the configuration.
    pub async fn open_with(client_roots: &[&Authority], change: impl FnOnce(&mut chancery_server::Config)) -> Self {
        let (files, server) = (tempfile::tempdir().unwrap(), Identity::new("127.0.0.1"));
        let tls = configured(files.path(), &server, client_roots);
        let upstream = HttpUpstream::start().await;
        let builder = TestApp::builder().http("crm", &upstream).config(|config| config.tls = Some(tls));
        let app = builder.config(change).start().await;
        app.register("billing", "agent").await;
        app.grant("billing", "crm").await;
        Self { app, server, _upstream: upstream, _files: files }
    }

    pub fn authority(&self) -> &str {
        self.app.app().tls_url().unwrap().strip_prefix("https://").unwrap()
    }

    async fn register(&self, body: Value) -> chancery_testkit::Answer {
        self.app.admin("PUT", "/v1/agents/billing/certificate", body).await
    }

    async fn connect(
        &self,
        shown: Option<Shown>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.server.certificate.der().clone()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let config = config.with_root_certificates(roots);
        let mut config = match shown {
            Some((chain, key)) => config.with_client_auth_cert(chain, key).unwrap(),
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let stream = TcpStream::connect(self.authority()).await?;
        let name = ServerName::try_from("127.0.0.1").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// One request over a connection of its own.
    async fn send(&self, identity: Option<&Identity>, request: Request<Full<Bytes>>) -> Said {
        self.send_shown(identity.map(Identity::shown), request).await
    }

    /// The same, with certificates of anybody.
    pub async fn send_shown(&self, shown: Option<Shown>, request: Request<Full<Bytes>>) -> Said {
        let stream = self.connect(shown, TLS13_ONLY).await.expect("a handshake");
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let driver = tokio::spawn(connection);
        let answer = sender.send_request(request).await.expect("an answer");
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        driver.abort();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    async fn ask(&self, identity: Option<&Identity>, client_id: &str) -> Said {
        self.ask_shown(identity.map(Identity::shown), client_id).await
    }

    /// Asks for a token.
    pub async fn ask_shown(&self, shown: Option<Shown>, client_id: &str) -> Said {
        let resource = self.app.at("/mcp/crm").replace(':', "%3A").replace('/', "%2F");
        let form = format!("grant_type=client_credentials&client_id={client_id}&resource={resource}");
        let request = Request::post("/oauth/token")
            .header("host", self.authority())
            .header("content-type", "application/x-www-form-urlencoded");
        self.send_shown(shown, request.body(Full::new(Bytes::from(form))).unwrap()).await
    }

    async fn token(&self, identity: &Identity) -> String {
        let (status, said) = self.ask(Some(identity), "billing").await;
        assert_eq!(status, 200, "{said}");
        assert_eq!(said["token_type"], "Bearer");
        said["access_token"].as_str().unwrap().to_owned()
    }

    async fn call(&self, identity: Option<&Identity>, token: &str) -> u16 {
        let request = Request::post("/mcp/crm")
            .header("host", self.authority())
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("authorization", format!("Bearer {token}"));
        self.send(identity, request.body(Full::new(Bytes::from(hello().to_string()))).unwrap()).await.0
    }
}

fn hello() -> Value {
    json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "tls", "version": "1"},
    }})
}

pub fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[tokio::test]
async fn a_token_is_bound_to_the_certificate_it_was_asked_for_with() {
    let house = House::open(&[]).await;
    let (own, other) = (Identity::new("billing"), Identity::new("billing"));
    house.register(json!({"pem": own.certificate.pem()})).await.ok();
    let token = house.token(&own).await;
    assert_eq!(claims(&token)["cnf"], json!({"x5t#S256": own.thumbprint()}));

    assert_eq!(house.call(Some(&own), &token).await, 200);
    assert_eq!(house.call(Some(&other), &token).await, 401, "with another certificate");
    assert_eq!(house.call(None, &token).await, 401, "with none");
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("accept", "application/json, text/event-stream")];
    let plain = house.app.http().post(&house.app.at("/mcp/crm"), &headers, &hello()).await;
    assert_eq!(plain.status, 401, "at the plain door");
    assert_eq!(house.ask(Some(&other), "billing").await.0, 401);
    assert_eq!(house.ask(None, "billing").await.0, 401);

    house.register(json!({"pem": other.certificate.pem()})).await.ok();
    assert_eq!(house.call(Some(&own), &token).await, 401, "the certificate was replaced");
    assert_eq!(house.ask(Some(&own), "billing").await.0, 401);
    let token = house.token(&other).await;
    assert_eq!(house.call(Some(&other), &token).await, 200);

    house.app.admin("DELETE", "/v1/agents/billing/certificate", Value::Null).await.ok();
    assert_eq!(house.call(Some(&other), &token).await, 401, "the certificate was taken away");
    assert_eq!(house.ask(Some(&other), "billing").await.0, 401);
}

#[tokio::test]
async fn a_stopped_agent_is_refused_whatever_it_shows() {
    let house = House::open(&[]).await;
    let own = Identity::new("billing");
    house.register(json!({"pem": own.certificate.pem()})).await.ok();
    let token = house.token(&own).await;
    house.app.admin("POST", "/v1/agents/billing/suspend", json!({})).await.ok();
    assert_eq!(house.call(Some(&own), &token).await, 401);
    assert_eq!(house.ask(Some(&own), "billing").await.0, 401);
    house.app.admin("POST", "/v1/agents/billing/resume", json!({})).await.ok();
    assert_eq!(house.call(Some(&own), &token).await, 401, "it is of another epoch");
    house.token(&own).await;
}

#[tokio::test]
async fn certificates_of_the_configured_roots_are_known_by_their_name() {
    let (ours, others) = (Authority::new(), Authority::new());
    let house = House::open(&[&ours]).await;
    house.register(json!({"dns": "billing.acme.example"})).await.ok();
    house.token(&ours.client("billing.acme.example")).await;
    for (what, identity) in [
        ("another name", ours.client("crm.acme.example")),
        ("a longer name", ours.client("x.billing.acme.example")),
        ("a wildcard", ours.client("*.acme.example")),
        ("another root", others.client("billing.acme.example")),
        ("no root", Identity::new("billing.acme.example")),
    ] {
        assert_eq!(house.ask(Some(&identity), "billing").await.0, 401, "{what}");
    }
    let without = House::open(&[]).await;
    without.register(json!({"dns": "billing.acme.example"})).await.ok();
    assert_eq!(without.ask(Some(&ours.client("billing.acme.example")), "billing").await.0, 401, "no roots");
}

#[tokio::test]
async fn a_certificate_is_registered_once_and_only_if_it_can_be_used() {
    let house = House::open(&[]).await;
    let own = Identity::new("billing");
    house.register(json!({"pem": own.certificate.pem()})).await.ok();
    house.app.register("crm", "agent").await;
    let taken = house.app.admin("PUT", "/v1/agents/crm/certificate", json!({"pem": own.certificate.pem()})).await;
    assert_eq!(taken.problem(409), "C1051");
    assert_eq!(house.ask(Some(&own), "crm").await.0, 401);
    let two = format!("{}{}", own.certificate.pem(), Identity::new("x").certificate.pem());
    let key = own.key.serialize_pem();
    let mut past = CertificateParams::new(["billing".to_owned()]).unwrap();
    past.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let past = past.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
    for bad in [json!({}), json!({"pem": ""}), json!({"pem": two}), json!({"pem": key}), json!({"pem": past})] {
        assert_eq!(house.register(bad.clone()).await.problem(400), "C1050", "{bad}");
    }
    let log = house.app.log().await;
    let said = log.iter().find(|entry| entry["change"] == "set_certificate agent").expect("an entry");
    assert!(said["reason"].as_str().unwrap().contains("certificate exact:"), "{said:#}");
}

#[tokio::test]
async fn nothing_older_than_tls_1_3_is_spoken_and_no_foreign_name_answered() {
    let house = House::open(&[]).await;
    assert!(house.connect(None, &[&TLS12]).await.is_err());
    assert!(house.connect(None, TLS13_ONLY).await.is_ok());
    let request = |host: &str| {
        Request::get("/.well-known/oauth-authorization-server").header("host", host).body(Full::default()).unwrap()
    };
    let (status, metadata) = house.send(None, request(house.authority())).await;
    assert_eq!(status, 200, "{metadata}");
    assert_eq!(metadata["tls_client_certificate_bound_access_tokens"], true);
    let endpoint = format!("https://{}/oauth/token", house.authority());
    assert_eq!(metadata["mtls_endpoint_aliases"]["token_endpoint"], endpoint);
    let methods = metadata["token_endpoint_auth_methods_supported"].as_array().unwrap();
    for method in ["self_signed_tls_client_auth", "tls_client_auth"] {
        assert!(methods.contains(&json!(method)), "{metadata:#}");
    }
    assert_eq!(house.send(None, request("evil.example")).await.0, 403);
    let plain = TestApp::start().await;
    let metadata = plain.http().get(&plain.at("/.well-known/oauth-authorization-server")).await.ok();
    assert_eq!(metadata["tls_client_certificate_bound_access_tokens"], false);
    assert!(metadata.get("mtls_endpoint_aliases").is_none());
}

#[tokio::test]
async fn a_key_that_everybody_can_read_keeps_the_server_from_starting() {
    use std::os::unix::fs::PermissionsExt;
    let (files, server) = (tempfile::tempdir().unwrap(), Identity::new("127.0.0.1"));
    let tls = configured(files.path(), &server, &[]);
    std::fs::set_permissions(&tls.key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused = Builder::new().config(|config| config.tls = Some(tls.clone())).try_start().await.err();
    assert_eq!(refused.expect("it does not start").code, "C7002");
    std::fs::set_permissions(&tls.key, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&tls.certificate, Identity::new("127.0.0.1").certificate.pem()).unwrap();
    let refused = Builder::new().config(|config| config.tls = Some(tls)).try_start().await.err();
    assert_eq!(refused.expect("key and certificate do not belong together").code, "C7001");
}
