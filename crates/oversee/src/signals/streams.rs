//! The configuration of streams, their status, their subjects and their verification (Shared Signals Framework 1.0,
//! section 8.1).

use chancery_model::{Delivery, Secret, SignalStream, StreamId, StreamStatus, problem};
use chancery_store::streams::StoredStream;
use chancery_store::{StoreError, streams};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::transmitter::{Admitted, MIN_VERIFICATION, Transmitter, delivered, own};
use super::{SignalError, kinds, queue, subject};
use crate::entry::Act;

/// RFC 8935.
pub(super) const PUSH: &str = "urn:ietf:rfc:8935";
/// RFC 8936.
pub(super) const POLL: &str = "urn:ietf:rfc:8936";
/// How many event types may be asked for.
const MOST_EVENTS: usize = 64;
/// How many subjects a receiver may say something of.
const MOST_SUBJECTS: u64 = 10_000;
/// The longest text of each kind, in bytes.
const LONGEST_URI: usize = 256;
const LONGEST_TEXT: usize = 1_000;
const LONGEST_HEADER: usize = 4_000;

/// What a receiver sends about its stream. Members that are not known are ignored.
#[derive(Debug, Default, Deserialize)]
pub struct StreamRequest {
    /// Which stream.
    pub stream_id: Option<String>,
    /// What it wants to be told.
    pub events_requested: Option<Vec<String>>,
    /// How.
    pub delivery: Option<DeliveryRequest>,
    /// What it says of the stream.
    pub description: Option<String>,
    /// What is ours to say; where it is there, it must be as we say it.
    #[serde(flatten)]
    pub others: serde_json::Map<String, Value>,
}

/// How a receiver wants its events.
#[derive(Debug, Deserialize)]
pub struct DeliveryRequest {
    /// The URN of the way.
    pub method: String,
    /// Where to.
    pub endpoint_url: Option<String>,
    /// The `Authorization` header of each push.
    pub authorization_header: Option<String>,
}

/// A stream as its receiver sees it. The header of pushes is not shown.
#[derive(Debug, Serialize)]
pub struct StreamView {
    stream_id: StreamId,
    iss: String,
    aud: String,
    events_supported: [&'static str; 7],
    events_requested: Vec<String>,
    events_delivered: Vec<&'static str>,
    delivery: Value,
    min_verification_interval: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

/// What a request makes of a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// What is missing stays (PATCH).
    Update,
    /// What is missing is deleted (PUT).
    Replace,
}

impl Transmitter {
    /// Makes a receiver's one stream (section 8.1.1.1).
    pub async fn create(&self, receiver: &Admitted, request: StreamRequest) -> Result<StreamView, SignalError> {
        let now = self.clock.now();
        let mut stored = StoredStream {
            stream: SignalStream {
                id: StreamId::new(now, &*self.random),
                receiver: receiver.agent.id.clone(),
                audience: receiver.audience.clone(),
                delivery: Delivery::Poll,
                events: Vec::new(),
                description: None,
                status: StreamStatus::Enabled,
                reason: None,
                created_at: now,
                verified_at: None,
            },
            authorization: None,
        };
        self.apply(&mut stored, request, Way::Replace)?;
        let view = self.view(&stored.stream);
        let draft = act(receiver, &stored.stream.id, "create", None).draft(now, &json!(stored.stream));
        let owner = receiver.agent.id.clone();
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                if streams::of_receiver(&mut *tx, &owner).await?.is_some() {
                    let why = "a receiver has one stream";
                    return Err(StoreError::refuse(SignalError::new(problem::STREAM_EXISTS, why)));
                }
                streams::insert(tx, &stored).await
            })
        });
        write.await?;
        Ok(view)
    }

    /// The receiver's streams: one or none.
    pub async fn list(&self, receiver: &Admitted) -> Result<Vec<StreamView>, SignalError> {
        let found = streams::of_receiver(&self.store, &receiver.agent.id).await?;
        Ok(found.iter().map(|stored| self.view(&stored.stream)).collect())
    }

    /// The receiver's stream of this id (section 8.1.1.2).
    pub async fn read(&self, receiver: &Admitted, id: &str) -> Result<StreamView, SignalError> {
        Ok(self.view(&self.stream(receiver, id, &self.store).await?.stream))
    }

    /// Changes what the request says (section 8.1.1.3).
    pub async fn update(&self, receiver: &Admitted, request: StreamRequest) -> Result<StreamView, SignalError> {
        self.change(receiver, request, Way::Update).await
    }

    /// Changes everything to what the request says (section 8.1.1.4).
    pub async fn replace(&self, receiver: &Admitted, request: StreamRequest) -> Result<StreamView, SignalError> {
        self.change(receiver, request, Way::Replace).await
    }

    /// Removes the stream, with all that waits in it (section 8.1.1.5).
    pub async fn delete(&self, receiver: &Admitted, id: &str) -> Result<(), SignalError> {
        let stored = self.stream(receiver, id, &self.store).await?;
        let draft = act(receiver, &stored.stream.id, "delete", None).draft(self.clock.now(), &Value::Null);
        let (receiver, id) = (receiver.clone(), id.to_owned());
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                let stored = still(&receiver, &id, streams::of_receiver(&mut *tx, &receiver.agent.id).await?)?;
                streams::remove(tx, &stored.stream.id).await
            })
        });
        write.await?;
        Ok(())
    }

    /// Whether events go over the stream (section 8.1.2.1).
    pub async fn status(&self, receiver: &Admitted, id: &str) -> Result<Value, SignalError> {
        Ok(status_of(&self.stream(receiver, id, &self.store).await?.stream))
    }

    /// The receiver decides whether they do (section 8.1.2.2).
    pub async fn set_status(
        &self,
        receiver: &Admitted,
        id: &str,
        status: StreamStatus,
        reason: Option<&str>,
    ) -> Result<Value, SignalError> {
        let stored = self.stream(receiver, id, &self.store).await?;
        let reason = reason.map(|text| text_of("reason", text)).transpose()?;
        let change = act(receiver, &stored.stream.id, "set_status", reason.as_deref());
        let draft = change.draft(self.clock.now(), &json!({"status": status}));
        let (receiver, id) = (receiver.clone(), id.to_owned());
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                let stored = still(&receiver, &id, streams::of_receiver(&mut *tx, &receiver.agent.id).await?)?;
                if status == StreamStatus::Disabled {
                    chancery_store::signals::clear(tx, &stored.stream.id).await?;
                }
                let stream = SignalStream { status, reason, ..stored.stream };
                let stored = StoredStream { stream, ..stored };
                streams::update(tx, &stored).await?;
                Ok(status_of(&stored.stream))
            })
        });
        let written = write.await?;
        self.wake();
        Ok(written.value)
    }

    /// We decide whether events go over a stream, and say so over it (section 8.1.5).
    ///
    /// # Errors
    /// `NO_STREAM`.
    pub async fn govern(
        &self,
        id: &str,
        status: StreamStatus,
        reason: &str,
        actor: &str,
    ) -> Result<Value, SignalError> {
        let missing = || SignalError::new(problem::NO_STREAM, format!("there is no stream `{id}`"));
        let id: StreamId = id.parse().map_err(|_| missing())?;
        let stored = streams::get(&self.store, &id).await?.ok_or_else(missing)?;
        let reason = text_of("reason", reason)?;
        let change = Act { actor, noun: "stream", id: id.as_str(), verb: "govern", reason: Some(&reason) };
        let now = self.clock.now();
        let draft = change.draft(now, &json!({"status": status}));
        let notice = queue::notice(&stored.stream, status, Some(&reason), now, &*self.random);
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move { queue::govern(tx, &id, status, Some(&reason), &notice).await })
        });
        let written = write.await?;
        self.wake();
        Ok(status_of(&written.value))
    }

    /// Notes that the receiver wants, or does not want, to be told of a subject (section 8.1.3). Whether the subject is
    /// known here is not told: a receiver must not learn who there is.
    pub async fn subject(&self, receiver: &Admitted, id: &str, about: &Value, wanted: bool) -> Result<(), SignalError> {
        let stored = self.stream(receiver, id, &self.store).await?;
        let spelled = subject::spelled(about).map_err(SignalError::bad)?;
        let verb = if wanted { "add_subject" } else { "remove_subject" };
        let draft = act(receiver, &stored.stream.id, verb, None).draft(self.clock.now(), &json!({"subject": about}));
        let id = stored.stream.id;
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                // Everybody is in a stream from its beginning: adding takes a removal back.
                if wanted {
                    return streams::forget_subject(tx, &id, &spelled).await;
                }
                if streams::count_subjects(&mut *tx, &id).await? >= MOST_SUBJECTS {
                    let why = format!("a receiver removes at most {MOST_SUBJECTS} subjects");
                    return Err(StoreError::refuse(SignalError::bad(why)));
                }
                streams::put_subject(tx, &id, &spelled, false).await
            })
        });
        write.await?;
        Ok(())
    }

    /// Puts a verification event into the stream (section 8.1.4.2).
    pub async fn verify(&self, receiver: &Admitted, id: &str, state: Option<&str>) -> Result<(), SignalError> {
        let stored = self.stream(receiver, id, &self.store).await?;
        if let Some(state) = state.filter(|state| state.len() > LONGEST_TEXT) {
            return Err(SignalError::bad(format!(
                "`state` has {} bytes, over the limit of {LONGEST_TEXT}",
                state.len()
            )));
        }
        if stored.stream.status == StreamStatus::Disabled {
            return Err(SignalError::bad("the stream is disabled: nothing goes over it"));
        }
        let now = self.clock.now();
        let signal = queue::verification(&stored.stream, state, now, &*self.random);
        let draft = act(receiver, &stored.stream.id, "verify", None).draft(now, &json!({"jti": signal.jti}));
        let (receiver, id) = (receiver.clone(), id.to_owned());
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                let stored = still(&receiver, &id, streams::of_receiver(&mut *tx, &receiver.agent.id).await?)?;
                if stored.stream.verified_at.is_some_and(|at| now < at + MIN_VERIFICATION) {
                    let why = format!("one in {} seconds is sent", MIN_VERIFICATION.as_seconds());
                    return Err(StoreError::refuse(SignalError::new(problem::TOO_MANY_VERIFICATIONS, why)));
                }
                let stream = SignalStream { verified_at: Some(now), ..stored.stream };
                let id = stream.id.clone();
                streams::update(tx, &StoredStream { stream, ..stored }).await?;
                chancery_store::signals::push(tx, &id, &signal).await.map(drop)
            })
        });
        write.await?;
        self.wake();
        Ok(())
    }

    async fn change(&self, receiver: &Admitted, request: StreamRequest, way: Way) -> Result<StreamView, SignalError> {
        let id = request.stream_id.clone().ok_or_else(|| SignalError::bad("`stream_id` is missing"))?;
        let before = self.stream(receiver, &id, &self.store).await?;
        let mut after = before.clone();
        self.apply(&mut after, request, way)?;
        let verb = if way == Way::Update { "update" } else { "replace" };
        let draft = act(receiver, &after.stream.id, verb, None).draft(self.clock.now(), &json!(after.stream));
        let view = self.view(&after.stream);
        let owner = receiver.clone();
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                let stored = still(&owner, &id, streams::of_receiver(&mut *tx, &owner.agent.id).await?)?;
                // Only what this request is about: status and verification may have moved on.
                let stream = SignalStream {
                    delivery: after.stream.delivery,
                    events: after.stream.events,
                    description: after.stream.description,
                    ..stored.stream
                };
                streams::update(tx, &StoredStream { stream, authorization: after.authorization }).await
            })
        });
        write.await?;
        self.wake();
        Ok(view)
    }

    fn apply(&self, stored: &mut StoredStream, request: StreamRequest, way: Way) -> Result<(), SignalError> {
        self.check_ours(&stored.stream, &request)?;
        let stream = &mut stored.stream;
        match request.events_requested {
            Some(events) => stream.events = events_of(events)?,
            None if way == Way::Replace => stream.events.clear(),
            None => {}
        }
        match request.description {
            Some(text) => stream.description = Some(text_of("description", &text)?),
            None if way == Way::Replace => stream.description = None,
            None => {}
        }
        match request.delivery {
            Some(delivery) => self.deliver_by(stored, delivery)?,
            None if way == Way::Replace => (stored.stream.delivery, stored.authorization) = (Delivery::Poll, None),
            None => {}
        }
        Ok(())
    }

    fn deliver_by(&self, stored: &mut StoredStream, wanted: DeliveryRequest) -> Result<(), SignalError> {
        let id = stored.stream.id.clone();
        (stored.stream.delivery, stored.authorization) = match wanted.method.as_str() {
            PUSH => {
                let endpoint = wanted.endpoint_url.ok_or_else(|| SignalError::bad("a push needs `endpoint_url`"))?;
                let permitted = self.config.fetch.permits(&endpoint);
                permitted.map_err(|e| SignalError::bad(format!("`delivery.endpoint_url`: {e}")))?;
                let header = wanted.authorization_header.map(|text| self.sealed(&id, text)).transpose()?;
                (Delivery::Push { endpoint }, header)
            }
            POLL => {
                let ours = self.poll_address(&id);
                if wanted.endpoint_url.is_some_and(|url| url != ours) {
                    return Err(SignalError::bad(
                        "the address that is polled is ours to give: leave `endpoint_url` out",
                    ));
                }
                (Delivery::Poll, None)
            }
            _ => return Err(SignalError::bad(format!("`delivery.method` is neither {PUSH} nor {POLL}"))),
        };
        Ok(())
    }

    fn sealed(&self, id: &StreamId, header: String) -> Result<Vec<u8>, SignalError> {
        let visible = header.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        if header.is_empty() || header.len() > LONGEST_HEADER || !visible {
            let why = format!("`delivery.authorization_header` is not 1 to {LONGEST_HEADER} visible characters");
            return Err(SignalError::bad(why));
        }
        let sealed = self.seals.seal(id.as_str(), &Secret::new(header));
        sealed.map_err(|why| SignalError::new(problem::INTERNAL, why))
    }

    /// What we supply may come back, but not as something else.
    fn check_ours(&self, stream: &SignalStream, request: &StreamRequest) -> Result<(), SignalError> {
        let ours = serde_json::to_value(self.view(stream)).unwrap_or_default();
        let supplied = ["iss", "aud", "events_supported", "events_delivered", "min_verification_interval"];
        let other = supplied.iter().find(|name| {
            request
                .others
                .get(**name)
                .is_some_and(|said| Some(said) != ours.get(**name) && !is_one(said, ours.get(**name)))
        });
        match other {
            Some(name) => Err(SignalError::bad(format!("`{name}` is not what it is here: leave it out"))),
            None => Ok(()),
        }
    }

    fn view(&self, stream: &SignalStream) -> StreamView {
        StreamView {
            stream_id: stream.id.clone(),
            iss: self.config.issuer.clone(),
            aud: stream.audience.clone(),
            events_supported: kinds::SUPPORTED,
            events_requested: stream.events.clone(),
            events_delivered: delivered(stream),
            delivery: match &stream.delivery {
                Delivery::Push { endpoint } => json!({"method": PUSH, "endpoint_url": endpoint}),
                Delivery::Poll => json!({"method": POLL, "endpoint_url": self.poll_address(&stream.id)}),
            },
            min_verification_interval: MIN_VERIFICATION.as_seconds(),
            description: stream.description.clone(),
        }
    }

    fn poll_address(&self, id: &StreamId) -> String {
        format!("{}/ssf/poll/{id}", self.config.issuer)
    }
}

fn act<'a>(receiver: &'a Admitted, id: &'a StreamId, verb: &'a str, reason: Option<&'a str>) -> Act<'a> {
    Act { actor: &receiver.agent.name, noun: "stream", id: id.as_str(), verb, reason }
}

/// In a transaction: the receiver's stream as it is now.
fn still(receiver: &Admitted, id: &str, found: Option<StoredStream>) -> Result<StoredStream, StoreError> {
    own(receiver, id, found).map_err(StoreError::refuse)
}

/// An array of one value is that value.
fn is_one(said: &Value, ours: Option<&Value>) -> bool {
    matches!(said.as_array().map(Vec::as_slice), Some([one]) if Some(one) == ours)
}

fn events_of(events: Vec<String>) -> Result<Vec<String>, SignalError> {
    if events.len() > MOST_EVENTS || events.iter().any(|uri| uri.is_empty() || uri.len() > LONGEST_URI) {
        let why = format!("`events_requested` is not at most {MOST_EVENTS} URIs of 1 to {LONGEST_URI} bytes");
        return Err(SignalError::bad(why));
    }
    Ok(events)
}

fn text_of(name: &str, text: &str) -> Result<String, SignalError> {
    if (1..=LONGEST_TEXT).contains(&text.len()) && !text.contains(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(SignalError::bad(format!("`{name}` is no text of 1 to {LONGEST_TEXT} bytes without control characters")))
}

fn status_of(stream: &SignalStream) -> Value {
    let mut status = json!({"stream_id": stream.id, "status": stream.status});
    if let Some(reason) = &stream.reason {
        status["reason"] = reason.as_str().into();
    }
    status
}
