//! `POST /v1/nodes/tokens`

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use chancery_model::Span;
use chancery_model::problem::{BAD_NODE, Problem};
use chancery_store::{nodes, token_hash};
use http::StatusCode;
use serde::Serialize;
use serde_json::json;

use crate::change::Act;
use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::rooms::Rooms;

/// How long a token is good.
const LASTS: Span = Span::hours(1);

/// A token, shown this one time.
#[derive(Debug, Serialize)]
pub(crate) struct Token {
    token: String,
    expires_at: String,
}

/// Makes a token with which one node can join, once, within an hour. Only its hash is kept.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
) -> Answer<(StatusCode, Json<Token>)> {
    if !rooms.store.is_shared() {
        let why = "the database is in the data directory, which is one process's: see `store.url`";
        return Err(Problem::new(BAD_NODE, why).into());
    }
    let token = rooms.store.node_token();
    let (hash, now) = (token_hash(token.expose()), rooms.clock.now());
    let expires_at = now + LASTS;
    let act = Act { by: peer, noun: "node", id: "token", verb: "invite", reason: None };
    let draft = act.draft(now, &json!({"expires_at": expires_at.rfc3339()}))?;
    let written = rooms
        .store
        .write(draft, move |tx| Box::pin(async move { nodes::insert_token(tx, &hash, now, expires_at).await }));
    written.await?;
    Ok((StatusCode::CREATED, Json(Token { token: token.expose().to_owned(), expires_at: expires_at.rfc3339() })))
}
