//! `POST /v1/sweeps`: a sweep that somebody else made, one JSON document a line.
//!
//! The first line says of what: `{"source", "scope", "observed_at"}`. Then come `{"object": …}`, `{"gap": …}` and
//! `{"finding": …}` in any order.
//! The last line says what was looked at: `{"end": {"coverage": {KIND: "complete" | "partial"}, "why"}}`. Without it the sweep
//! is partial: what it saw is known, and what it did not see is not judged.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::{Body, BodyDataStream};
use axum::extract::State;
use axum::{Extension, Json};
use chancery_discover::{Ended, Intake, Opening, Stated};
use chancery_model::problem::{BAD_REQUEST, Problem};
use chancery_model::{CoverageStatus, Gap, NodeKind, Object, Sweep};
use futures_util::StreamExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::View;
use crate::door::admin::Peer;
use crate::failure::{Answer, Failure};
use crate::input;
use crate::rooms::Rooms;

/// The longest line, in bytes.
const LINE: usize = 1 << 20;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct First {
    source: String,
    #[serde(default)]
    scope: String,
    /// Of when the state is, in RFC 3339; now, if nothing is said.
    #[serde(default)]
    observed_at: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    Object(Object),
    Gap(Gap),
    Finding(Stated),
    End(Last),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Last {
    #[serde(default)]
    coverage: BTreeMap<NodeKind, CoverageStatus>,
    #[serde(default)]
    why: Option<String>,
}

pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    body: Body,
) -> Answer<Json<View>> {
    let mut lines = Lines { stream: body.into_data_stream(), rest: Vec::new(), number: 0, over: false };
    let first: First = lines.next().await?.ok_or_else(|| lines.bad("it is empty"))?;
    let observed_at = match &first.observed_at {
        Some(text) => input::time(text)?,
        None => rooms.clock.now(),
    };
    let opening = Opening { source: &first.source, scope: &first.scope, observed_at, by: &peer.actor() };
    let mut intake = rooms.discovery.begin(opening).await?;
    let read = read(&mut intake, &mut lines).await;
    match read {
        Ok(ended) => Ok(Json(View::from(&intake.end(ended).await?))),
        // What it saw until then stays known, and the next one need not wait.
        Err(failure) => {
            let why = Some(format!("it was not understood beyond line {}", lines.number));
            let _: Sweep = intake.end(Ended { why, ..Ended::default() }).await?;
            Err(failure)
        }
    }
}

async fn read(intake: &mut Intake<'_>, lines: &mut Lines) -> Answer<Ended> {
    while let Some(line) = lines.next::<Line>().await? {
        match line {
            Line::Object(object) => intake.see(object).await?,
            Line::Gap(gap) => intake.gap(gap),
            Line::Finding(stated) => intake.find(stated)?,
            Line::End(last) => {
                if lines.next::<serde_json::Value>().await?.is_some() {
                    return Err(lines.bad("nothing may follow the end"));
                }
                return Ok(Ended { coverage: last.coverage, gaps: Vec::new(), why: last.why });
            }
        }
    }
    Ok(Ended { why: Some("it broke off before its end".to_owned()), ..Ended::default() })
}

/// The documents of a body, as they come.
struct Lines {
    stream: BodyDataStream,
    rest: Vec<u8>,
    number: usize,
    over: bool,
}

impl Lines {
    async fn next<T: DeserializeOwned>(&mut self) -> Answer<Option<T>> {
        loop {
            let end = self.rest.iter().position(|byte| *byte == b'\n');
            let end = end.or_else(|| (self.over && !self.rest.is_empty()).then_some(self.rest.len()));
            if let Some(end) = end {
                let line: Vec<u8> = self.rest.drain(..self.rest.len().min(end + 1)).collect();
                self.number += 1;
                if line.trim_ascii().is_empty() {
                    continue;
                }
                return serde_json::from_slice(&line).map(Some).map_err(|e| self.bad(&e.to_string()));
            }
            if self.over {
                return Ok(None);
            }
            if self.rest.len() > LINE {
                return Err(self.bad("the next line is longer than 1 MiB"));
            }
            match self.stream.next().await {
                Some(Ok(bytes)) => self.rest.extend_from_slice(&bytes),
                Some(Err(error)) => return Err(self.bad(&error.to_string())),
                None => self.over = true,
            }
        }
    }

    fn bad(&self, why: &str) -> Failure {
        Problem::new(BAD_REQUEST, format!("the sweep, line {}: {why}", self.number)).into()
    }
}
