//! A person authorizes a connection: begun by an administrator, finished by whoever comes back with the browser.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chancery_authenticate::jose::sha256;
use chancery_model::{Draft, Hash, Random, Secret, Span, Timestamp, Who};
use chancery_store::connections;
use serde::Serialize;
use tokio::sync::watch;

use super::authorization::{AuthorizationResponse, Flow};
use super::config::OAuthMode;
use super::error::ConnectError;
use super::exchange::Ask;
use super::form::Form;
use super::grant::Plan;
use super::kept::Connection;
use super::slot::Slot;
use super::token::TokenAsk;
use super::{Connections, Target};
use crate::lock;

/// A person has this long to authorize.
const LIFE: Span = Span::minutes(10);
/// Flows that are begun at the same time.
const MOST: usize = 64;

/// A flow that was begun.
#[derive(Clone, Debug, Serialize)]
pub struct Begun {
    /// Its name, to ask how it went.
    pub id: String,
    /// The address to open in a browser. It is worth an authorization: it goes to whoever is to authorize. Nothing where
    /// nobody was needed: there is a connection already.
    pub url: Option<String>,
    /// The authorization server that will be asked.
    pub issuer: String,
    /// Our client there.
    pub client_id: String,
    /// What will be asked for.
    pub scopes: Vec<String>,
}

/// How a flow went.
#[derive(Clone, Debug)]
pub enum Progress {
    /// Nobody came back yet.
    Waiting,
    /// There is a connection.
    Connected,
    /// There is none.
    Failed(ConnectError),
}

/// The flows of this process. They do not outlive it: whoever comes back later begins again.
#[derive(Default)]
pub(super) struct Flows(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// By the hash of their state.
    waiting: HashMap<Hash, Waiting>,
    progress: HashMap<String, (Timestamp, watch::Receiver<Progress>)>,
}

struct Waiting {
    flow: Flow,
    plan: Plan,
    target: Arc<Target>,
    person: Option<String>,
    by: String,
    until: Timestamp,
    progress: watch::Sender<Progress>,
}

impl Flows {
    fn put(&self, id: String, state: &str, waiting: Waiting, now: Timestamp) -> Result<(), ConnectError> {
        let mut inner = lock(&self.0);
        inner.waiting.retain(|_, waiting| now < waiting.until);
        inner.progress.retain(|_, (until, _)| now < *until);
        if inner.progress.len() >= MOST {
            let minutes = LIFE.0 / Span::minutes(1).0;
            return Err(ConnectError::response(format!("{MOST} authorizations were begun in {minutes} minutes")));
        }
        inner.progress.insert(id, (waiting.until, waiting.progress.subscribe()));
        inner.waiting.insert(sha256(state.as_bytes()), waiting);
        Ok(())
    }

    /// One that needed nobody.
    fn done(&self, id: String, now: Timestamp) {
        let progress = watch::Sender::new(Progress::Connected).subscribe();
        lock(&self.0).progress.insert(id, (now + LIFE, progress));
    }

    /// The flow of this state, which is used up by that.
    fn take(&self, state: &str, now: Timestamp) -> Option<Waiting> {
        let waiting = lock(&self.0).waiting.remove(&sha256(state.as_bytes()));
        waiting.filter(|waiting| now < waiting.until)
    }

    fn progress(&self, id: &str) -> Option<watch::Receiver<Progress>> {
        lock(&self.0).progress.get(id).map(|(_, progress)| progress.clone())
    }
}

impl Waiting {
    fn fails(&self, error: ConnectError) -> ConnectError {
        self.progress.send_replace(Progress::Failed(error.clone()));
        error
    }
}

impl Connections {
    /// Begins an authorization. One that was cut and needs nobody is made anew at once.
    pub(crate) async fn begin(&self, server: &str, person: Option<&str>, by: String) -> Result<Begun, ConnectError> {
        let (target, slot) = (self.target(server)?, self.slot(server, person));
        if target.oauth.mode != OAuthMode::AuthorizationCode {
            return self.rejoin(&target, person, &slot, by).await;
        }
        let before = {
            let _turn = slot.turn.lock().await;
            self.load(&target, person, &slot).await?;
            slot.connection().filter(|before| before.goes_on(&target.url, &target.oauth))
        };
        let granted = before.as_ref().map(|before| before.scopes.clone()).unwrap_or_default();
        let granted = super::scopes::united(&granted, slot.wanted());
        let plan = self.plan(&target, None, before.as_deref(), &granted).await?;
        self.wait_for(plan, target, person, by)
    }

    async fn rejoin(
        &self,
        target: &Target,
        person: Option<&str>,
        slot: &Slot,
        by: String,
    ) -> Result<Begun, ConnectError> {
        let _turn = slot.turn.lock().await;
        self.load(target, person, slot).await?;
        let Some(before) = slot.connection().filter(|before| before.cut) else {
            let (server, mode) = (&target.name, target.oauth.mode.name());
            return Err(ConnectError::unknown(format!("`{server}` is connected by `{mode}`, which needs nobody")));
        };
        let known = Some(&*before).filter(|before| before.goes_on(&target.url, &target.oauth));
        let mut connection = self.grant(target, None, known, &[]).await?;
        connection.version = before.version + 1;
        let (id, now) = (random_text::<16>(&*self.means.random), self.means.clock.monotonic());
        let begun = Begun {
            id: id.clone(),
            url: None,
            issuer: connection.server.issuer.clone(),
            client_id: connection.client.id.clone(),
            scopes: connection.scopes.clone(),
        };
        let who = Who { human: Some(by), ..Who::default() };
        self.keep(target, person, slot, connection, "connect", who).await?;
        self.flows.done(id, now);
        Ok(begun)
    }

    fn wait_for(
        &self,
        plan: Plan,
        target: Arc<Target>,
        person: Option<&str>,
        by: String,
    ) -> Result<Begun, ConnectError> {
        let (state, verifier) = (random_text::<32>(&*self.means.random), random_text::<32>(&*self.means.random));
        let flow = plan.flow(self.callback(&target.name), Secret::new(verifier));
        let (id, now) = (random_text::<16>(&*self.means.random), self.means.clock.monotonic());
        let begun = Begun {
            url: Some(flow.url(&state)?),
            issuer: flow.server.issuer.clone(),
            client_id: flow.client.id.clone(),
            scopes: flow.scopes.clone(),
            id: id.clone(),
        };
        let (progress, person) = (watch::Sender::new(Progress::Waiting), person.map(str::to_owned));
        let waiting = Waiting { flow, plan, target, person, by, until: now + LIFE, progress };
        self.flows.put(id, &state, waiting, now)?;
        Ok(begun)
    }

    /// Finishes the authorization that this state belongs to, if the response came to the address of its server; gives that
    /// server. In a task of its own: a code works once, and what it gave is kept even if the browser goes away.
    pub(crate) async fn finish(
        self: &Arc<Self>,
        server: &str,
        state: &str,
        response: AuthorizationResponse,
    ) -> Result<Arc<str>, ConnectError> {
        let unknown = || ConnectError::response("no authorization is waited for with this `state`, or not any more");
        let waiting = self.flows.take(state, self.means.clock.monotonic()).ok_or_else(unknown)?;
        if *waiting.target.name != *server {
            let asked = &waiting.target.name;
            let why = format!("the response came to the address of `{server}`, and `{asked}` was to be authorized");
            return Err(waiting.fails(ConnectError::response(why)));
        }
        let connections = self.clone();
        let finishing = tokio::spawn(async move {
            let done = connections.exchanged(&waiting, response).await;
            waiting.progress.send_replace(match &done {
                Ok(()) => Progress::Connected,
                Err(error) => Progress::Failed(error.clone()),
            });
            done.map(|()| waiting.target.name.clone())
        });
        finishing.await.unwrap_or_else(|e| Err(ConnectError::internal(e.to_string())))
    }

    async fn exchanged(&self, waiting: &Waiting, response: AuthorizationResponse) -> Result<(), ConnectError> {
        let (flow, target) = (&waiting.flow, &waiting.target);
        let code = flow.code(response)?;
        let secrets = [&code, &flow.verifier];
        let key = flow.key.as_deref();
        let ask = TokenAsk { server: &flow.server, client: &flow.client, key, secrets: &secrets };
        let issued = ask.token(&self.means, || flow.form(&code)).await?;
        let slot = self.slot(&target.name, waiting.person.as_deref());
        let _turn = slot.turn.lock().await;
        let before = slot.connection();
        let connection = self.connected(waiting.plan.clone(), issued, before.as_deref());
        let who = Who { human: Some(waiting.by.clone()), ..Who::default() };
        self.keep(target, waiting.person.as_deref(), &slot, connection, "connect", who).await?;
        slot.satisfied();
        Ok(())
    }

    /// How a flow went; waits a while for its end.
    pub(crate) async fn progress(&self, id: &str, patience: Duration) -> Option<Progress> {
        let mut progress = self.flows.progress(id)?;
        let ended = progress.wait_for(|progress| !matches!(progress, Progress::Waiting));
        match tokio::time::timeout(patience, ended).await {
            Ok(Ok(progress)) => Some(progress.clone()),
            Ok(Err(_)) => Some(Progress::Failed(ConnectError::response("nobody came back in time"))),
            Err(_) => Some(Progress::Waiting),
        }
    }

    /// Cuts a connection: its tokens are gone from here at once, and its authorization server is told (RFC 7009). A mark
    /// stays, so that no call makes one anew where that needs nobody.
    pub(crate) async fn disconnect(
        &self,
        server: &str,
        person: Option<&str>,
        by: String,
        reason: Option<String>,
    ) -> Result<(), ConnectError> {
        let (target, slot) = (self.target(server)?, self.slot(server, person));
        let _turn = slot.turn.lock().await;
        self.load(&target, person, &slot).await?;
        let none = || ConnectError::unknown(format!("`{server}` is not connected"));
        let before = slot.connection().filter(|before| !before.cut).ok_or_else(none)?;
        let cut = before.cut();
        let sealed = cut.seal(&self.keeping.vault, &target.name, person)?;
        let who = Who { human: Some(by), ..Who::default() };
        let draft = self.draft(&sealed.id, "disconnect", who, Some(&cut))?;
        let draft = Draft { why: chancery_model::Why { reason, trace: None }, ..draft };
        let write =
            self.keeping.store.write(draft, move |tx| Box::pin(async move { connections::put(tx, &sealed).await }));
        write.await.map_err(|e| ConnectError::store(&e))?;
        self.put(&slot, Some(cut));
        if let Err(error) = self.revoke(&target, &before).await {
            tracing::warn!(server, why = error.why, "its authorization server did not revoke the tokens");
        }
        Ok(())
    }

    async fn revoke(&self, target: &Target, before: &Connection) -> Result<(), ConnectError> {
        let (Some(url), Some(tokens)) = (&before.server.revocation_endpoint, &before.tokens) else { return Ok(()) };
        let client = self.open(&target.oauth, &before.client).await?;
        let form = Form::default().and("token", tokens.refresh.as_ref().unwrap_or(&tokens.access).expose());
        let ask: Ask = client.sign(&self.means, &before.server.issuer, url, form)?;
        let reply = self.means.exchange.send(ask).await.map_err(ConnectError::unreached)?;
        if reply.status.is_success() { Ok(()) } else { Err(ConnectError::unreached(format!("{}", reply.status))) }
    }
}

impl Plan {
    fn flow(&self, callback: String, verifier: Secret) -> Flow {
        Flow {
            server: self.found.server.clone(),
            client: self.client.clone(),
            resource: self.found.resource.clone(),
            scopes: self.scopes.clone(),
            callback,
            verifier,
            key: self.key.clone(),
        }
    }
}

fn random_text<const N: usize>(random: &dyn Random) -> String {
    URL_SAFE_NO_PAD.encode(random.bytes::<N>())
}
