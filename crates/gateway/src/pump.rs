//! A stream from an upstream to the agent, event by event.

use std::time::Duration;

use bytes::Bytes;
use chancery_model::ActResult;
use futures_util::{Stream, stream};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use tokio::sync::mpsc;

use crate::body::{Body, BoxError};
use crate::flight::Flight;
use crate::relay::{Passed, Relay};
use crate::sse::{Event, Events};
use crate::upstream::Failure;
use crate::upstream::stdio::Reply;

/// Where events come from.
pub(crate) enum Source {
    Events(Incoming, Events),
    Reply(Reply),
    Notes(mpsc::Receiver<Bytes>),
}

/// What comes from a source.
pub(crate) enum Piece {
    Message(Bytes, Vec<String>),
    /// An event without a message: a comment, a retry time, an id to resume from.
    Other(Event),
    End,
}

/// A running stream. Its flight is closed by its answer; by its end, if it merely carries messages.
pub(crate) struct Pump {
    source: Source,
    relay: Relay,
    flight: Option<Flight>,
    /// How long is waited for the next byte; for ever on streams that carry what happens to happen.
    idle: Option<Duration>,
    ended: bool,
}

impl Pump {
    pub(crate) fn new(source: Source, relay: Relay, flight: Flight, idle: Option<Duration>) -> Self {
        Self { source, relay, flight: Some(flight), idle, ended: false }
    }

    /// The next event to send; nothing at the end.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        while !self.ended {
            match self.step().await {
                Ok(Some(bytes)) => return Some(bytes),
                Ok(None) => {}
                Err(failure) => return self.fail(failure).await,
            }
        }
        None
    }

    async fn step(&mut self) -> Result<Option<Bytes>, Failure> {
        match self.piece().await? {
            Piece::Message(message, others) => self.message(message, others).await,
            Piece::Other(event) => Ok(Some(self.relay.clean(event.to_bytes()).await)),
            Piece::End => {
                self.end();
                Ok(None)
            }
        }
    }

    /// The next piece, as long as the caller is in force: whoever was stopped meanwhile gets nothing any more.
    async fn piece(&mut self) -> Result<Piece, Failure> {
        self.relay.unless_stopped(self.source.piece(self.idle)).await
    }

    async fn message(&mut self, message: Bytes, others: Vec<String>) -> Result<Option<Bytes>, Failure> {
        let bytes = match self.relay.pass(message).await? {
            Passed::Dropped => return Ok(None),
            Passed::Note(bytes) => bytes,
            Passed::Answer { id, bytes, ended, detail, result } => {
                let own = self.relay.own.as_ref().is_some_and(|(own, _)| *own == id);
                let parked = || self.relay.session.as_ref().and_then(|session| session.unpark(&id));
                if let Some(flight) = if own { self.flight.take() } else { parked() } {
                    flight.close(ended, detail, Some(result)).await;
                }
                if own {
                    self.relay.opened_in_vain(ended);
                }
                bytes
            }
        };
        let data =
            String::from_utf8(bytes.to_vec()).map_err(|_| Failure::not_understood("its message is not UTF-8"))?;
        let event = Event { data: Some(data), others };
        Ok(Some(self.relay.clean(event.to_bytes()).await))
    }

    /// The source is at its end. A request of a session may still be answered on the session's own stream.
    fn end(&mut self) {
        self.ended = true;
        let (Some(session), Some((id, _))) = (&self.relay.session, &self.relay.own) else { return };
        if let (Source::Events(..), Some(flight)) = (&self.source, self.flight.take()) {
            session.park(id.clone(), flight);
        }
    }

    /// The stream broke: the agent is told, and the record says what is known.
    async fn fail(&mut self, failure: Failure) -> Option<Bytes> {
        self.ended = true;
        let flight = self.flight.take()?;
        let (id, subject) = (flight.id(), flight.subject.clone());
        flight.close(failure.result, Some(failure.why.clone()), None).await;
        let answer = failure.refusal().answer(&subject, Some(id));
        let bytes = answer.into_body().collect().await.ok()?.to_bytes();
        Some(Event::message(String::from_utf8_lossy(&bytes).into_owned()).to_bytes())
    }

    /// The stream as a body, after a first event that was read already.
    pub(crate) fn into_body(self, first: Option<Bytes>) -> Body {
        BodyExt::boxed_unsync(StreamBody::new(frames(self, first)))
    }
}

type Frames = Result<Frame<Bytes>, BoxError>;

fn frames(pump: Pump, first: Option<Bytes>) -> impl Stream<Item = Frames> + Send {
    stream::unfold((pump, first), |(mut pump, first)| async move {
        let bytes = match first {
            Some(first) => first,
            None => pump.next().await?,
        };
        Some((Ok(Frame::data(bytes)), (pump, None)))
    })
}

impl Relay {
    /// A session whose initialization failed was none.
    pub(crate) fn opened_in_vain(&self, ended: ActResult) {
        let initialize = matches!(&self.own, Some((_, method)) if method == "initialize");
        if let (true, ActResult::Failed, Some(session)) = (initialize, ended, &self.session) {
            self.gateway.sessions.close(&session.id);
        }
    }
}

impl Source {
    /// The next piece, waiting no longer than `idle` for it.
    pub(crate) async fn piece(&mut self, idle: Option<Duration>) -> Result<Piece, Failure> {
        let Some(idle) = idle else { return self.next().await };
        let nothing = |_| Err(Failure::unknown(format!("nothing came for {} s", idle.as_secs())));
        tokio::time::timeout(idle, self.next()).await.unwrap_or_else(nothing)
    }

    async fn next(&mut self) -> Result<Piece, Failure> {
        match self {
            Self::Events(body, events) => from_http(body, events).await,
            Self::Reply(reply) => Ok(reply.next().await.map_or(Piece::End, |line| Piece::Message(line, Vec::new()))),
            Self::Notes(notes) => Ok(notes.recv().await.map_or(Piece::End, |line| Piece::Message(line, Vec::new()))),
        }
    }
}

async fn from_http(body: &mut Incoming, events: &mut Events) -> Result<Piece, Failure> {
    loop {
        let event = events.next().map_err(|e| Failure::not_understood(e.to_string()))?;
        if let Some(event) = event {
            return Ok(match event.data {
                Some(data) if !data.is_empty() => Piece::Message(data.into(), event.others),
                _ => Piece::Other(event),
            });
        }
        match body.frame().await {
            None => return Ok(Piece::End),
            Some(Err(e)) => return Err(Failure::unknown(format!("its stream broke off: {e}"))),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    events.push(&data);
                }
            }
        }
    }
}

/// Streams that wait for what happens are open as long as somebody listens.
pub(crate) fn idle(relay: &Relay, configured: Duration) -> Option<Duration> {
    (relay.own.is_some() && !relay.waits()).then_some(configured)
}
