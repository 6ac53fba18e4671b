//! `GET /access/v1/containments`, beside what AuthZEN has: an enforcer that answers by what it keeps must hear of a kill.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method};

use super::{Shown, caller};
use crate::failure::Failure;
use crate::pushed::Pushed;
use crate::rooms::Rooms;

/// What is contained, and each change of it, as server-sent events, for as long as the enforcer is in force.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>, shown: Shown, headers: HeaderMap) -> Response {
    let url = format!("{}/containments", rooms.access.resource);
    let caller = match caller(&rooms, (&Method::GET, &url), &headers, shown.as_deref()) {
        Ok(caller) => caller,
        Err(refusal) => return refusal,
    };
    Pushed::listen(&rooms, Some(caller)).unwrap_or_else(|problem| Failure::from(problem).into_response())
}
