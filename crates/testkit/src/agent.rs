//! An agent: its key, its tokens, its requests.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use chancery_authenticate::client::{AgentKey, ProofFor};
use chancery_authenticate::wallet::{Next, Wallet};
use chancery_model::{Clock, Random, Secret};
use http::{Request, header};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::app::TestApp;
use crate::browser::encoded;
use crate::http::{Answer, Http};

/// How often a request is repeated for a nonce or a token.
const ATTEMPTS: usize = 4;
/// The stateless revision of MCP.
const STATELESS: &str = "2026-07-28";

/// An enrolled agent. Clones share key, tokens and nonces.
#[derive(Clone)]
pub struct Agent {
    name: String,
    url: String,
    /// Where requests go in truth, of a node among several that have one URL.
    node: Option<SocketAddr>,
    key: Arc<AgentKey>,
    http: Http,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    wallets: Arc<Mutex<Vec<Wallet>>>,
    bearer: bool,
    instance: Option<String>,
    manifest: Option<String>,
}

impl Agent {
    /// Makes a key and proves possession of it with the code.
    ///
    /// # Panics
    /// If the server does not take it.
    pub async fn enrol(app: &TestApp, name: &str, code: &str) -> Self {
        let key = AgentKey::generate().expect("a key");
        let answer = Self::try_enrol(app, &key, code).await;
        answer.ok();
        Self::with_key(app, name, Arc::new(key))
    }

    /// Sends an enrolment and gives the answer back.
    pub async fn try_enrol(app: &TestApp, key: &AgentKey, code: &str) -> Answer {
        let secret = Secret::new(code.to_owned());
        let proof = key.enrolment_proof(&secret, app.url(), app.time().now()).expect("a proof");
        let jwk: Value = serde_json::from_str(key.jwk()).expect("a JWK");
        app.http().post(&app.at("/oauth/enrol"), &[], &json!({"code": code, "jwk": jwk, "proof": proof})).await
    }

    /// An agent whose key is enrolled already.
    pub fn with_key(app: &TestApp, name: &str, key: Arc<AgentKey>) -> Self {
        Self {
            name: name.to_owned(),
            url: app.url().to_owned(),
            node: None,
            key,
            http: Http::new(),
            clock: app.time(),
            random: app.random(),
            wallets: Arc::default(),
            bearer: false,
            instance: None,
            manifest: None,
        }
    }

    /// Makes a key and proves possession of it with the code, at a node of several that have one URL.
    ///
    /// # Panics
    /// If the node does not take it.
    pub async fn enrol_at(
        (url, node): (&str, SocketAddr),
        (clock, random): (Arc<dyn Clock>, Arc<dyn Random>),
        (name, code): (&str, &str),
    ) -> Self {
        let key = Arc::new(AgentKey::generate().expect("a key"));
        let proof = key.enrolment_proof(&Secret::new(code.to_owned()), url, clock.now()).expect("a proof");
        let jwk: Value = serde_json::from_str(key.jwk()).expect("a JWK");
        let agent = Self {
            name: name.to_owned(),
            url: url.to_owned(),
            node: Some(node),
            key,
            http: Http::new(),
            clock,
            random,
            wallets: Arc::default(),
            bearer: false,
            instance: None,
            manifest: None,
        };
        let body = json!({"code": code, "jwk": jwk, "proof": proof}).to_string();
        let request = Request::post(format!("{url}/oauth/enrol")).header(header::CONTENT_TYPE, "application/json");
        agent.exchange(request.body(Full::new(Bytes::from(body))).expect("a request")).await.ok();
        agent
    }

    /// The same agent at another node of several that have one URL, in a session of its own.
    #[must_use]
    pub fn at_node(&self, node: SocketAddr) -> Self {
        Self { node: Some(node), http: Http::new(), wallets: Arc::default(), ..self.clone() }
    }

    /// The same agent with the tokens that it has, at another node of several that have one URL.
    #[must_use]
    pub fn moved_to(&self, node: SocketAddr) -> Self {
        Self { node: Some(node), http: Http::new(), ..self.clone() }
    }

    /// The same agent, which goes on with a session for this upstream server.
    #[must_use]
    pub async fn within(self, server: &str, sid: &str) -> Self {
        let wallet = Wallet::new(Arc::clone(&self.key), &self.name, &self.url, &self.mcp(server)).within(sid);
        self.wallets.lock().await.push(wallet);
        self
    }

    /// Sends a request to where it goes in truth, under the name that everybody knows.
    async fn exchange(&self, mut request: Request<Full<Bytes>>) -> Answer {
        if let Some(node) = self.node {
            let authority = self.url.split_once("://").map_or(self.url.as_str(), |(_, authority)| authority);
            request.headers_mut().insert(header::HOST, authority.parse().expect("a host"));
            let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
            *request.uri_mut() = format!("http://{node}{path}").parse().expect("an address");
        }
        self.http.send(request).await
    }

    /// The same agent at the same data behind another port, after a restart.
    #[must_use]
    pub fn at(&self, app: &TestApp) -> Self {
        Self { url: app.url().to_owned(), wallets: Arc::default(), ..self.clone() }
    }

    /// The session its tokens for an upstream server belong to.
    ///
    /// # Panics
    /// If it has none.
    pub async fn sid(&self, server: &str) -> String {
        let mut wallets = self.wallets.lock().await;
        self.wallet(&mut wallets, &self.mcp(server)).session().expect("a session").to_owned()
    }

    /// The same agent at the same data behind another port, which goes on with a session.
    #[must_use]
    pub async fn again(&self, app: &TestApp, server: &str, sid: &str) -> Self {
        let agent = self.at(app);
        let wallet = Wallet::new(Arc::clone(&agent.key), &agent.name, &agent.url, &agent.mcp(server)).within(sid);
        agent.wallets.lock().await.push(wallet);
        agent
    }

    /// The same agent without proofs: plain bearer tokens.
    #[must_use]
    pub fn bearer(&self) -> Self {
        Self { bearer: true, wallets: Arc::default(), ..self.clone() }
    }

    /// The same agent as one of its running copies.
    #[must_use]
    pub fn copy(&self, instance: &str) -> Self {
        Self { instance: Some(instance.to_owned()), wallets: Arc::default(), ..self.clone() }
    }

    /// The same agent, stating what it is made of: a manifest as JSON, or its digest.
    #[must_use]
    pub fn made_of(&self, manifest: &str) -> Self {
        Self { manifest: Some(manifest.to_owned()), wallets: Arc::default(), ..self.clone() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its key.
    pub fn key(&self) -> &Arc<AgentKey> {
        &self.key
    }

    /// The resource of an upstream server.
    pub fn mcp(&self, server: &str) -> String {
        format!("{}/mcp/{server}", self.url)
    }

    /// An access token for a resource, as it is sent.
    ///
    /// # Panics
    /// If none is issued.
    pub async fn token(&self, resource: &str) -> String {
        let mut wallets = self.wallets.lock().await;
        let wallet = self.wallet(&mut wallets, resource);
        let refused = self.renew(wallet).await;
        assert!(refused.is_none(), "{refused:?}");
        wallet.token().expect("a token").expose().to_owned()
    }

    /// The token endpoint's refusal, if it refuses.
    pub async fn try_token(&self, resource: &str) -> Option<Answer> {
        let mut wallets = self.wallets.lock().await;
        self.renew(self.wallet(&mut wallets, resource)).await
    }

    fn wallet<'w>(&self, wallets: &'w mut Vec<Wallet>, resource: &str) -> &'w mut Wallet {
        let at = wallets.iter().position(|wallet| wallet.resource() == resource).unwrap_or_else(|| {
            let wallet = Wallet::new(Arc::clone(&self.key), &self.name, &self.url, resource);
            let wallet = if self.bearer { wallet.bearer() } else { wallet };
            let wallet = self.instance.iter().fold(wallet, |wallet, name| wallet.instance(name));
            wallets.push(self.manifest.iter().fold(wallet, |wallet, stated| wallet.manifest(stated)));
            wallets.len() - 1
        });
        &mut wallets[at]
    }

    async fn renew(&self, wallet: &mut Wallet) -> Option<Answer> {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            if !wallet.is_empty(self.clock.now()) {
                return None;
            }
            let call = wallet.ask(self.clock.now(), &*self.random).expect("a token request");
            let mut request =
                Request::post(&call.url).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
            if let Some(dpop) = &call.dpop {
                request = request.header("dpop", dpop);
            }
            let answer = self.exchange(request.body(Full::new(Bytes::from(call.form))).expect("a request")).await;
            let nonce = answer.header("dpop-nonce");
            let nonce = (!nonce.is_empty()).then_some(nonce.as_str());
            let taken = wallet.take(answer.status.as_u16(), nonce, &answer.body, self.clock.now());
            last = Some(answer);
            if taken.is_err() {
                break;
            }
        }
        last.filter(|_| wallet.is_empty(self.clock.now()))
    }

    /// Hands its session for an upstream server over to another agent, which takes it for the same server (RFC 8693): the
    /// token endpoint's answer, which [`Agent::holding`] takes.
    ///
    /// # Panics
    /// If one of both is refused.
    pub async fn hand_on(&self, to: &Self, server: &str, purpose: &str) -> Value {
        let resource = self.mcp(server);
        let handed = self.swap(&self.token(&resource).await, &[("may_act", to.name())]).await.ok();
        let handed = handed["access_token"].as_str().expect("a token").to_owned();
        to.swap(&handed, &[("resource", &resource), ("purpose", purpose)]).await.ok()
    }

    /// The same agent with a token for an upstream server that it was given, and the session of that.
    ///
    /// # Panics
    /// If that is no answer of a token endpoint.
    #[must_use]
    pub async fn holding(self, server: &str, issued: &Value) -> Self {
        let mut wallet = Wallet::new(Arc::clone(&self.key), &self.name, &self.url, &self.mcp(server));
        wallet.take(200, None, issued.to_string().as_bytes(), self.clock.now()).expect("a token");
        self.wallets.lock().await.push(wallet);
        self
    }

    /// A token exchange, with a proof by its key; repeated once for a nonce.
    async fn swap(&self, subject: &str, more: &[(&str, &str)]) -> Answer {
        let url = format!("{}/oauth/token", self.url);
        let mut nonce = String::new();
        loop {
            let now = self.clock.now();
            let assertion = self.key.assertion(&self.name, &self.url, now, &*self.random).expect("an assertion");
            let known = (!nonce.is_empty()).then_some(nonce.as_str());
            let asked = ProofFor { method: "POST", url: &url, token: None, nonce: known };
            let proof = self.key.proof(asked, now, &*self.random).expect("a proof");
            let base = [
                ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
                ("subject_token", subject),
                ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
                ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                ("client_assertion", &assertion),
            ];
            let form: Vec<String> =
                base.iter().chain(more).map(|(name, value)| format!("{name}={}", encoded(value))).collect();
            let request = Request::post(&url).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
            let body = Full::new(Bytes::from(form.join("&")));
            let answer = self.exchange(request.header("dpop", proof).body(body).expect("a request")).await;
            let again = nonce.is_empty() && answer.text().contains("use_dpop_nonce");
            nonce = answer.header("dpop-nonce");
            if !again {
                return answer;
            }
        }
    }

    /// A request to a resource, or to an address under it, with token and proof. Repeats it for a nonce, and once for
    /// a token that was refused; the last answer is given back whatever it is.
    pub async fn send(
        &self,
        resource: &str,
        path: &str,
        method: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut wallets = self.wallets.lock().await;
        let wallet = self.wallet(&mut wallets, resource);
        let url = format!("{resource}{path}");
        let mut last = None;
        for _ in 0..ATTEMPTS {
            if let Some(refused) = self.renew(wallet).await {
                return refused;
            }
            let request = self.request(wallet, &url, method, headers, body);
            let answer = self.exchange(request).await;
            let (nonce, challenge) = (answer.header("dpop-nonce"), answer.header("www-authenticate"));
            let nonce = (!nonce.is_empty()).then_some(nonce.as_str());
            let next = wallet.answered(answer.status.as_u16(), nonce, Some(&challenge));
            let again = next == Next::Again || (next == Next::Renew && last.is_none());
            last = Some(answer);
            if !again {
                break;
            }
        }
        last.expect("an answer")
    }

    /// What a request to an address under a resource carries: its token, and a proof of its own. With the nonce that was
    /// given last.
    ///
    /// # Panics
    /// If there is no token.
    pub async fn credentials(&self, resource: &str, path: &str, method: &str) -> Vec<(&'static str, String)> {
        let mut wallets = self.wallets.lock().await;
        let wallet = self.wallet(&mut wallets, resource);
        let refused = self.renew(wallet).await;
        assert!(refused.is_none(), "{refused:?}");
        let url = format!("{resource}{path}");
        let made = wallet.headers(method, &url, self.clock.now(), &*self.random).expect("headers");
        let proof = made.dpop.map(|proof| ("dpop", proof));
        [("authorization", made.authorization.expose().to_owned())].into_iter().chain(proof).collect()
    }

    fn request(
        &self,
        wallet: &Wallet,
        url: &str,
        method: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Request<Full<Bytes>> {
        let made = wallet.headers(method, url, self.clock.now(), &*self.random).expect("headers");
        let mut request = Request::builder()
            .method(method)
            .uri(url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, text/event-stream")
            .header(header::AUTHORIZATION, made.authorization.expose());
        if let Some(dpop) = &made.dpop {
            request = request.header("dpop", dpop);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Full::new(Bytes::copy_from_slice(body))).expect("a request")
    }

    /// A question to the access API: `evaluation` or `evaluations`.
    pub async fn ask(&self, endpoint: &str, question: &Value) -> Answer {
        let resource = format!("{}/access/v1", self.url);
        self.send(&resource, &format!("/{endpoint}"), "POST", &[], question.to_string().as_bytes()).await
    }

    /// A request over the stateless wire (2026-07-28), with the headers that belong to it.
    pub async fn rpc(&self, server: &str, method: &str, params: Value) -> Answer {
        let mut params = if params.is_null() { json!({}) } else { params };
        params["_meta"]["io.modelcontextprotocol/protocolVersion"] = STATELESS.into();
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
        let name = params["name"].as_str().or(params["uri"].as_str()).unwrap_or_default().to_owned();
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let mut headers = vec![("mcp-protocol-version", STATELESS), ("mcp-method", method)];
        if !name.is_empty() {
            headers.push(("mcp-name", &name));
        }
        self.send(&self.mcp(server), "", "POST", &headers, message.to_string().as_bytes()).await
    }

    /// Lists the tools the agent is shown, over the stateless wire.
    ///
    /// # Panics
    /// If the answer is no list.
    pub async fn tools(&self, server: &str) -> Vec<String> {
        let answer = self.rpc(server, "tools/list", Value::Null).await;
        let message = message(&answer);
        let tools = message["result"]["tools"].as_array().unwrap_or_else(|| panic!("no list: {message}")).clone();
        tools.iter().map(|tool| tool["name"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Calls a tool over the stateless wire; the JSON-RPC message that came back.
    pub async fn call(&self, server: &str, tool: &str, arguments: Value) -> Value {
        message(&self.rpc(server, "tools/call", json!({"name": tool, "arguments": arguments})).await)
    }

    /// Opens an MCP session over the wire of 2025-11-25.
    ///
    /// # Panics
    /// If the server does not open one.
    pub async fn session(&self, server: &str) -> McpSession {
        self.session_able(server, json!({})).await
    }

    /// The same, of a client with these capabilities.
    ///
    /// # Panics
    /// If the server does not open one.
    pub async fn session_able(&self, server: &str, capabilities: Value) -> McpSession {
        let hello = json!({
            "jsonrpc": "2.0", "id": 0, "method": "initialize",
            "params": {
                "protocolVersion": "2025-11-25", "capabilities": capabilities,
                "clientInfo": {"name": "testkit", "version": "1"},
            },
        });
        let answer = self.send(&self.mcp(server), "", "POST", &[], hello.to_string().as_bytes()).await;
        let hello = message(&answer);
        assert!(hello["result"]["protocolVersion"].is_string(), "no session: {} {hello}", answer.status);
        let session =
            McpSession { agent: self.clone(), server: server.to_owned(), id: answer.header("mcp-session-id"), hello };
        session.notify("notifications/initialized").await;
        session
    }
}

/// An MCP session over the wire of 2025-11-25.
pub struct McpSession {
    agent: Agent,
    server: String,
    id: String,
    hello: Value,
}

impl McpSession {
    /// `Mcp-Session-Id`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The answer to `initialize`.
    pub fn hello(&self) -> &Value {
        &self.hello
    }

    /// Sends a request; the answer as it came.
    pub async fn send(&self, method: &str, params: Value) -> Answer {
        let params = if params.is_null() { json!({}) } else { params };
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        self.raw("POST", message.to_string().as_bytes()).await
    }

    /// Sends a notification.
    pub async fn notify(&self, method: &str) -> Answer {
        self.raw("POST", json!({"jsonrpc": "2.0", "method": method}).to_string().as_bytes()).await
    }

    /// Calls a tool; the JSON-RPC message that came back.
    pub async fn call(&self, tool: &str, arguments: Value) -> Value {
        message(&self.send("tools/call", json!({"name": tool, "arguments": arguments})).await)
    }

    /// Ends the session.
    pub async fn end(&self) -> Answer {
        self.raw("DELETE", b"").await
    }

    async fn raw(&self, method: &str, body: &[u8]) -> Answer {
        let headers = [("mcp-session-id", self.id.as_str()), ("mcp-protocol-version", "2025-11-25")];
        let headers = if self.id.is_empty() { &headers[1..] } else { &headers[..] };
        self.agent.send(&self.agent.mcp(&self.server), "", method, headers, body).await
    }
}

/// The last JSON-RPC message of an answer, be it JSON or an event stream.
fn message(answer: &Answer) -> Value {
    if !answer.header("content-type").starts_with("text/event-stream") {
        return answer.json();
    }
    let text = answer.text();
    let last = text.lines().filter_map(|line| line.strip_prefix("data:")).next_back().unwrap_or_default();
    serde_json::from_str(last.trim()).unwrap_or_else(|e| panic!("not JSON ({e}): {text}"))
}
