//! `POST /oauth/enrol`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chancery_authenticate::{Enrolled, Enrolment};
use chancery_model::Secret;
use chancery_model::problem::Problem;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::failure::Answer;
use crate::input::Body;
use crate::rooms::Rooms;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    code: String,
    jwk: Box<RawValue>,
    proof: String,
}

/// An agent shows its one-time code and proves possession of the key it made itself.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>, Body(wanted): Body<Wanted>) -> Answer<Json<Enrolled>> {
    let code = Secret::new(wanted.code);
    let request = Enrolment { code: &code, jwk: wanted.jwk.get(), proof: &wanted.proof };
    let enrolled = rooms.authenticator.enrol(&request).await;
    Ok(Json(enrolled.map_err(|e| Problem::new(e.row(), e.to_string()))?))
}
