//! `POST /access/v1/evaluation` (section 6). One that names an approval in `context.approval` is about to be carried out:
//! it uses the approval up.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chancery_authorize::Evaluation;
use http::HeaderMap;

use super::{Shown, admitted, approved, echoing, json, named, record};
use crate::rooms::Rooms;

/// One question, one answer, one entry.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>, shown: Shown, headers: HeaderMap, body: Body) -> Response {
    let answer = answer(&rooms, (&headers, shown), body).await.unwrap_or_else(|refusal| refusal);
    echoing(&headers, answer)
}

async fn answer(rooms: &Rooms, head: (&HeaderMap, Shown), body: Body) -> Result<Response, Response> {
    let (caller, question) = admitted::<Evaluation>(rooms, &rooms.access.evaluation, head, body).await?;
    named(&question.question()).map_err(IntoResponse::into_response)?;
    let question = question.question();
    let decided = match approved::presented(question) {
        Some(id) => approved::evaluate(rooms, &caller, question, id).await,
        None => {
            let verdict = rooms.engine.question(question, rooms.clock.now());
            record(rooms, &caller, question, verdict).await
        }
    };
    Ok(json(&decided.map_err(IntoResponse::into_response)?))
}
