//! `GET /v1/deliveries?channel=&state=&limit=`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chancery_store::deliveries::DeliveryState;
use serde::Deserialize;

use super::DeliveryView;
use crate::failure::Answer;
use crate::input::{Items, Params};
use crate::rooms::Rooms;

/// Shown where no other number is asked for, and at the most.
const SOME: u32 = 100;
const MOST: u32 = 1_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    channel: Option<String>,
    state: Option<DeliveryState>,
    limit: Option<u32>,
}

/// What was told and what waits to be, newest first.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Params(wanted): Params<Wanted>,
) -> Answer<Json<Items<DeliveryView>>> {
    let limit = wanted.limit.unwrap_or(SOME).min(MOST);
    let found = rooms.notifier.deliveries(wanted.channel.as_deref(), wanted.state, limit).await?;
    Ok(Json(found.into_iter().map(DeliveryView::from).collect()))
}
