//! `/healthz` and `/readyz`: for whoever restarts or routes; they reveal nothing else.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;

use crate::rooms::Rooms;

/// The process answers.
pub(crate) async fn live() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// A policy set is in force and this node knows every change, so that something could be allowed.
pub(crate) async fn ready(State(rooms): State<Arc<Rooms>>) -> StatusCode {
    if rooms.policies.status().version.is_some() && rooms.store.lease().is_fresh() {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}
