//! A whole server in a directory of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chancery_authenticate::SystemRandom;
use chancery_model::problem::Problem;
use chancery_model::{Clock, Random, Span};
use chancery_server::{App, Config, Inject, Places, Transport, Upstream};
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::POLICIES;
use crate::agent::Agent;
use crate::clock::MockClock;
use crate::http::{Answer, Http, unix};
use crate::upstream::{HttpUpstream, StdioUpstream};

/// What a server starts with.
pub struct Builder {
    directory: TempDir,
    policies: BTreeMap<String, String>,
    clock: Arc<dyn Clock>,
    mock: Arc<MockClock>,
    random: Arc<dyn Random>,
    config: Config,
}

impl Builder {
    /// No upstream servers, [`POLICIES`], a clock that stands still, a free port.
    pub fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("chancery-").tempdir().expect("a directory");
        let places = Places {
            data: directory.path().join("data"),
            kek: directory.path().join("kek"),
            path: Some("/usr/local/bin:/usr/bin:/bin".to_owned()),
        };
        let text = "listen = \"127.0.0.1:0\"\npolicies = \"policies\"\n";
        let config = Config::parse(text, &directory.path().join("chancery.toml"), &places).expect("a configuration");
        let mock = MockClock::new();
        let clock: Arc<dyn Clock> = mock.clone();
        let policies = BTreeMap::from([("base.cedar".to_owned(), POLICIES.to_owned())]);
        Self { directory, policies, clock, mock, random: Arc::new(SystemRandom), config }
    }

    /// Adds or replaces a file of the policy directory.
    #[must_use]
    pub fn policy(mut self, name: &str, text: &str) -> Self {
        self.policies.insert(name.to_owned(), text.to_owned());
        self
    }

    /// No policy files but those that are added after this.
    #[must_use]
    pub fn without_policies(mut self) -> Self {
        self.policies.clear();
        self
    }

    /// Adds an upstream server that is reached over HTTP.
    #[must_use]
    pub fn http(self, name: &str, upstream: &HttpUpstream) -> Self {
        self.server(name, Transport::Http(upstream.url().to_owned()), None)
    }

    /// The same, with a stored secret put into a header of each request to it.
    #[must_use]
    pub fn http_with_secret(self, name: &str, upstream: &HttpUpstream, secret: &str) -> Self {
        let inject =
            Inject { header: "Authorization".into(), value: "Bearer {secret}".into(), secret: secret.to_owned() };
        self.server(name, Transport::Http(upstream.url().to_owned()), Some(inject))
    }

    /// Adds an upstream server that is started as a child process.
    #[must_use]
    pub fn stdio(self, name: &str, upstream: &StdioUpstream) -> Self {
        self.server(name, Transport::Stdio(upstream.command()), None)
    }

    /// Adds an upstream server.
    #[must_use]
    pub fn server(mut self, name: &str, transport: Transport, inject: Option<Inject>) -> Self {
        let upstream = Upstream { transport, inject, oauth: None, record_fields: Vec::new(), dry_run: BTreeMap::new() };
        self.config.servers.insert(name.to_owned(), upstream);
        self
    }

    /// Uses this clock; [`TestApp::clock`] then moves nothing.
    #[must_use]
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Uses this randomness.
    #[must_use]
    pub fn random(self, random: Arc<dyn Random>) -> Self {
        Self { random, ..self }
    }

    /// Changes the configuration.
    #[must_use]
    pub fn config(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Writes the policies and starts the server.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start(self) -> TestApp {
        self.try_start().await.unwrap_or_else(|problem| panic!("the server did not start: {problem}"))
    }

    /// Writes the policies and starts the server, if it starts.
    ///
    /// # Errors
    /// What keeps it from starting.
    pub async fn try_start(self) -> Result<TestApp, Problem> {
        for (name, text) in &self.policies {
            write(&self.config.policies.join(name), text);
        }
        std::fs::create_dir_all(&self.config.policies).expect("the policy directory");
        let app = App::start(self.config.clone(), self.clock.clone(), self.random.clone()).await?;
        Ok(TestApp {
            app,
            config: self.config,
            mock: self.mock,
            clock: self.clock,
            random: self.random,
            http: Http::new(),
            directory: self.directory,
        })
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
    std::fs::write(path, text).expect("a file");
}

/// A running server.
pub struct TestApp {
    app: App,
    config: Config,
    mock: Arc<MockClock>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    http: Http,
    directory: TempDir,
}

impl TestApp {
    /// A server without upstream servers.
    pub async fn start() -> Self {
        Builder::new().start().await
    }

    /// For a server with something special.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// The server itself.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Scheme, host and port.
    pub fn url(&self) -> &str {
        self.app.url()
    }

    /// The URL of a path of the TCP door.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url())
    }

    /// The clock, to be moved.
    pub fn clock(&self) -> &MockClock {
        &self.mock
    }

    /// The clock as everybody reads it.
    pub fn time(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    /// The randomness.
    pub fn random(&self) -> Arc<dyn Random> {
        self.random.clone()
    }

    /// A client.
    pub fn http(&self) -> &Http {
        &self.http
    }

    /// The directory everything is in.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.config.data.clone()
    }

    /// Writes a file of the policy directory; it is not loaded by that.
    pub fn write_policy(&self, name: &str, text: &str) {
        write(&self.config.policies.join(name), text);
    }

    /// A request to the admin socket.
    pub async fn admin(&self, method: &str, path: &str, body: Value) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        unix(self.app.admin_socket(), method, path, &body).await
    }

    /// Registers an AI agent and enrols a key for it.
    pub async fn agent(&self, name: &str) -> Agent {
        self.enrolled(name, "agent").await
    }

    /// Registers a service account (an enforcer that asks over AuthZEN) and enrols a key for it.
    pub async fn service_account(&self, name: &str) -> Agent {
        self.enrolled(name, "service_account").await
    }

    /// Registers an identity; returns its one-time enrolment code.
    pub async fn register(&self, name: &str, kind: &str) -> String {
        let body = json!({
            "name": name, "kind": kind, "sponsor": "mara@example.com", "owner": "lee@example.com",
            "purpose": "is tested",
        });
        let made = self.admin("POST", "/v1/agents", body).await.ok();
        made["enrolment"]["code"].as_str().expect("a code").to_owned()
    }

    async fn enrolled(&self, name: &str, kind: &str) -> Agent {
        let code = self.register(name, kind).await;
        Agent::enrol(self, name, &code).await
    }

    /// The path of a new one-time link with which a person signs in.
    pub async fn sign_in_link(&self, person: &str) -> String {
        crate::browser::link(self, person).await
    }

    /// Gives an agent a template of [`POLICIES`] for a whole server (`use-server`); returns the grant's id.
    pub async fn grant(&self, agent: &str, server: &str) -> String {
        self.link("use-server", agent, &format!("Server::\"{server}\"")).await
    }

    /// Gives an agent one tool (`use-tool`); returns the grant's id.
    pub async fn grant_tool(&self, agent: &str, server: &str, tool: &str) -> String {
        self.link("use-tool", agent, &format!("Tool::\"{server}/{tool}\"")).await
    }

    /// Links any template to an agent and a resource; returns the grant's id.
    pub async fn link(&self, template: &str, agent: &str, resource: &str) -> String {
        let body = json!({
            "template": template, "principal": format!("Agent::\"{agent}\""), "resource": resource,
            "mode": "autonomous", "justification": "a test",
        });
        let made = self.admin("POST", "/v1/grants", body).await.ok();
        made["id"].as_str().expect("an id").to_owned()
    }

    /// Stores a secret.
    pub async fn secret(&self, name: &str, value: &str) {
        self.admin("PUT", &format!("/v1/secrets/{name}"), json!({"value": value})).await.ok();
    }

    /// The newest entries of the log, oldest of them first.
    pub async fn log(&self) -> Vec<Value> {
        let found = self.admin("GET", "/v1/log?limit=1000", Value::Null).await.ok();
        found["items"].as_array().cloned().unwrap_or_default()
    }

    /// Stops the server in order and gives back its directory.
    pub async fn stop(self) -> TempDir {
        self.app.stop().await;
        self.directory
    }

    /// Stops the server in order and starts it again on the same data, at another port, ten seconds later, and lets ten
    /// more go by: what was signed up to the start is too old then, and what is signed now is not.
    pub async fn restart(self) -> Self {
        self.restart_after(async |_| {}).await
    }

    /// The same; what is to happen to the data directory meanwhile happens between.
    ///
    /// # Panics
    /// As [`TestApp::restart`].
    pub async fn restart_after(self, between: impl AsyncFnOnce(&Path)) -> Self {
        self.app.stop().await;
        between(&self.config.data).await;
        self.mock.advance(Span::seconds(10));
        let app = App::start(self.config.clone(), self.clock.clone(), self.random.clone()).await;
        let app = app.unwrap_or_else(|problem| panic!("the server did not start again: {problem}"));
        self.mock.advance(Span::seconds(10));
        Self { app, ..self }
    }
}
