//! `GET /spiffe/bundle.json` (SPIFFE Trust Domain and Bundle, section 4; SPIFFE Federation, section 5.2).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chancery_model::problem::{NO_ENDPOINT, Problem, STORE_FAILED};
use serde_json::Value;

use crate::failure::Answer;
use crate::rooms::Rooms;

/// The keys of our trust domain.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>) -> Answer<Json<Value>> {
    let none = || Problem::new(NO_ENDPOINT, "this server has no trust domain: the configuration names none");
    let workloads = rooms.workloads.as_ref().ok_or_else(none)?;
    let bundle = workloads.domain.bundle().await.map_err(|e| Problem::new(STORE_FAILED, e.to_string()))?;
    Ok(Json(bundle.to_json()))
}
