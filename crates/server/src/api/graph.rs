//! Questions about who can reach what.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use chancery_discover::{Answer as Answered, Asked, At, Question};
use chancery_model::problem::{BAD_REQUEST, NO_ENDPOINT, Problem};
use serde::Deserialize;

use crate::failure::{Answer, Failure};
use crate::input::{self, Params};
use crate::rooms::Rooms;

/// What is asked about; by URN, or by a name that only one thing has.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    of: String,
    /// The other end of a path.
    #[serde(default)]
    to: Option<String>,
    /// At most so many hops.
    #[serde(default)]
    hops: Option<u32>,
    /// What held at this time.
    #[serde(default)]
    at: Option<String>,
    /// As it was known at this time.
    #[serde(default)]
    known: Option<String>,
}

/// `GET /v1/graph/{question}`: `reach`, `who-reaches`, `acts-as`, `path`, `breaks`, `gains`.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Path(question): Path<String>,
    Params(wanted): Params<Wanted>,
) -> Answer<Json<Answered>> {
    let Wanted { of, to, hops, at, known } = wanted;
    let question = match (question.as_str(), to) {
        ("path", Some(to)) => Question::Path(of, to),
        ("path", None) => return Err(bad("a path needs `to`")),
        (_, Some(_)) => return Err(bad("only a path has a `to`")),
        ("reach", None) => Question::Reach(of),
        ("who-reaches", None) => Question::WhoReaches(of),
        ("acts-as", None) => Question::ActsAs(of),
        ("breaks", None) => Question::Breaks(of),
        ("gains", None) => Question::Gains(of),
        (other, None) => {
            let other: String = other.chars().take(60).collect();
            return Err(Problem::new(NO_ENDPOINT, format!("`{other}` is no question")).into());
        }
    };
    let now = rooms.clock.now();
    let time = |text: Option<String>| text.map(|text| input::time(&text)).transpose();
    let (held, known) = (time(at)?, time(known)?);
    let at = (held.is_some() || known.is_some()).then(|| At { held: held.unwrap_or(now), known: known.unwrap_or(now) });
    Ok(Json(rooms.discovery.ask(&Asked { question, hops, at }).await?))
}

fn bad(why: &str) -> Failure {
    Problem::new(BAD_REQUEST, why).into()
}
