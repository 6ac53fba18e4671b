//! `POST /v1/nodes/{name}/leave`

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use chancery_model::problem::{BAD_NODE, Problem};
use chancery_store::{StoreError, nodes};
use http::StatusCode;
use serde_json::json;

use crate::change::Act;
use crate::door::admin::Peer;
use crate::failure::{Answer, Failure};
use crate::rooms::Rooms;

/// Makes a node leave: it gets no lease any more and ends, and nobody gets its number.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
) -> Answer<StatusCode> {
    let now = rooms.clock.now();
    let act = Act { by: peer, noun: "node", id: &name, verb: "leave", reason: None };
    let draft = act.draft(now, &json!({"left_at": now.rfc3339()}))?;
    let gone = name.clone();
    let write = rooms.store.write(draft, move |tx| Box::pin(async move { nodes::leave(tx, &gone, now).await }));
    write.await.map_err(|e| match e {
        StoreError::Missing { .. } => Problem::new(BAD_NODE, format!("no node `{name}` is there")).into(),
        e => Failure::from(e),
    })?;
    Ok(StatusCode::NO_CONTENT)
}
