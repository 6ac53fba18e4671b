//! `POST /access/v1/evaluations` (section 7): several questions, answered as far as their semantics go.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chancery_authenticate::Caller;
use chancery_authorize::{Evaluation, Evaluations, PartialEvaluation, evaluations};
use chancery_model::problem::{INTERNAL, Problem, TOO_LARGE};
use futures_util::future::try_join_all;
use http::HeaderMap;
use serde::Serialize;

use super::{Decided, Shown, admitted, bad, echoing, json, named, record};
use crate::failure::Answer;
use crate::rooms::Rooms;

/// How many questions one request may have.
const MOST: usize = 1_000;
/// How much the defaults may come to, in bytes, each counted as often as a question takes it: it is kept with each.
const MOST_DEFAULTS: usize = 8 << 20;

#[derive(Serialize)]
struct Answers {
    evaluations: Vec<Decided>,
}

/// Several questions; their entries share one durable commit.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>, shown: Shown, headers: HeaderMap, body: Body) -> Response {
    let answer = answer(&rooms, (&headers, shown), body).await.unwrap_or_else(|refusal| refusal);
    echoing(&headers, answer)
}

async fn answer(rooms: &Rooms, head: (&HeaderMap, Shown), body: Body) -> Result<Response, Response> {
    let (caller, asked) = admitted::<Evaluations>(rooms, &rooms.access.evaluations, head, body).await?;
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
    affordable(asked)?;
    let questions: Vec<_> = asked.questions().collect();
    if let (true, Some(Err(missing))) = (asked.evaluations.is_empty(), questions.first()) {
        return Err(bad(&missing.to_string()));
    }
    questions.iter().flatten().try_for_each(named)?;
    let verdicts = evaluations(&rooms.engine, asked, rooms.clock.now());
    let nothing = Evaluation::default();
    let recorded = questions
        .into_iter()
        .zip(verdicts)
        .map(|(question, verdict)| record(rooms, caller, question.unwrap_or_else(|_| nothing.question()), verdict));
    try_join_all(recorded).await
}

/// A short request must not become a long record.
fn affordable(asked: &Evaluations) -> Answer<()> {
    let takers = |own: fn(&PartialEvaluation) -> bool| asked.evaluations.iter().filter(|item| !own(item)).count();
    let defaults = [
        takers(|item| item.subject.is_some()) * length(&asked.subject)?,
        takers(|item| item.action.is_some()) * length(&asked.action)?,
        takers(|item| item.resource.is_some()) * length(&asked.resource)?,
        takers(|item| item.context.is_some()) * length(&asked.context)?,
    ];
    let all: usize = defaults.iter().sum();
    if all <= MOST_DEFAULTS {
        return Ok(());
    }
    let questions = asked.evaluations.len();
    let why = format!("the defaults come to {all} bytes over {questions} questions, over the limit of {MOST_DEFAULTS}");
    Err(Problem::new(TOO_LARGE, why).next("ask fewer questions at once, or give each the context it needs").into())
}

fn length(default: &Option<impl Serialize>) -> Answer<usize> {
    let Some(default) = default else { return Ok(0) };
    let bytes = serde_json::to_vec(default).map_err(|e| Problem::new(INTERNAL, e.to_string()))?;
    Ok(bytes.len())
}
