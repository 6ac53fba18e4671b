//! `grant_type=refresh_token` (OAuth 2.1 draft, section 4.3): the next token of a session that a person allowed.
//!
//! A refresh token is good once, for the client it was given to, with the key or certificate it is bound to, and as long as
//! its session. Its use and its successor are one commit. The second use of one, by somebody who has all it needs, shows
//! that two hold what one should: the session ends, and with it every token that hangs on it. Of two uses at the same
//! moment one is the first. What comes without the key changes nothing.
//!
//! It goes on with the session as it is. Narrower rights are a task below it: a token exchange.

use std::sync::Arc;

use chancery_model::{Secret, Session, Timestamp, problem};
use chancery_store::refresh_tokens::{self, RefreshToken};
use chancery_store::{StoreError, Tx, sessions};

use super::authorization_code::{overtaken, refused};
use super::{Call, OauthError, TokenBody, Wanted};
use crate::access::Binding;
use crate::authenticator::Authenticator;
use crate::consent::stored;
use crate::directory::SessionSlot;
use crate::jose::{encode, sha256};
use crate::lineage::Lineage;
use crate::sessions::demand_same;

pub(super) const GRANT: &str = "refresh_token";

/// How they begin, so that a leaked one is recognised.
const PREFIX: &str = "chy-refresh-";

/// It was used by somebody else in this very moment.
#[derive(Debug, thiserror::Error)]
#[error("it was used before")]
struct UsedBefore;

/// A refresh token that nobody has seen yet.
pub(super) struct Fresh {
    pub(super) token: Secret,
    pub(super) stored: Unborn,
}

/// What will be kept of it.
#[derive(Clone)]
pub(super) struct Unborn {
    hash: [u8; 32],
    client: String,
    binding: String,
    resource: String,
    now: Timestamp,
}

impl Fresh {
    /// None where tokens are bound to nothing: whoever found it could use it.
    pub(super) fn new(room: &Authenticator, client: &str, binding: Option<Binding>, resource: &str) -> Option<Self> {
        let text = format!("{PREFIX}{}", encode(&room.random.bytes::<32>()));
        let stored = Unborn {
            hash: sha256(text.as_bytes()),
            client: client.to_owned(),
            binding: name(binding?),
            resource: resource.to_owned(),
            now: room.clock.now(),
        };
        Some(Self { token: Secret::new(text), stored })
    }
}

impl Unborn {
    /// It ends with its session.
    pub(super) async fn insert(self, tx: &mut Tx, session: &Session) -> Result<(), StoreError> {
        let token = RefreshToken {
            hash: self.hash,
            session: session.id.clone(),
            client: self.client,
            binding: self.binding,
            resource: self.resource,
            expires_at: session.ends_at,
            used_at: None,
        };
        refresh_tokens::insert(tx, &token, self.now).await
    }
}

fn name(binding: Binding) -> String {
    match binding {
        Binding::Key(thumbprint) => format!("jkt:{}", encode(&thumbprint)),
        Binding::Certificate(digest) => format!("x5t:{}", encode(&digest)),
    }
}

impl Authenticator {
    /// Goes on with a session, and hands out the next refresh token.
    pub(super) async fn refresh_token(&self, call: &Call<'_>) -> Result<TokenBody, OauthError> {
        let form = &call.form;
        if form.one("authorization_details")?.is_some() {
            let why = "a refresh goes on with the session as it is: exchange the token for a narrower one";
            return Err(OauthError::new(problem::BAD_LIMITS, "invalid_authorization_details", why));
        }
        let hash = sha256(form.needed("refresh_token")?.as_bytes());
        let known = self.known_client(call).await?;
        let found = refresh_tokens::get(&self.store, &hash).await.map_err(|e| stored(&e))?;
        let token = found.filter(|token| token.client == known.id).ok_or_else(unknown)?;
        let binding = self.binding(call, &known.client)?.filter(|binding| name(*binding) == token.binding);
        let binding = binding.ok_or_else(|| {
            let why = "the refresh token is not bound to the key or certificate that this request proves";
            OauthError::new(problem::BAD_PROOF, "invalid_grant", why)
        })?;
        if token.used_at.is_some() {
            return Err(self.used_twice(&token).await?);
        }
        let session = self.directory.session(&token.session).ok_or_else(unknown)?;
        self.in_force(&session, self.clock.now()).map_err(overtaken)?;
        demand_same(form.manifest()?.as_ref(), &session.session())?;
        let resource = match form.one("resource")? {
            Some(_) => self.resource(form)?,
            None => token.resource.as_str(),
        };
        self.refuse_unreached(resource, &session.session().limits)?;
        let fresh = Fresh::new(self, &known.id, Some(binding), &token.resource);
        self.rotate(&token, &session, fresh.as_ref().map(|fresh| fresh.stored.clone())).await?;
        let wanted = Wanted { audience: resource, binding: Some(binding), until: None, may_act: None, scope: None };
        let body = self.issue(&session, &wanted)?;
        Ok(TokenBody { refresh_token: fresh.map(|fresh| fresh.token), ..body })
    }

    /// Uses one up and keeps its successor. The session is used by it.
    async fn rotate(&self, token: &RefreshToken, slot: &SessionSlot, next: Option<Unborn>) -> Result<(), OauthError> {
        let (now, hash, id) = (self.clock.now(), token.hash, token.session.clone());
        let (session, lineage) = (slot.session(), Lineage::of(slot));
        let human = lineage.human.as_ref().map(|person| person.name.clone());
        let agent = slot.agent().agent();
        let who = crate::sessions::who(&agent, session.instance.as_deref());
        let who = chancery_model::Who { human, chain: lineage.names(), ..who };
        let used = Session { used_at: now, ..(*session).clone() };
        let draft = crate::sessions::draft(now, who, &used, "refresh");
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                if !refresh_tokens::use_up(tx, &hash, now).await? {
                    return Err(StoreError::refuse(UsedBefore));
                }
                let session = sessions::get(&mut *tx, &id).await?;
                let session = session.ok_or(StoreError::Missing { noun: "session", id: id.to_string() })?;
                let session = Session { used_at: session.used_at.max(now), ..session };
                sessions::update(tx, &session).await?;
                match next {
                    Some(next) => next.insert(tx, &session).await,
                    None => Ok(()),
                }
            })
        });
        match write.await {
            Ok(_) => {
                slot.touch(now);
                Ok(())
            }
            Err(e) => match e.refusal::<UsedBefore>() {
                Ok(_) => Err(self.used_twice(token).await?),
                Err(e) => Err(stored(&e)),
            },
        }
    }

    async fn used_twice(&self, token: &RefreshToken) -> Result<OauthError, OauthError> {
        self.end_family(&token.session, "a refresh token was used twice").await?;
        Ok(refused("the refresh token was used before: its session is ended"))
    }

    /// The session of a refresh token, for its revocation (RFC 7009). A store that cannot be read is an error: nobody is to
    /// believe that a token is given back which is not.
    pub(crate) async fn refreshed_by(&self, token: &str) -> Result<Option<Arc<SessionSlot>>, OauthError> {
        let found = refresh_tokens::get(&self.store, &sha256(token.as_bytes())).await.map_err(|e| stored(&e))?;
        Ok(found.and_then(|found| self.directory.session(&found.session)))
    }
}

fn unknown() -> OauthError {
    refused("the refresh token is wrong, another client's, or its session is over")
}
