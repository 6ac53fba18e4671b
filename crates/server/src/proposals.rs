//! Two persons for one change: what the configuration wants so waits until another one confirms it.
//!
//! What was proposed is kept as it came, sealed, and is run from there: nobody sends it again. It is run once. If the
//! process dies in between, the record says that it was confirmed and not what became of it, and it is not run again.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use chancery_authenticate::Place;
use chancery_model::problem::{INTERNAL, MISSING_ROLE, NO_PROPOSAL, OWN_PROPOSAL, Problem};
use chancery_model::{Proposal, ProposalId, ProposalState, Span, Timestamp};
use chancery_store::{StoreError, proposals};
use http::header;
use serde::Serialize;
use tower::ServiceExt;

use crate::api;
use crate::change::Act;
use crate::door::admin::Peer;
use crate::door::matrix::{self, Rule};
use crate::door::person::right;
use crate::failure::Answer;
use crate::input::Items;
use crate::policies::sha256;
use crate::rooms::Rooms;

/// How long one waits.
const LIFETIME: Span = Span::hours(8);
/// A body that is not shown.
const HIDDEN: &str = "(not shown: it holds a secret)";

/// A proposal as people see it; times in RFC 3339.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    pub(crate) id: String,
    pub(crate) verb: String,
    pub(crate) method: String,
    pub(crate) uri: String,
    /// What would be run, letter by letter.
    pub(crate) body: String,
    pub(crate) digest: String,
    pub(crate) proposed_by: String,
    pub(crate) created_at: String,
    pub(crate) expires_at: String,
    /// Whether whoever looks could confirm it.
    pub(crate) confirmable: bool,
    pub(crate) own: bool,
}

/// Keeps a request until somebody confirms it.
pub(crate) async fn propose(rooms: &Rooms, by: &Peer, rule: &Rule, uri: &str, body: &[u8]) -> Answer<View> {
    let Some(person) = by.person() else {
        return Err(Problem::new(INTERNAL, "nothing is proposed on the host").into());
    };
    let (now, random) = (rooms.clock.now(), &*rooms.random);
    let id = ProposalId::new(now, random);
    let sealed = rooms.vault.seal(place(id.as_str()), body).map_err(|e| Problem::new(INTERNAL, e.to_string()))?;
    let proposal = Proposal {
        digest: sha256(&[rule.method.as_bytes(), b" ", uri.as_bytes(), b"\n", body].concat()),
        id,
        verb: rule.verb.to_owned(),
        method: rule.method.to_owned(),
        uri: uri.to_owned(),
        body: sealed,
        person: person.id.clone(),
        created_at: now,
        expires_at: now + LIFETIME,
        state: ProposalState::Waiting,
        decided_by: None,
        decided_at: None,
        status: None,
    };
    let draft = draft(now, by, &proposal, "propose")?;
    let stored = proposal.clone();
    let write = rooms.store.write(draft, move |tx| Box::pin(async move { proposals::insert(tx, &stored).await }));
    write.await?;
    view(rooms, &proposal, by)
}

/// `GET /v1/proposals`: those that wait and that whoever asks proposed or could confirm; on the host all of them.
pub(crate) async fn list(State(rooms): State<Arc<Rooms>>, Extension(by): Extension<Peer>) -> Answer<Json<Items<View>>> {
    Ok(Json(Items { items: waiting(&rooms, &by).await? }))
}

/// Those that wait and that they proposed or could confirm.
pub(crate) async fn waiting(rooms: &Rooms, by: &Peer) -> Answer<Vec<View>> {
    let found = proposals::waiting(&rooms.store, rooms.clock.now()).await?;
    let concerns = |proposal: &&Proposal| is_of(proposal, by) || may(rooms, by, proposal).is_some();
    found.iter().filter(concerns).map(|proposal| view(rooms, proposal, by)).collect()
}

/// `POST /v1/proposals/{id}/confirm`: runs it, and answers what it answers.
pub(crate) async fn confirm(
    State(rooms): State<Arc<Rooms>>,
    Extension(by): Extension<Peer>,
    Path(id): Path<String>,
) -> Answer<Response> {
    confirmed(&rooms, &by, &id).await
}

/// `POST /v1/proposals/{id}/withdraw`: it is not run any more.
pub(crate) async fn withdraw(
    State(rooms): State<Arc<Rooms>>,
    Extension(by): Extension<Peer>,
    Path(id): Path<String>,
) -> Answer<Json<View>> {
    withdrawn(&rooms, &by, &id).await.map(Json)
}

/// A second person confirms, or the host, which could do it without anybody; and it is run.
pub(crate) async fn confirmed(rooms: &Arc<Rooms>, by: &Peer, id: &str) -> Answer<Response> {
    let proposal = found(rooms, id).await?;
    if is_of(&proposal, by) {
        return Err(Problem::new(OWN_PROPOSAL, format!("`{}` proposed it", by.actor())).into());
    }
    if may(rooms, by, &proposal).is_none() {
        let why = format!("`{}` may not do `{}`", by.actor(), proposal.verb);
        return Err(Problem::new(MISSING_ROLE, why).into());
    }
    // Whoever proposed it must still be one who may.
    let author = rooms.authenticator.person(&proposal.person).ok_or_else(over)?;
    let Some(author) = rule(&proposal).and_then(|rule| right(rooms, &author, rule, path(&proposal))) else {
        let why = format!("`{}`, who proposed it, may not do `{}` any more", author.name, proposal.verb);
        return Err(Problem::new(MISSING_ROLE, why).into());
    };
    let body = opened(rooms, &proposal)?;
    decide(rooms, by, &proposal, ProposalState::Confirmed, "confirm").await?;
    let response = run(rooms, author, &proposal, body).await?;
    note(rooms, by, &proposal, response.status().as_u16()).await?;
    Ok(response)
}

/// Whoever proposed it, or could confirm it, takes it back.
pub(crate) async fn withdrawn(rooms: &Rooms, by: &Peer, id: &str) -> Answer<View> {
    let proposal = found(rooms, id).await?;
    if !is_of(&proposal, by) && may(rooms, by, &proposal).is_none() {
        return Err(over().into());
    }
    decide(rooms, by, &proposal, ProposalState::Withdrawn, "withdraw").await?;
    view(rooms, &proposal, by)
}

/// The row of a proposal, if they may do what it says. Nobody is a second person by a break-glass.
fn may(rooms: &Rooms, by: &Peer, proposal: &Proposal) -> Option<&'static Rule> {
    let admits = |rule: &&Rule| match by.person() {
        None => true,
        Some(person) => rule.admits(person, path(proposal), &rooms.authenticator),
    };
    rule(proposal).filter(admits)
}

fn rule(proposal: &Proposal) -> Option<&'static Rule> {
    matrix::of(&proposal.verb, &proposal.method)
}

fn path(proposal: &Proposal) -> &str {
    proposal.uri.split('?').next().unwrap_or_default()
}

/// Did they propose it? Nothing is proposed on the host.
fn is_of(proposal: &Proposal, by: &Peer) -> bool {
    by.person().is_some_and(|person| proposal.is_of(person))
}

async fn found(rooms: &Rooms, id: &str) -> Answer<Proposal> {
    let Ok(id) = id.parse::<ProposalId>() else { return Err(over().into()) };
    let found = proposals::get(&rooms.store, &id).await?;
    found.filter(|proposal| proposal.waits(rooms.clock.now())).ok_or_else(|| over().into())
}

fn over() -> Problem {
    Problem::new(NO_PROPOSAL, "it was decided, taken back, expired, or was never there")
}

fn opened(rooms: &Rooms, proposal: &Proposal) -> Answer<Vec<u8>> {
    let body = rooms.vault.unseal(place(proposal.id.as_str()), &proposal.body);
    Ok(body.map_err(|e| Problem::new(INTERNAL, e.to_string()))?.to_vec())
}

fn place(id: &str) -> Place<'_> {
    Place { table: "proposals", row: id }
}

async fn decide(rooms: &Rooms, by: &Peer, proposal: &Proposal, state: ProposalState, verb: &str) -> Answer<()> {
    let (now, id, person) = (rooms.clock.now(), proposal.id.clone(), by.person().map(|person| person.id.clone()));
    let draft = draft(now, by, proposal, verb)?;
    let write = rooms.store.write(draft, move |tx| {
        Box::pin(async move {
            let first = proposals::decide(tx, &id, state, person.as_ref(), now).await?;
            if first { Ok(()) } else { Err(StoreError::refuse(over())) }
        })
    });
    write.await?;
    Ok(())
}

/// The request as it came, in the name of whoever proposed it.
async fn run(rooms: &Arc<Rooms>, author: Peer, proposal: &Proposal, body: Vec<u8>) -> Answer<Response> {
    let request = Request::builder()
        .method(proposal.method.as_str())
        .uri(&proposal.uri)
        .header(header::CONTENT_TYPE, "application/json")
        .extension(author)
        .body(Body::from(body))
        .map_err(|e| Problem::new(INTERNAL, e.to_string()))?;
    let answered = api::routes().with_state(Arc::clone(rooms)).oneshot(request).await;
    Ok(answered.into_response())
}

async fn note(rooms: &Rooms, by: &Peer, proposal: &Proposal, status: u16) -> Answer<()> {
    let (now, id) = (rooms.clock.now(), proposal.id.clone());
    let act = act(by, proposal, "run");
    let draft = act.draft(now, &serde_json::json!({ "status": status }))?;
    let write = rooms.store.write(draft, move |tx| Box::pin(async move { proposals::ran(tx, &id, status).await }));
    write.await?;
    Ok(())
}

fn draft(at: Timestamp, by: &Peer, proposal: &Proposal, verb: &str) -> Answer<chancery_model::Draft> {
    let after = serde_json::json!({
        "verb": proposal.verb, "method": proposal.method, "uri": proposal.uri, "digest": hex(&proposal.digest),
        "proposed_by": proposal.person,
    });
    act(by, proposal, verb).draft(at, &after)
}

fn act<'a>(by: &Peer, proposal: &'a Proposal, verb: &'a str) -> Act<'a> {
    Act { by: by.clone(), noun: "proposal", id: proposal.id.as_str(), verb, reason: None }
}

fn view(rooms: &Rooms, proposal: &Proposal, viewer: &Peer) -> Answer<View> {
    let rule = matrix::of(&proposal.verb, &proposal.method);
    let body = match rule {
        Some(rule) if !rule.has_secret() => String::from_utf8_lossy(&opened(rooms, proposal)?).into_owned(),
        _ => HIDDEN.to_owned(),
    };
    let author = rooms.authenticator.person(&proposal.person);
    let own = is_of(proposal, viewer);
    Ok(View {
        id: proposal.id.to_string(),
        verb: proposal.verb.clone(),
        method: proposal.method.clone(),
        uri: proposal.uri.clone(),
        body,
        digest: hex(&proposal.digest),
        proposed_by: author.map_or_else(|| proposal.person.to_string(), |person| person.name.clone()),
        created_at: proposal.created_at.rfc3339(),
        expires_at: proposal.expires_at.rfc3339(),
        confirmable: !own && may(rooms, viewer, proposal).is_some(),
        own,
    })
}

fn hex(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
