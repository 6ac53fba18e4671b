//! A client that states itself: its document, and what it sends.

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use chancery_authenticate::client::AgentKey;
use chancery_testkit::{Answer, Builder, TestApp};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::client::{CALLBACK, CODE, Flow, Pairs, VERIFIER, with};

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What is served: the document, and the keys beside it.
#[derive(Default)]
struct Said {
    document: Value,
    keys: Value,
}

/// A document on this machine.
pub struct Document {
    /// Its address, which is the `client_id`.
    pub url: String,
    authority: String,
    said: Arc<Mutex<Said>>,
    serving: JoinHandle<()>,
}

impl Document {
    /// The document of a public client with these redirect addresses.
    pub async fn serve(redirect_uris: &[&str]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let url = format!("http://{authority}/client.json");
        let document = json!({"client_id": url, "client_name": "App", "redirect_uris": redirect_uris});
        let said = Arc::new(Mutex::new(Said { document, keys: Value::Null }));
        let router = Router::new()
            .route(
                "/client.json",
                get(async |State(said): State<Arc<Mutex<Said>>>| Json(said.lock().unwrap().document.clone())),
            )
            .route(
                "/jwks.json",
                get(async |State(said): State<Arc<Mutex<Said>>>| Json(said.lock().unwrap().keys.clone())),
            )
            .with_state(said.clone());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, authority, said, serving }
    }

    /// It says something else from now on.
    pub fn says(&self, name: &str, value: Value) {
        self.said.lock().unwrap().document[name] = value;
    }

    /// The keys at `/jwks.json` are these from now on.
    pub fn keys(&self, keys: &[&AgentKey]) {
        self.said.lock().unwrap().keys = key_set(keys);
    }

    /// The set there is this.
    pub fn said_keys(&self, keys: Value) {
        self.said.lock().unwrap().keys = keys;
    }

    /// Where its keys are.
    pub fn keys_url(&self) -> String {
        format!("http://{}/jwks.json", self.authority)
    }

    /// A server that may fetch it.
    pub fn within_reach(&self, builder: Builder) -> Builder {
        let authority = self.authority.clone();
        builder.config(move |config| config.fetch.allow.push(authority))
    }

    /// Somebody says that it is the client of agent `helper`.
    pub async fn adopt(&self, app: &TestApp) {
        app.admin("POST", "/v1/agents/helper/clients", json!({"metadata": self.url})).await.ok();
    }

    /// An authorization request in its name.
    pub fn request(&self, flow: &Flow) -> Pairs {
        with(&flow.request(), &[("client_id", &self.url), ("redirect_uri", CALLBACK)])
    }

    /// A request in its name, with a proof by a key if there is one.
    pub async fn post(&self, flow: &Flow, key: Option<&AgentKey>, path: &str, form: &[(&str, &str)]) -> Answer {
        flow.send(key, path, &with(&[], &[&[("client_id", self.url.as_str())], form].concat())).await
    }

    /// The same, authenticated by an assertion of this key.
    pub async fn post_signed(&self, flow: &Flow, signer: &AgentKey, path: &str, form: &[(&str, &str)]) -> Answer {
        let now = flow.app.time().now();
        let assertion = signer.assertion(&self.url, flow.app.url(), now, &*flow.app.random()).unwrap();
        let own = [("client_assertion_type", JWT_BEARER), ("client_assertion", assertion.as_str())];
        self.post(flow, Some(signer), path, &[&own, form].concat()).await
    }
}

impl Drop for Document {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// The public halves of these keys.
pub fn key_set(keys: &[&AgentKey]) -> Value {
    let named = |key: &&AgentKey| {
        let mut jwk: Value = serde_json::from_str(key.jwk()).unwrap();
        jwk["kid"] = key.thumbprint().into();
        jwk
    };
    json!({"keys": keys.iter().map(named).collect::<Vec<_>>()})
}

/// What redeems a code.
pub fn redeeming(code: &str) -> [(&str, &str); 3] {
    [("grant_type", CODE), ("code", code), ("code_verifier", VERIFIER)]
}

/// What goes on with a session.
pub fn refreshing(token: &str) -> [(&str, &str); 2] {
    [("grant_type", "refresh_token"), ("refresh_token", token)]
}
