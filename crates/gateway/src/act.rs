//! The life of a call.

use std::sync::Arc;

use bytes::Bytes;
use chancery_authenticate::Caller;
use chancery_authorize::Permit;
use chancery_record::{Receipt, RecordError};
use http::{HeaderName, HeaderValue, Request, Response};

use crate::after::after;
use crate::body::{Body, BoxError};
use crate::decide::{self, Allowed, Basis, decide};
use crate::flight::Flight;
use crate::forward::{Parcel, forward};
use crate::gateway::Gateway;
use crate::intend::{Intent, intend};
use crate::known::{Known, not_recorded};
use crate::message::{Form, Message};
use crate::refusal::Refusal;
use crate::rehearse::Way;
use crate::relay::Relay;
use crate::sessions::Place;
use crate::upstream::{Failure, Upstream};
use crate::wire::Wire;
use crate::{approve, read, wire};

const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");

/// Answers one request. Whatever goes wrong on the way is a refusal, and is recorded once it is known whose it is.
pub(crate) async fn act<B>(gateway: &Arc<Gateway>, request: Request<B>) -> Response<Body>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let server = request.uri().path().strip_prefix("/mcp/").unwrap_or("").to_owned();
    let mut known = Known::new(gateway, &server, request.method().as_str());
    let nonce = gateway.authenticator.dpop_nonce().and_then(|nonce| HeaderValue::from_str(&nonce).ok());
    let mut response = match path(gateway, &server, request, &mut known).await {
        Ok(response) => response,
        Err(refusal) => known.refuse(refusal).await,
    };
    // The next proof needs a nonce that is still good then (RFC 9449, section 8.2).
    if let Some(nonce) = nonce {
        response.headers_mut().insert(DPOP_NONCE, nonce);
    }
    response
}

/// The path of a request, in its order. There is no way to the upstream around a line of it.
async fn path<B>(
    gateway: &Arc<Gateway>,
    server: &str,
    request: Request<B>,
    known: &mut Known,
) -> Result<Response<Body>, Refusal>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    // Read: within limits, once, strictly. What is wrong with it is said after it is known to whom.
    let (head, body) = request.into_parts();
    let message = read::message(gateway, &head, body).await;

    // Caller: a token for exactly this server, proof of its key, an agent and a session in force at this moment.
    let caller = read::caller(gateway, &head)?;
    known.caller(&caller);
    let name = gateway.upstream(server).map_or_else(|_| server.into(), |upstream| upstream.name.clone());
    let slot = gateway.slots.take(&caller, &name)?;
    let mut message = message?;
    known.message(&message, &head.headers);

    // Session: the headers say what the body says, the server is open, and an MCP session is used by nobody but its agent.
    let wire = wire::of(&head.headers, &message)?;
    known.wire(wire);
    let upstream = gateway.upstream(server)?;
    read::opens(gateway, server, None)?;
    let place = gateway.sessions.place(&caller, upstream, wire, &head.headers, &message)?;
    known.elicits(wire::elicits(wire, &message, &place));
    let answered = approve::answered(&mut message)?;

    // Intend: which act, on which pinned tool or resource, with which arguments.
    let intent = intend(gateway, upstream, wire, &head.headers, &message, known).await?;
    read::opens(gateway, server, intent.tool_name())?;

    // Decide: only an allow brings a permit. Where a policy wants people to approve it, they are asked.
    let way = Way { upstream, place: &place, wire, message: &message };
    let allowed = decide(gateway, (&caller, known.reason()), &intent, (answered, way)).await?;
    let Allowed { permit, decision, claim, basis, approved } = allowed;
    known.decision(&decision);
    known.claim(&claim, &basis);
    let busy = place.session().map(|session| session.begin(&message)).transpose()?.flatten();

    // Record: the intent is on the disk before anything happens, and its approval is used up by then.
    let receipt = before(gateway, known, approved).await.map_err(|e| not_recorded(&e))?;
    let flight = Flight::new(gateway, &receipt, known, (slot, busy, claim));

    // Inject, forward, after.
    let last_event = head.headers.get(LAST_EVENT).filter(|_| message.form == Form::Listen).cloned();
    let by = (&caller, known.reason());
    let act = Act { by, intent: &intent, basis: &basis, upstream, place: &place, wire, message, last_event };
    Ok(carry_out(gateway, flight, act, (permit, receipt)).await)
}

/// What was allowed and recorded.
pub(crate) struct Act<'a> {
    /// Who does it, and why they say they do.
    pub(crate) by: (&'a Caller, Option<&'a str>),
    pub(crate) intent: &'a Intent,
    pub(crate) basis: &'a Basis,
    pub(crate) upstream: &'a Upstream,
    pub(crate) place: &'a Place,
    pub(crate) wire: Wire,
    pub(crate) message: Message,
    /// Where a stream is to be taken up again.
    pub(crate) last_event: Option<HeaderValue>,
}

/// The end of the path, for what has a permit and a receipt: a request of an agent, or a dry run of it.
pub(crate) async fn carry_out(
    gateway: &Arc<Gateway>,
    flight: Flight,
    act: Act<'_>,
    (permit, receipt): (Permit, Receipt),
) -> Response<Body> {
    let Act { by: (caller, reason), intent, basis, upstream, place, wire, message, last_event } = act;
    let mut relay = Relay::new(gateway, upstream, caller, reason, &message);

    // Inject: the upstream's credential, which the agent never sees. Whatever was waited for up to here, a caller who
    // was stopped meanwhile is not in force any more, nor is what allowed it if that was taken back; and nothing is
    // waited for between this and the sending. Before it is looked at, it is said that something may be sent: whoever
    // throws the kill switch waits for that to end.
    let still = || {
        read::still(gateway, caller, &intent.server, intent.tool_name())?;
        decide::still(gateway, caller, reason, intent, basis)
    };
    let credential = gateway.credential(upstream).await;
    let sending = flight.sends(intent.tool_name());
    let ready = credential.and_then(|credential| {
        still()?;
        Ok((gateway.shared_child(upstream, caller, place, &credential)?, credential))
    });
    let (shared, credential) = match ready {
        Ok(ready) => ready,
        Err(refusal) => return flight.not_sent(refusal).await,
    };
    relay.scrubber = credential.scrubber.clone();

    // Forward: exactly what was permitted and recorded, for as long as whoever asked for it is in force.
    let form = message.form.clone();
    let params = intent.params();
    let limit = gateway.config.limits.answer;
    let renewal = gateway.renewal(upstream, &still);
    let parcel =
        Parcel { place, credential: &credential, upstream, message, wire, params, last_event, limit, shared, renewal };
    let answered: Result<_, Failure> = relay.unless_stopped(forward(permit, receipt, parcel)).await;
    drop(sending);

    // After: the outcome is recorded, and the answer goes back without what is not for the agent.
    after(flight, relay, form, (upstream, place), answered).await
}

async fn before(
    gateway: &Gateway,
    known: &mut Known,
    approved: Option<approve::Approved>,
) -> Result<Receipt, RecordError> {
    match approved {
        None => gateway.recorder.before(known.take_intent()).await,
        Some(approved) => {
            known.approval(&approved.id);
            gateway.recorder.before_approved(known.take_intent(), approved.id, approved.call).await
        }
    }
}
