//! A client that knows OAuth and nothing of ours: forms, proofs, assertions.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use chancery_authenticate::client::{AgentKey, ProofFor};
use chancery_testkit::{Agent, Answer, Browser, HttpUpstream, TestApp, encoded, hidden};
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

pub const CALLBACK: &str = "https://app.example/cb";
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
pub const MARA: &str = "mara@example.com";
pub const CODE: &str = "authorization_code";
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A server with one upstream `crm` and another `billing`, an agent `helper` with an address, and Mara signed in.
pub struct Flow {
    pub app: TestApp,
    pub agent: Agent,
    pub browser: Browser,
    pub _upstream: HttpUpstream,
}

/// Pairs of a form or query.
pub type Pairs = Vec<(String, String)>;

/// The same pairs with some replaced or added; an empty value takes one away.
pub fn with(pairs: &[(String, String)], changes: &[(&str, &str)]) -> Pairs {
    let mut all: Pairs = pairs.to_vec();
    for (name, value) in changes {
        all.retain(|(known, _)| known != name);
        if !value.is_empty() {
            all.push(((*name).to_owned(), (*value).to_owned()));
        }
    }
    all
}

pub fn query(pairs: &[(String, String)]) -> String {
    pairs.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect::<Vec<_>>().join("&")
}

/// The parameters of an address that a browser is sent to.
pub fn parameters(location: &str) -> Value {
    let query = location.split_once('?').map_or("", |(_, query)| query);
    let mut found = json!({});
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        found[name] = decoded(value).into();
    }
    found
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16)).unwrap_or_default();
        bytes.push(if byte == b'%' { u8::try_from(digit() * 16 + digit()).unwrap_or_default() } else { byte });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Where a page leads by itself, or an answer redirects to.
pub fn onward(answer: &Answer) -> String {
    if answer.status == 303 {
        return answer.header("location");
    }
    let page = answer.text();
    let url = page.split("content=\"0;url=").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
    url.replace("&amp;", "&").replace("&#39;", "'")
}

/// The claims of a token, as anybody can read them.
pub fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

impl Flow {
    pub async fn start() -> Self {
        Self::with(TestApp::builder()).await
    }

    pub async fn with(builder: chancery_testkit::Builder) -> Self {
        let upstream = HttpUpstream::start().await;
        let app = builder
            .http("crm", &upstream)
            .http("billing", &upstream)
            .policy(
                "people.cedar",
                "@id(\"consent\") permit (principal is Human, action == Action::\"delegate\", resource is Agent);",
            )
            .start()
            .await;
        let agent = app.agent("helper").await;
        let addresses = json!({"redirect_uris": [CALLBACK, "http://127.0.0.1/cb"]});
        app.admin("POST", "/v1/agents/helper/clients", addresses).await.ok();
        let browser = Browser::of_person(&app, MARA).await;
        Self { app, agent, browser, _upstream: upstream }
    }

    pub fn resource(&self) -> String {
        self.app.at("/mcp/crm")
    }

    /// An authorization request with everything right.
    pub fn request(&self) -> Pairs {
        let resource = self.resource();
        [
            ("response_type", "code"),
            ("client_id", "helper"),
            ("redirect_uri", CALLBACK),
            ("state", "a b&c=d"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("resource", resource.as_str()),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// The page that a person is shown, or the address they are sent back to.
    pub async fn ask(&mut self, request: &[(String, String)]) -> Answer {
        self.browser.get(&format!("/oauth/authorize?{}", query(request))).await
    }

    /// Presses a button of a page.
    pub async fn press(&mut self, page: &Answer, answer: &str) -> Answer {
        let page = page.text();
        let (form, request, shown) = (hidden(&page, "form"), hidden(&page, "request"), hidden(&page, "shown"));
        let kept: Vec<String> = (0..page.matches("name=\"keep\"").count()).map(|at| at.to_string()).collect();
        let mut fields = vec![
            ("form", form.as_str()),
            ("request", request.as_str()),
            ("shown", shown.as_str()),
            ("lasts", "3600"),
            ("answer", answer),
        ];
        fields.extend(kept.iter().map(|at| ("keep", at.as_str())));
        self.browser.post("/oauth/consent", &fields).await
    }

    /// Mara says yes: the code.
    pub async fn code(&mut self, request: &[(String, String)]) -> String {
        let page = self.ask(request).await;
        assert_eq!(page.status, 200, "{}", page.text());
        let answer = self.press(&page, "allow").await;
        let back = onward(&answer);
        assert!(back.starts_with(CALLBACK), "{back} {}", answer.text());
        parameters(&back)["code"].as_str().unwrap_or_else(|| panic!("no code: {back}")).to_owned()
    }

    /// A request to the token endpoint or a neighbour, with what authenticates the agent and a proof of its key.
    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        self.post_by(self.agent.key(), path, form).await
    }

    /// The same with a proof by this key.
    pub async fn post_by(&self, key: &AgentKey, path: &str, form: &[(&str, &str)]) -> Answer {
        self.send(Some(key), path, &self.signed(&self.agent, form)).await
    }

    /// The same by another agent.
    pub async fn post_as(&self, agent: &Agent, path: &str, form: &[(&str, &str)]) -> Answer {
        self.send(Some(agent.key()), path, &self.signed(agent, form)).await
    }

    fn signed(&self, agent: &Agent, form: &[(&str, &str)]) -> Pairs {
        let (now, random) = (self.app.time().now(), self.app.random());
        let assertion = agent.key().assertion(agent.name(), self.app.url(), now, &*random).unwrap();
        let mut form: Pairs = form.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        form.push(("client_assertion_type".into(), JWT_BEARER.into()));
        form.push(("client_assertion".into(), assertion));
        form
    }

    /// A request as it stands, with a proof by this key; repeated once for a nonce.
    pub async fn send(&self, key: Option<&AgentKey>, path: &str, form: &[(String, String)]) -> Answer {
        let url = self.app.at(path);
        let mut nonce = String::new();
        loop {
            let mut request = Request::post(&url).header("content-type", "application/x-www-form-urlencoded");
            if let Some(key) = key {
                let known = (!nonce.is_empty()).then_some(nonce.as_str());
                let asked = ProofFor { method: "POST", url: &url, token: None, nonce: known };
                let proof = key.proof(asked, self.app.time().now(), &*self.app.random()).unwrap();
                request = request.header("dpop", proof);
            }
            let answer = self.app.http().send(request.body(Full::new(Bytes::from(query(form)))).unwrap()).await;
            let again = nonce.is_empty() && key.is_some() && answer.text().contains("use_dpop_nonce");
            nonce = answer.header("dpop-nonce");
            if !again {
                return answer;
            }
        }
    }

    pub async fn redeem(&self, code: &str) -> Answer {
        self.post("/oauth/token", &[("grant_type", CODE), ("code", code), ("code_verifier", VERIFIER)]).await
    }

    pub async fn refresh(&self, token: &str) -> Answer {
        self.post("/oauth/token", &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    /// A whole flow: the token endpoint's answer.
    pub async fn tokens(&mut self) -> Value {
        let request = self.request();
        let code = self.code(&request).await;
        self.redeem(&code).await.ok()
    }

    /// Whether the gateway lets a token through.
    pub async fn is_in_force(&self, token: &str) -> bool {
        self.is_in_force_by(self.agent.key(), token).await
    }

    /// The same with proofs by this key.
    pub async fn is_in_force_by(&self, key: &AgentKey, token: &str) -> bool {
        let url = self.resource();
        let mut nonce = String::new();
        for _ in 0..2 {
            let known = (!nonce.is_empty()).then_some(nonce.as_str());
            let asked = ProofFor { method: "POST", url: &url, token: Some(token), nonce: known };
            let proof = key.proof(asked, self.app.time().now(), &*self.app.random()).unwrap();
            let headers = [("authorization", format!("DPoP {token}")), ("dpop", proof)];
            let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
            let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
                "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}});
            let mut headers = headers;
            headers.push(("accept", "application/json, text/event-stream"));
            let answer = self.app.http().post(&url, &headers, &ping).await;
            nonce = answer.header("dpop-nonce");
            if answer.status != 401 {
                return !answer.text().contains("C2050");
            }
        }
        false
    }
}
