//! `POST /access/v1/evaluations` (section 7): several questions, answered as far as their semantics go.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chancery_authenticate::Caller;
use chancery_authorize::{Evaluation, Evaluations, evaluations};
use futures_util::future::try_join_all;
use http::HeaderMap;
use serde::Serialize;

use super::{Decided, admitted, bad, echoing, json, record};
use crate::failure::Answer;
use crate::rooms::Rooms;

/// How many questions one request may have.
const MOST: usize = 1_000;

#[derive(Serialize)]
struct Answers {
    evaluations: Vec<Decided>,
}

/// Several questions; their entries share one durable commit.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>, headers: HeaderMap, body: Body) -> Response {
    let answer = answer(&rooms, &headers, body).await.unwrap_or_else(|refusal| refusal);
    echoing(&headers, answer)
}

async fn answer(rooms: &Rooms, headers: &HeaderMap, body: Body) -> Result<Response, Response> {
    let (caller, asked) = admitted::<Evaluations>(rooms, &rooms.access.evaluations, headers, body).await?;
    let decided = decide(rooms, &caller, &asked).await.map_err(IntoResponse::into_response)?;
    if asked.evaluations.is_empty() {
        // Without the list it is a single question, answered as one (section 7.1).
        return Ok(json(&decided.first()));
    }
    Ok(json(&Answers { evaluations: decided }))
}

async fn decide(rooms: &Rooms, caller: &Caller, asked: &Evaluations) -> Answer<Vec<Decided>> {
    if asked.evaluations.len() > MOST {
        return Err(bad(&format!("{} questions, over the limit of {MOST}", asked.evaluations.len())));
    }
    let questions: Vec<_> = asked.questions().collect();
    if let (true, Some(Err(missing))) = (asked.evaluations.is_empty(), questions.first()) {
        return Err(bad(&missing.to_string()));
    }
    let verdicts = evaluations(&rooms.engine, asked, rooms.clock.now());
    let nothing = Evaluation::default();
    let recorded = questions
        .into_iter()
        .zip(verdicts)
        .map(|(question, verdict)| record(rooms, caller, question.unwrap_or_else(|_| nothing.question()), verdict));
    try_join_all(recorded).await
}
