//! An upstream MCP server with its own authorization server, both as honest as a test wants them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use chancery_server::Transport;
use chancery_testkit::TestApp;
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// What becomes of refresh tokens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Refreshing {
    /// Each works once and gives the next.
    Rotates,
    /// It waits until it may answer.
    Waits,
    /// It says `invalid_grant`.
    Refused,
    /// It answers 503.
    Down,
}

/// What the world does otherwise than an honest one.
pub(super) struct Behaviour {
    /// The issuer that the metadata states.
    pub(super) issuer: Option<String>,
    /// The authorization server that the resource names.
    pub(super) authorization_server: Option<String>,
    pub(super) resource: Option<String>,
    pub(super) pkce: bool,
    pub(super) authorization_endpoint: Option<String>,
    pub(super) iss_supported: bool,
    /// `iss` of authorization responses, if it is not the issuer.
    pub(super) iss: Option<Option<String>>,
    pub(super) refreshing: Refreshing,
    /// The scope that calls need besides `read`.
    pub(super) wants: Option<String>,
    pub(super) dpop: bool,
}

struct Inner {
    url: String,
    behaviour: Mutex<Behaviour>,
    /// Tokens that are taken, with their scopes.
    tokens: Mutex<Vec<(String, String)>>,
    newest: Mutex<(String, String)>,
    /// The refresh token that is taken.
    refresh: Mutex<String>,
    /// Scopes by the code they were granted with.
    granted: Mutex<String>,
    asked: Mutex<Vec<String>>,
    calls: Mutex<usize>,
    keys: Mutex<BTreeSet<String>>,
    /// Where registered clients may be sent back to.
    callbacks: Mutex<BTreeSet<String>>,
    /// Headers of client assertions.
    assertions: Mutex<Vec<String>>,
    waiting: Semaphore,
    may: Semaphore,
}

pub(crate) struct World {
    inner: Arc<Inner>,
    task: JoinHandle<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let honest = Behaviour {
            issuer: None,
            authorization_server: None,
            resource: None,
            pkce: true,
            authorization_endpoint: None,
            iss_supported: true,
            iss: None,
            refreshing: Refreshing::Rotates,
            wants: None,
            dpop: false,
        };
        let inner = Arc::new(Inner {
            url: format!("http://{}", listener.local_addr().unwrap()),
            behaviour: Mutex::new(honest),
            tokens: Mutex::default(),
            newest: Mutex::default(),
            refresh: Mutex::default(),
            granted: Mutex::default(),
            asked: Mutex::default(),
            calls: Mutex::default(),
            keys: Mutex::default(),
            callbacks: Mutex::default(),
            assertions: Mutex::default(),
            waiting: Semaphore::new(0),
            may: Semaphore::new(0),
        });
        let router = Router::new()
            .route("/mcp", post(mcp))
            .route("/.well-known/oauth-protected-resource/mcp", get(resource))
            .route("/.well-known/oauth-authorization-server", get(metadata))
            .route("/register", post(register))
            .route("/authorize", get(authorize))
            .route("/token", post(token))
            .route("/revoke", post(revoke))
            .with_state(inner.clone());
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self { inner, task }
    }

    /// A server of ours with this world behind it as `crm`, under this `oauth` table.
    pub(crate) fn behind(&self, oauth: Value) -> chancery_testkit::Builder {
        let oauth = serde_json::from_value(oauth).unwrap();
        TestApp::builder().server("crm", Transport::Http(self.at("/mcp")), None).config(|config| {
            config.fetch.allow = vec!["127.0.0.1:*".to_owned()];
            config.servers.get_mut("crm").unwrap().oauth = Some(oauth);
        })
    }

    pub(super) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.inner.url)
    }

    pub(super) fn set(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut lock(&self.inner.behaviour));
    }

    /// How often something was asked for: a grant type, or an endpoint.
    pub(super) fn asked(&self, what: &str) -> usize {
        lock(&self.inner.asked).iter().filter(|asked| *asked == what).count()
    }

    /// Tool calls that were done.
    pub(super) fn calls(&self) -> usize {
        *lock(&self.inner.calls)
    }

    /// Keys that proofs were made with.
    pub(super) fn keys(&self) -> usize {
        lock(&self.inner.keys).len()
    }

    /// Headers of the assertions that clients proved themselves with.
    pub(super) fn assertions(&self) -> Vec<String> {
        lock(&self.inner.assertions).clone()
    }

    pub(super) fn newest_token(&self) -> String {
        lock(&self.inner.newest).0.clone()
    }

    pub(super) fn newest_refresh(&self) -> String {
        lock(&self.inner.newest).1.clone()
    }

    /// No token is taken any more.
    pub(super) fn take_back(&self) {
        lock(&self.inner.tokens).clear();
    }

    /// Returns once somebody waits for a renewal.
    pub(super) async fn is_asked(&self) {
        self.inner.waiting.acquire().await.unwrap().forget();
    }

    pub(super) fn answer(&self) {
        self.inner.may.add_permits(1);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn resource(State(world): State<Arc<Inner>>) -> Json<Value> {
    let behaviour = lock(&world.behaviour);
    let resource = behaviour.resource.clone().unwrap_or_else(|| format!("{}/mcp", world.url));
    let server = behaviour.authorization_server.clone().unwrap_or_else(|| world.url.clone());
    Json(json!({"resource": resource, "authorization_servers": [server]}))
}

async fn metadata(State(world): State<Arc<Inner>>) -> Json<Value> {
    let (behaviour, url) = (lock(&world.behaviour), &world.url);
    let authorize = behaviour.authorization_endpoint.clone().unwrap_or_else(|| format!("{url}/authorize"));
    Json(json!({
        "issuer": behaviour.issuer.as_ref().unwrap_or(url),
        "authorization_endpoint": authorize,
        "token_endpoint": format!("{url}/token"),
        "registration_endpoint": format!("{url}/register"),
        "revocation_endpoint": format!("{url}/revoke"),
        "code_challenge_methods_supported": if behaviour.pkce { vec!["S256"] } else { vec!["plain"] },
        "authorization_response_iss_parameter_supported": behaviour.iss_supported,
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "none"],
        "dpop_signing_alg_values_supported": if behaviour.dpop { vec!["ES256"] } else { vec![] },
    }))
}

async fn register(State(world): State<Arc<Inner>>, Json(about): Json<Value>) -> (StatusCode, Json<Value>) {
    lock(&world.asked).push("register".into());
    lock(&world.callbacks).extend(about["redirect_uris"][0].as_str().map(str::to_owned));
    (
        StatusCode::CREATED,
        Json(
            json!({"client_id": "registered", "client_secret": "given-secret", "redirect_uris": about["redirect_uris"]}),
        ),
    )
}

type Parameters = std::collections::HashMap<String, String>;

async fn authorize(State(world): State<Arc<Inner>>, Query(asked): Query<Parameters>) -> Response {
    lock(&world.asked).push("authorize".into());
    assert_eq!(asked["code_challenge_method"], "S256");
    assert!(lock(&world.callbacks).contains(&asked["redirect_uri"]), "it is not the registered one");
    assert_eq!(asked["resource"], format!("{}/mcp", world.url));
    *lock(&world.granted) = asked.get("scope").cloned().unwrap_or_default();
    let honest = Some(world.url.clone());
    let iss = lock(&world.behaviour).iss.clone().unwrap_or(honest);
    let iss = iss.map(|iss| format!("&iss={iss}")).unwrap_or_default();
    let back = format!("{}?code=the-code&state={}{iss}", asked["redirect_uri"], asked["state"]);
    (StatusCode::FOUND, [(header::LOCATION, back)]).into_response()
}

async fn revoke(State(world): State<Arc<Inner>>) -> StatusCode {
    lock(&world.asked).push("revoke".into());
    world.tokens.lock().unwrap().clear();
    StatusCode::OK
}

async fn token(State(world): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) -> Response {
    let body = String::from_utf8(body.to_vec()).unwrap();
    let one =
        |name: &str| body.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}="))).unwrap_or("").to_owned();
    let grant = one("grant_type");
    lock(&world.asked).push(grant.clone());
    assert!(!one("resource").is_empty(), "{body}");
    let refused = |error: &str| (StatusCode::BAD_REQUEST, Json(json!({"error": error}))).into_response();
    let mut scope = one("scope").replace("%20", " ");
    match grant.as_str() {
        "authorization_code" => {
            assert!(one("code") == "the-code" && one("code_verifier").len() >= 43, "{body}");
            scope.clone_from(&lock(&world.granted));
        }
        "refresh_token" => {
            let how = lock(&world.behaviour).refreshing;
            match how {
                Refreshing::Down => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
                Refreshing::Refused => return refused("invalid_grant"),
                Refreshing::Waits => {
                    world.waiting.add_permits(1);
                    world.may.acquire().await.unwrap().forget();
                }
                Refreshing::Rotates => {}
            }
            if one("refresh_token") != *lock(&world.refresh) {
                return refused("invalid_grant");
            }
            scope.clone_from(&lock(&world.granted));
        }
        _ => {}
    }
    if let Some((header, _)) = one("client_assertion").split_once('.') {
        let header = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, header).unwrap();
        lock(&world.assertions).push(String::from_utf8(header).unwrap());
    }
    if let Some(proof) = headers.get("dpop") {
        let head = proof.to_str().unwrap().split('.').next().unwrap().to_owned();
        lock(&world.keys).insert(head);
    }
    let bound = lock(&world.behaviour).dpop;
    assert_eq!(bound, headers.contains_key("dpop"));
    let count = lock(&world.asked).len();
    let (access, refresh) = (format!("access-token-canary-{count}"), format!("refresh-token-canary-{count}"));
    lock(&world.tokens).push((access.clone(), scope.clone()));
    lock(&world.refresh).clone_from(&refresh);
    *lock(&world.newest) = (access.clone(), refresh.clone());
    let kind = if bound { "DPoP" } else { "Bearer" };
    let mut given = json!({"access_token": access, "token_type": kind, "expires_in": 120, "scope": scope});
    if grant != "client_credentials" {
        given["refresh_token"] = refresh.into();
    }
    Json(given).into_response()
}

async fn mcp(State(world): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) -> Response {
    let challenged = |status: StatusCode, more: &str| {
        let challenge =
            format!("Bearer resource_metadata=\"{}/.well-known/oauth-protected-resource/mcp\"{more}", world.url);
        (status, [(header::WWW_AUTHENTICATE, challenge)]).into_response()
    };
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
    let scheme = if lock(&world.behaviour).dpop { "DPoP " } else { "Bearer " };
    let known = shown
        .strip_prefix(scheme)
        .and_then(|token| lock(&world.tokens).iter().find(|(known, _)| known == token).map(|(_, scope)| scope.clone()));
    let Some(scope) = known else { return challenged(StatusCode::UNAUTHORIZED, ", scope=\"read\"") };
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let Some(id) = message.get("id") else { return StatusCode::ACCEPTED.into_response() };
    let wants = lock(&world.behaviour).wants.clone();
    let result = match message["method"].as_str().unwrap_or("") {
        "initialize" => json!({
            "protocolVersion": message["params"]["protocolVersion"], "capabilities": {"tools": {}},
            "serverInfo": {"name": "world", "version": "1"},
        }),
        "tools/list" => json!({
            "tools": [{"name": "headers", "inputSchema": {"type": "object"}}],
            "ttlMs": 0, "cacheScope": "private", "resultType": "complete",
        }),
        _ => {
            if let Some(wants) = wants.filter(|wants| !scope.split(' ').any(|has| has == wants)) {
                let more = format!(", error=\"insufficient_scope\", scope=\"{wants}\"");
                return challenged(StatusCode::FORBIDDEN, &more);
            }
            *lock(&world.calls) += 1;
            let text = format!("{shown} {}", lock(&world.newest).1);
            json!({"content": [{"type": "text", "text": text}], "resultType": "complete"})
        }
    };
    Json(json!({"jsonrpc": "2.0", "id": id, "result": result})).into_response()
}
