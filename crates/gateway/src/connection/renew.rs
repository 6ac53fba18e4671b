//! The credential of an act: the one there is, or a renewed one. One renewal at a time for each connection.

use std::sync::Arc;
use std::time::Duration;

use chancery_model::{Change, Draft, Kind, Span, Who};
use chancery_store::connections;
use serde_json::json;

use super::challenge::Challenge;
use super::config::OAuthMode;
use super::error::{ConnectError, Lasts};
use super::form::Form;
use super::kept::{Connection, Tokens, row};
use super::slot::{Held, Prover, Slot};
use super::token::TokenAsk;
use super::{Connections, Target, scopes};
use crate::inject::Credential;
use crate::refusal::Refusal;

/// How long one node may renew, and how long the others wait for it.
const TERM: Span = Span::seconds(30);
const LOOK: Duration = Duration::from_millis(50);
const LOOKS: u32 = 700;

/// Why a credential is asked for.
enum Need {
    /// One that is good now.
    Good,
    /// Another than this one, which the upstream did not take.
    Other(Arc<Credential>, Challenge),
    /// One that may do more than this one.
    More(Arc<Credential>, Challenge),
}

impl Need {
    fn is_met(&self, held: &Held, now: chancery_model::Timestamp) -> bool {
        match self {
            Self::Good => held.is_fresh(now),
            Self::Other(refused, _) | Self::More(refused, _) => !Arc::ptr_eq(refused, &held.credential),
        }
    }

    fn challenge(&self) -> Option<Challenge> {
        match self {
            Self::Good => None,
            Self::Other(_, challenge) | Self::More(_, challenge) => Some(challenge.clone()),
        }
    }
}

impl Connections {
    /// The credential for a server. `person` is whose connection it is, where each person has one.
    pub(crate) async fn credential(
        self: &Arc<Self>,
        server: &str,
        person: Option<&str>,
    ) -> Result<Arc<Credential>, Refusal> {
        let (slot, now) = (self.slot(server, person), self.means.clock.now());
        if let Some(held) = slot.held() {
            // Somebody renews it already: until its end it is as good as it was.
            let renewing = || held.is_valid(now) && slot.turn.try_lock().is_err();
            if held.is_fresh(now) || renewing() {
                return Ok(held.credential.clone());
            }
        }
        self.renewed(server, person, Need::Good).await.map_err(|error| error.refusal())
    }

    /// What to do after the upstream did not take `used`: another credential to ask again with, once, or nothing where
    /// none would help.
    pub(crate) async fn challenged(
        self: &Arc<Self>,
        server: &str,
        person: Option<&str>,
        used: &Arc<Credential>,
        unauthorized: bool,
        challenge: Challenge,
    ) -> Result<Option<Arc<Credential>>, ConnectError> {
        if unauthorized {
            return self.renewed(server, person, Need::Other(used.clone(), challenge)).await.map(Some);
        }
        let slot = self.slot(server, person);
        let granted = slot.connection().map(|connection| connection.scopes.clone()).unwrap_or_default();
        let missing = scopes::missing(&challenge, &granted);
        if !challenge.says("insufficient_scope") || missing.is_empty() {
            return Ok(None);
        }
        let target = self.target(server)?;
        let list = missing.join(" ");
        if target.oauth.scopes.is_some() {
            let why = format!("`{server}` wants the scopes `{list}`, which the configuration does not allow");
            return Err(ConnectError::scope(why));
        }
        if target.oauth.mode == OAuthMode::AuthorizationCode {
            slot.want(missing);
            return Err(ConnectError::scope(format!("`{server}` wants the scopes `{list}`, which nobody authorized")));
        }
        self.renewed(server, person, Need::More(used.clone(), challenge)).await.map(Some)
    }

    /// Renews in a task of its own: what was begun is kept even if whoever waits for it goes away. A rotated refresh
    /// token that got lost would be the end of the connection.
    async fn renewed(
        self: &Arc<Self>,
        server: &str,
        person: Option<&str>,
        need: Need,
    ) -> Result<Arc<Credential>, ConnectError> {
        let (target, slot) = (self.target(server)?, self.slot(server, person));
        let (connections, person) = (self.clone(), person.map(str::to_owned));
        let renewing = tokio::spawn(async move {
            let _turn = slot.turn.lock().await;
            let job = format!("connection {}", row(&target.name, person.as_deref()));
            connections.take_turn(&job).await?;
            let done = match connections.load(&target, person.as_deref(), &slot).await {
                Ok(()) => connections.in_turn(&target, person.as_deref(), &slot, need).await,
                Err(error) => Err(error),
            };
            drop(connections.keeping.store.lead(&job, Span(0)).await);
            done
        });
        renewing.await.unwrap_or_else(|e| Err(ConnectError::internal(e.to_string())))
    }

    /// One node at a time: a refresh token that two of them used would be taken for a stolen one. Whoever comes after
    /// finds what the one before has stored.
    async fn take_turn(&self, job: &str) -> Result<(), ConnectError> {
        for _ in 0..LOOKS {
            if self.keeping.store.lead(job, TERM).await.map_err(|e| ConnectError::store(&e))? {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(ConnectError::internal("another node renews the connection and does not come to an end"))
    }

    async fn in_turn(
        &self,
        target: &Target,
        person: Option<&str>,
        slot: &Slot,
        need: Need,
    ) -> Result<Arc<Credential>, ConnectError> {
        let now = self.means.clock.now();
        let held = slot.held();
        if let Some(held) = held.as_ref().filter(|held| need.is_met(held, now)) {
            return Ok(held.credential.clone());
        }
        let done = match slot.failure(self.means.clock.monotonic()) {
            Some(failed) => Err(failed),
            None => self.anew(target, person, slot, &need).await.inspect_err(|error| {
                slot.failed(self.means.clock.monotonic(), error);
            }),
        };
        let Err(error) = done else { return current(slot) };
        // A token that has not ended is what the authorization server said; that it cannot be asked takes nothing away.
        let good = held.filter(|held| matches!(need, Need::Good) && held.is_valid(now));
        match good.filter(|_| error.lasts == Lasts::Passing) {
            Some(held) => Ok(held.credential.clone()),
            None => Err(error),
        }
    }

    /// Obtains a token: with the refresh token if there is one, else anew where that needs nobody.
    async fn anew(&self, target: &Target, person: Option<&str>, slot: &Slot, need: &Need) -> Result<(), ConnectError> {
        let before = slot.connection();
        let before = before.as_deref();
        if before.is_some_and(|before| before.cut) {
            return Err(ConnectError::not_connected(format!("the connection to `{}` was cut", target.name)));
        }
        let alone = target.oauth.mode != OAuthMode::AuthorizationCode;
        if let Some(before) = before.filter(|before| before.refresh().is_some() && !matches!(need, Need::More(..))) {
            match self.refresh(target, before).await {
                Ok(connection) => return self.keep(target, person, slot, connection, "renew", own()).await,
                Err(error) if error.lasts == Lasts::Gone && alone => {}
                Err(error) if error.lasts == Lasts::Gone => {
                    return self.lapse(target, person, slot, before, &error.why).await;
                }
                Err(error) => return Err(error),
            }
        }
        match (alone, before) {
            (true, _) => {
                let granted = before.map(|before| before.scopes.clone()).unwrap_or_default();
                let granted = if matches!(need, Need::More(..)) { granted } else { Vec::new() };
                let connection = self.grant(target, need.challenge(), before, &granted).await?;
                let verb = if before.is_some() { "renew" } else { "connect" };
                self.keep(target, person, slot, connection, verb, own()).await
            }
            (false, Some(before)) if before.tokens.is_some() => {
                let why = if matches!(need, Need::Good) { "its token ended" } else { "the upstream took it back" };
                self.lapse(target, person, slot, before, &format!("{why}, and there is nothing to renew it with")).await
            }
            (false, _) => Err(ConnectError::not_connected(format!("`{}` has no connection", target.name))),
        }
    }

    async fn refresh(&self, target: &Target, before: &Connection) -> Result<Connection, ConnectError> {
        let nothing = || ConnectError::not_connected("there is nothing to renew it with");
        let tokens = before.tokens.as_ref().ok_or_else(nothing)?;
        let refresh = tokens.refresh.as_ref().ok_or_else(nothing)?;
        let client = self.open(&target.oauth, &before.client).await?;
        let (server, key) = (&before.server, tokens.key.as_deref());
        let ask = TokenAsk { server, client: &client, key, secrets: &[refresh] };
        let form =
            || Form::of("refresh_token").and("refresh_token", refresh.expose()).and("resource", &before.resource);
        let mut issued = ask.token(&self.means, form).await?;
        // A server that does not rotate goes on taking the old one (RFC 6749, section 6).
        issued.refresh = issued.refresh.or_else(|| Some(refresh.clone()));
        let scopes = issued.scopes.clone().unwrap_or_else(|| before.scopes.clone());
        let tokens = Some(Tokens::of(issued, tokens.key.clone(), self.means.clock.now()));
        Ok(Connection { tokens, scopes, version: before.version + 1, ..before.clone() })
    }

    /// The connection is over until somebody authorizes it again. Its client stays known.
    async fn lapse(
        &self,
        target: &Target,
        person: Option<&str>,
        slot: &Slot,
        before: &Connection,
        why: &str,
    ) -> Result<(), ConnectError> {
        let connection = Connection { tokens: None, version: before.version + 1, ..before.clone() };
        self.keep(target, person, slot, connection, "lapse", own()).await?;
        Err(ConnectError::not_connected(format!("the connection to `{}` is over: {why}", target.name)))
    }

    /// Writes a connection and its entry, then uses it. What is not on the disk is not used.
    pub(super) async fn keep(
        &self,
        target: &Target,
        person: Option<&str>,
        slot: &Slot,
        connection: Connection,
        verb: &str,
        who: Who,
    ) -> Result<(), ConnectError> {
        let sealed = connection.seal(&self.keeping.vault, &target.name, person)?;
        let draft = self.draft(&sealed.id, verb, who, Some(&connection))?;
        let write =
            self.keeping.store.write(draft, move |tx| Box::pin(async move { connections::put(tx, &sealed).await }));
        write.await.map_err(|e| ConnectError::store(&e))?;
        self.put(slot, Some(connection));
        Ok(())
    }

    pub(super) fn put(&self, slot: &Slot, connection: Option<Connection>) {
        slot.take(connection, |tokens| Prover::of(tokens, &self.means));
    }

    /// Reads what was kept, once.
    pub(super) async fn load(&self, target: &Target, person: Option<&str>, slot: &Slot) -> Result<(), ConnectError> {
        if slot.is_loaded() {
            return Ok(());
        }
        let stored = connections::get(&self.keeping.store, &row(&target.name, person)).await;
        let stored = stored.map_err(|e| ConnectError::store(&e))?;
        let opened = stored.map(|stored| Connection::open(&self.keeping.vault, &stored)).transpose()?;
        // What was cut stays cut, whatever is configured now.
        let fits = |connection: &Connection| connection.cut || connection.fits(&target.url, &target.oauth);
        if opened.as_ref().is_some_and(|connection| !fits(connection)) {
            tracing::warn!(server = %target.name, "its connection was made under another configuration and is not used");
        }
        self.put(slot, opened.filter(fits));
        Ok(())
    }

    /// The entry of a change: everything but the tokens.
    pub(super) fn draft(
        &self,
        id: &str,
        verb: &str,
        who: Who,
        connection: Option<&Connection>,
    ) -> Result<Draft, ConnectError> {
        let after = connection.map(|connection| {
            let ends = connection.tokens.as_ref().and_then(|tokens| tokens.expires_at);
            let after = json!({
                "issuer": connection.server.issuer, "client_id": connection.client.id, "resource": connection.resource,
                "scopes": connection.scopes, "version": connection.version,
                "open": connection.tokens.is_some(), "expires_at": ends.map(|at| at.rfc3339()),
            });
            chancery_model::canonical(&after).map_err(|e| ConnectError::internal(e.to_string()))
        });
        let after = after.transpose()?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let change = Change { noun: "connection".into(), id: id.to_owned(), verb: verb.to_owned(), after };
        Ok(Draft { kind: Kind::Change, at: self.means.clock.now(), who, change: Some(change), ..Draft::default() })
    }
}

impl Connection {
    fn refresh(&self) -> Option<&chancery_model::Secret> {
        self.tokens.as_ref()?.refresh.as_ref()
    }
}

fn own() -> Who {
    Who { name: Some("gateway".to_owned()), ..Who::default() }
}

fn current(slot: &Slot) -> Result<Arc<Credential>, ConnectError> {
    let none = || ConnectError::internal("the token that was obtained cannot stand in a header");
    slot.held().map(|held| held.credential.clone()).ok_or_else(none)
}
