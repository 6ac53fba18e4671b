//! What became of an act: the record is told, and the agent gets its answer.

use bytes::Bytes;
use chancery_model::{ActResult, problem};
use http::{HeaderValue, Response, StatusCode, header};

use crate::body::{self, Body};
use crate::flight::Flight;
use crate::forward::{Answer, Answered};
use crate::message::Form;
use crate::pump::{Piece, Pump, Source, idle};
use crate::relay::{Passed, Relay};
use crate::sessions::{Place, SESSION};
use crate::sse::{Event, Events};
use crate::upstream::{Failure, Upstream};

/// Closes the record and answers. A stream closes it when its answer has passed.
pub(crate) async fn after(
    mut flight: Flight,
    mut relay: Relay,
    form: Form,
    (upstream, place): (&Upstream, &Place),
    answered: Result<Answered, Failure>,
) -> Response<Body> {
    relay.session = place.session().cloned();
    let Answered { answer, opened, renewed } = match answered {
        Ok(answered) => answered,
        Err(failure) => return failed(flight, &relay, failure).await,
    };
    relay.scrubber = renewed.map_or(relay.scrubber, |credential| credential.scrubber.clone());
    let fresh = opened.map(|link| relay.gateway.sessions.open(&relay.caller, upstream, link, relay.opens_addresses));
    relay.session = fresh.clone().or(relay.session);
    let limits = relay.gateway.config.limits;
    if form == Form::Listen || relay.waits() {
        flight.carries();
    }
    let mut response = match answer {
        Answer::Accepted(status) => accepted(flight, &relay, &form, status).await,
        Answer::Whole(status, bytes) => whole(flight, &relay, status, bytes).await,
        Answer::Events(events) => stream(flight, relay, Source::Events(events, Events::new(limits.answer)), None),
        Answer::Reply(reply) => replied(flight, relay, Source::Reply(reply)).await,
        Answer::Notes(notes) => stream(flight, relay, Source::Notes(notes), None),
    };
    if let Some(id) = fresh.and_then(|session| HeaderValue::from_str(&session.id).ok()) {
        response.headers_mut().insert(SESSION, id);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn failed(flight: Flight, relay: &Relay, failure: Failure) -> Response<Body> {
    if [problem::NO_MCP_SESSION, problem::CALL_CUT].contains(&failure.row)
        && let Some(session) = &relay.session
    {
        relay.gateway.sessions.close(&session.id);
    }
    let (id, subject) = (flight.id(), flight.subject.clone());
    // What upstreams say of themselves may hold what they were given.
    let why = relay.scrubber.text(&failure.why);
    flight.close(failure.result, Some(why.clone()), None).await;
    Failure { why, ..failure }.refusal().answer(&subject, Some(id))
}

async fn accepted(flight: Flight, relay: &Relay, form: &Form, status: StatusCode) -> Response<Body> {
    if *form == Form::End
        && status != StatusCode::METHOD_NOT_ALLOWED
        && let Some(session) = &relay.session
    {
        relay.gateway.sessions.close(&session.id);
    }
    let ended = if status.is_success() { ActResult::Succeeded } else { ActResult::Failed };
    flight.close(ended, (!status.is_success()).then(|| status.to_string()), None).await;
    let mut response = body::empty(status);
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
    }
    response
}

async fn whole(flight: Flight, relay: &Relay, status: StatusCode, bytes: Bytes) -> Response<Body> {
    match relay.pass(bytes).await {
        Ok(Passed::Answer { bytes, ended, detail, result, .. }) => {
            relay.opened_in_vain(ended);
            flight.close(ended, detail, Some(result)).await;
            body::json_bytes(status, bytes)
        }
        Ok(_) => failed(flight, relay, Failure::not_understood("it answered with a message that is no answer")).await,
        Err(failure) => failed(flight, relay, failure).await,
    }
}

/// A child that answers at once is answered with JSON; one that has something to say before, with a stream.
async fn replied(flight: Flight, relay: Relay, mut source: Source) -> Response<Body> {
    let timeout = idle(&relay, relay.gateway.config.timeouts.idle);
    loop {
        let line = match relay.unless_stopped(source.piece(timeout)).await {
            Ok(Piece::Message(line, _)) => line,
            Ok(Piece::Other(_)) => continue,
            Ok(Piece::End) => {
                return failed(flight, &relay, Failure::unknown("its process ended before it answered")).await;
            }
            Err(failure) => return failed(flight, &relay, failure).await,
        };
        match relay.pass(line).await {
            Ok(Passed::Dropped) => {}
            Ok(Passed::Note(bytes)) => {
                let event = Event::message(String::from_utf8_lossy(&bytes).into_owned());
                return stream(flight, relay, source, Some(event.to_bytes()));
            }
            Ok(Passed::Answer { bytes, ended, detail, result, .. }) => {
                relay.opened_in_vain(ended);
                flight.close(ended, detail, Some(result)).await;
                return body::json_bytes(StatusCode::OK, bytes);
            }
            Err(failure) => return failed(flight, &relay, failure).await,
        }
    }
}

fn stream(flight: Flight, relay: Relay, source: Source, first: Option<Bytes>) -> Response<Body> {
    let timeout = idle(&relay, relay.gateway.config.timeouts.idle);
    streaming(Pump::new(source, relay, flight, timeout).into_body(first))
}

fn streaming(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
