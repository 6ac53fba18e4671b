//! A platform that vouches for workloads, and the workload that logs in.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use chancery_authenticate::client::{AgentKey, ProofFor};
use chancery_authenticate::jose::{PrivateKey, encode};
use chancery_testkit::{Answer, HttpUpstream, TestApp};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// A signing key of a platform.
pub enum Key {
    Rsa(Box<RsaKeyPair>),
    Ec(PrivateKey),
}

impl Key {
    pub fn rsa() -> Self {
        Self::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()))
    }

    pub fn ec() -> Self {
        Self::Ec(PrivateKey::generate_p256().unwrap())
    }

    pub fn alg(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::Ec(_) => "ES256",
        }
    }

    pub fn jwk(&self, kid: &str) -> Value {
        let mut jwk: Value = match self {
            Self::Rsa(pair) => {
                // RSAPublicKey (RFC 8017, appendix A.1.1) in DER: its modulus of 2048 bits stands behind nine bytes.
                let modulus = &pair.public_key().as_ref()[9..265];
                json!({"kty": "RSA", "e": "AQAB", "n": encode(modulus)})
            }
            Self::Ec(key) => serde_json::from_str(key.public().canonical_jwk()).unwrap(),
        };
        jwk["kid"] = kid.into();
        jwk["alg"] = self.alg().into();
        jwk["use"] = "sig".into();
        jwk
    }

    /// A token over any header and claims.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
        let signature = match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
                signature
            }
            Self::Ec(key) => key.sign(signed.as_bytes()).unwrap(),
        };
        format!("{signed}.{}", encode(&signature))
    }
}

#[derive(Clone, Default)]
struct Served {
    url: String,
    keys: Arc<Mutex<Vec<Value>>>,
    asked: Arc<Mutex<usize>>,
    broken: Arc<Mutex<bool>>,
}

/// An issuer with discovery, as Kubernetes serves it.
pub struct Issuer {
    pub address: SocketAddr,
    served: Served,
    task: JoinHandle<()>,
}

impl Issuer {
    pub async fn start(keys: &[Value]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = Served { url: format!("http://{address}"), ..Served::default() };
        *served.keys.lock().unwrap() = keys.to_vec();
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(configuration))
            .route("/openid/v1/jwks", get(jwks))
            .with_state(served.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, served, task }
    }

    pub fn url(&self) -> &str {
        &self.served.url
    }

    /// Replaces the keys.
    pub fn publish(&self, keys: &[Value]) {
        *self.served.keys.lock().unwrap() = keys.to_vec();
    }

    /// From now on it answers with errors, or no longer.
    pub fn break_down(&self, broken: bool) {
        *self.served.broken.lock().unwrap() = broken;
    }

    /// How often its keys were asked for.
    pub fn asked(&self) -> usize {
        *self.served.asked.lock().unwrap()
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn configuration(State(served): State<Served>) -> Json<Value> {
    let url = &served.url;
    Json(json!({
        "issuer": url, "jwks_uri": format!("{url}/openid/v1/jwks"), "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"],
    }))
}

async fn jwks(State(served): State<Served>) -> Result<Json<Value>, http::StatusCode> {
    *served.asked.lock().unwrap() += 1;
    if *served.broken.lock().unwrap() {
        return Err(http::StatusCode::INTERNAL_SERVER_ERROR);
    }
    Ok(Json(json!({"keys": served.keys.lock().unwrap().clone()})))
}

/// A server with one upstream, that may fetch from these issuers, and a registered agent without a key.
pub async fn server(upstream: &HttpUpstream, issuers: &[&Issuer]) -> TestApp {
    let allow: Vec<String> = issuers.iter().map(|issuer| issuer.address.to_string()).collect();
    let app = TestApp::builder().http("crm", upstream).config(move |config| config.fetch.allow = allow).start().await;
    app.register("robot", "agent").await;
    app.grant("robot", "crm").await;
    app
}

/// The claims of a projected service account token, as a cluster of version 1.33 writes them.
pub fn kubernetes(app: &TestApp, issuer: &str) -> Value {
    let now = app.time().now().seconds();
    json!({
        "aud": [app.url()], "exp": now + 3600, "iat": now, "nbf": now, "iss": issuer, "jti": "b3b0b4a4-7d1c-4f0e-8a0a-4b1f7b0f3a51",
        "kubernetes.io": {
            "namespace": "pay",
            "node": {"name": "node-1", "uid": "646e7c5e-32d6-4d42-9dbd-e504e6cbe6b1"},
            "pod": {"name": "robot-7d4b9c8f6-x2x7q", "uid": "5e0bd49b-f040-43b0-99b7-22765a53f7f3"},
            "serviceaccount": {"name": "robot", "uid": "14ee3fa4-a7e2-420f-9f9a-dbc4507c3798"},
        },
        "sub": "system:serviceaccount:pay:robot",
    })
}

/// The claims of a workflow's token, as GitHub writes them for a push.
pub fn github(app: &TestApp, issuer: &str) -> Value {
    let now = app.time().now().seconds();
    json!({
        "jti": format!("run-{now}"), "sub": "repo:acme/app:ref:refs/heads/main", "aud": app.url(),
        "ref": "refs/heads/main", "sha": "3f1d2c", "repository": "acme/app", "repository_owner": "acme",
        "repository_owner_id": "12", "repository_id": "74", "repository_visibility": "private", "run_id": "991",
        "run_number": "10", "run_attempt": "2", "actor": "octocat", "workflow": "deploy", "head_ref": "", "base_ref": "",
        "event_name": "push", "ref_type": "branch", "job_workflow_ref": "acme/app/.github/workflows/deploy.yml@refs/heads/main",
        "iss": issuer, "nbf": now - 600, "exp": now + 300, "iat": now,
    })
}

/// The trust source of [`kubernetes`].
pub fn cluster(issuer: &str) -> Value {
    json!({
        "name": "cluster", "kind": "kubernetes", "agent": "robot", "issuer": issuer,
        "subject": "system:serviceaccount:pay:robot",
    })
}

/// The trust source of [`github`].
pub fn workflow(issuer: &str) -> Value {
    json!({
        "name": "workflow", "kind": "github", "agent": "robot", "issuer": issuer,
        "claims": {"repository": "acme/app", "ref": "refs/heads/main"},
    })
}

/// A process that has nothing but what its platform gave it, and a key that it made a moment ago.
pub struct Workload<'a> {
    app: &'a TestApp,
    key: Arc<AgentKey>,
}

impl<'a> Workload<'a> {
    pub fn new(app: &'a TestApp) -> Self {
        Self::with(app, Arc::new(AgentKey::generate().unwrap()))
    }

    /// The same with a key that it has.
    pub fn with(app: &'a TestApp, key: Arc<AgentKey>) -> Self {
        Self { app, key }
    }

    fn proof(&self, url: &str, token: Option<&str>, nonce: Option<&str>) -> String {
        let asked = ProofFor { method: "POST", url, token, nonce };
        self.key.proof(asked, self.app.time().now(), &*self.app.random()).unwrap()
    }

    /// Sends a form to the token endpoint, again if a nonce is needed.
    pub async fn ask(&self, pairs: &[(&str, &str)]) -> Answer {
        let url = self.app.at("/oauth/token");
        let form: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let mut nonce: Option<String> = None;
        loop {
            let request = http::Request::post(&url)
                .header("content-type", "application/x-www-form-urlencoded")
                .header("dpop", self.proof(&url, None, nonce.as_deref()))
                .body(http_body_util::Full::new(form.join("&").into()))
                .unwrap();
            let answer = self.app.http().send(request).await;
            let given = answer.header("dpop-nonce");
            if nonce.is_some()
                || given.is_empty()
                || answer.status.is_success()
                || answer.json()["error"] != "use_dpop_nonce"
            {
                return answer;
            }
            nonce = Some(given);
        }
    }

    /// Logs in with the platform's token as the grant.
    pub async fn log_in(&self, assertion: &str) -> Answer {
        self.ask(&[
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", assertion),
            ("resource", &self.app.at("/mcp/crm")),
        ])
        .await
    }

    /// Logs in with the platform's token as the authentication of a client.
    pub async fn authenticate(&self, assertion: &str) -> Answer {
        self.ask(&[
            ("grant_type", "client_credentials"),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", assertion),
            ("resource", &self.app.at("/mcp/crm")),
        ])
        .await
    }

    /// Calls the upstream's `echo` with an access token.
    pub async fn call(&self, token: &str) -> Answer {
        let url = self.app.at("/mcp/crm");
        let message = json!({
            "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
                "name": "echo", "arguments": {"text": "hello"},
                "_meta": {
                    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                    "io.modelcontextprotocol/clientCapabilities": {},
                },
            },
        });
        let mut nonce: Option<String> = None;
        loop {
            let proof = self.proof(&url, Some(token), nonce.as_deref());
            let authorization = format!("DPoP {token}");
            let headers = [
                ("authorization", authorization.as_str()),
                ("dpop", proof.as_str()),
                ("mcp-protocol-version", "2026-07-28"),
                ("mcp-method", "tools/call"),
                ("mcp-name", "echo"),
                ("accept", "application/json, text/event-stream"),
            ];
            let answer = self.app.http().post(&url, &headers, &message).await;
            let given = answer.header("dpop-nonce");
            if nonce.is_some() || given.is_empty() || !answer.header("www-authenticate").contains("use_dpop_nonce") {
                return answer;
            }
            nonce = Some(given);
        }
    }
}

/// The access token of a success.
pub fn token(answer: &Answer) -> String {
    answer.ok()["access_token"].as_str().unwrap().to_owned()
}

/// For a form (URL standard, application/x-www-form-urlencoded).
fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
