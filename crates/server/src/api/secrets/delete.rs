//! `DELETE /v1/secrets/{name}`

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use chancery_model::problem::{NO_SUCH_SECRET, Problem};
use chancery_store::{StoreError, secrets};
use http::StatusCode;

use crate::change::Act;
use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::rooms::Rooms;

/// Removes a secret. Requests that need it fail from now on.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
) -> Answer<StatusCode> {
    let act = Act { by: peer, noun: "secret", id: &name, verb: "delete", reason: None };
    let draft = act.draft(rooms.clock.now(), &())?;
    let gone = name.clone();
    rooms
        .store
        .write(draft, move |tx| {
            Box::pin(async move {
                let missing = || StoreError::refuse(Problem::new(NO_SUCH_SECRET, format!("`{gone}`")));
                secrets::remove(tx, &gone).await?.then_some(()).ok_or_else(missing)
            })
        })
        .await?;
    rooms.gateway.secrets_changed();
    Ok(StatusCode::NO_CONTENT)
}
