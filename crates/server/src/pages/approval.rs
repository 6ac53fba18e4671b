//! `/approvals/{id}`: one call that waits for people, on one screen.
//!
//! What is shown is made from what would run: the canonical arguments, one by one. What the agent says about them is
//! quoted as what it says. A yes is for the digest that the page carries, and where much hangs on it the passkey is shown
//! for that digest in the same act; if the request is another by then, it counts for nothing.

use std::sync::Arc;

use axum::extract::{Path, State};
use bytes::Bytes;
use chancery_authenticate::SignedIn;
use chancery_model::problem::{BAD_REQUEST, NO_APPROVAL};
use chancery_model::{Approval, ApprovalId, Digest, Risk};
use chancery_oversee::approvals::{ApprovalError, Approver, Place, Proof, Say, has_spoken, may_decide};
use http::{HeaderMap, Uri};

use super::{Page, Posted, Visit, passkeys, sign_in};
use crate::rooms::Rooms;
use card::{Card, Decide};

mod card;
mod history;
mod reach;

/// Shows what would run, and who may say yes to it.
pub(crate) async fn show(
    State(rooms): State<Arc<Rooms>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Page, Page> {
    let visit = Visit::of(&rooms, &headers);
    if let Some(page) = visit.detour(&uri) {
        return Ok(page);
    }
    let Some(signed_in) = visit.signed_in(&rooms).await? else {
        return Err(sign_in::first(&rooms, &uri, "An agent waits for a person to decide something.")?);
    };
    let approval = found(&rooms, &id, &signed_in).await?;
    page(&rooms, &approval, &signed_in).await
}

/// Takes a yes or a no.
pub(crate) async fn decide(
    State(rooms): State<Arc<Rooms>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Page, Page> {
    let posted = Posted::read(&rooms, &headers, &body)?;
    let signed_in = posted.sender(&rooms).await?;
    let approval = found(&rooms, &id, &signed_in).await?;
    let approve = match posted.field("say") {
        "approve" => true,
        "deny" => false,
        _ => return Err(Page::problem(BAD_REQUEST, "The form says neither yes nor no.").to(&signed_in)),
    };
    let seen: Digest = posted.field("seen").parse().map_err(|_| refused(&ApprovalError::Changed, &signed_in))?;
    let comment = Some(posted.field("comment").trim()).filter(|comment| !comment.is_empty());
    let proof = if approve { proof(&rooms, &signed_in, &seen, &posted).await? } else { None };
    let held = Held::of(&rooms, &signed_in).await?;
    let by = held.approver(&rooms, &signed_in);
    let said = rooms.approvals.say(&approval.id, &by, &Say { approve, comment, seen, proof }).await;
    let said = said.map_err(|e| refused(&e, &signed_in))?;
    Ok(card::done(&said).to(&signed_in))
}

/// The passkey that was shown for what they saw, if one was.
async fn proof(rooms: &Rooms, by: &SignedIn, seen: &Digest, posted: &Posted) -> Result<Option<Proof>, Page> {
    let sent = passkeys::shown(posted);
    if sent.credential.is_empty() {
        return Ok(None);
    }
    let shown = rooms.authenticator.shown_for(by, seen, &sent).await;
    let shown = shown.map_err(|e| Page::from(e).to(by))?;
    Ok(Some(Proof { shown: shown.shown, evidence: shown.evidence }))
}

/// What somebody holds beside their role.
struct Held {
    groups: Vec<String>,
    places: Vec<Place>,
}

impl Held {
    async fn of(rooms: &Rooms, signed_in: &SignedIn) -> Result<Self, Page> {
        let places = rooms.places_of(&signed_in.person).await;
        let places = places.map_err(|e| refused(&ApprovalError::Store(e), signed_in))?;
        Ok(Self { groups: rooms.groups_of(&signed_in.person), places })
    }

    /// Who they are for a request.
    fn approver<'a>(&'a self, rooms: &Rooms, signed_in: &'a SignedIn) -> Approver<'a> {
        let person = &*signed_in.person;
        Approver { person, groups: &self.groups, approver: rooms.is_approver(person), places: &self.places }
    }
}

async fn found(rooms: &Rooms, id: &str, signed_in: &SignedIn) -> Result<Approval, Page> {
    let missing = || Page::problem(NO_APPROVAL, "There is no such request.").to(signed_in);
    let id: ApprovalId = id.parse().map_err(|_| missing())?;
    let approval = rooms.approvals.get(&id).await.map_err(|e| refused(&e, signed_in))?;
    Ok(approval)
}

async fn page(rooms: &Rooms, approval: &Approval, signed_in: &SignedIn) -> Result<Page, Page> {
    let held = Held::of(rooms, signed_in).await?;
    let by = held.approver(rooms, signed_in);
    let allowed = may_decide(approval, &by);
    // Whoever may not decide about it learns that it exists, and not what it says.
    if let Err(why) = &allowed
        && !rooms.is_overseer(&signed_in.person)
    {
        return Ok(refused(why, signed_in));
    }
    rooms.approvals.show(&approval.id, &signed_in.person.id);
    let now = rooms.clock.now();
    let place = allowed.as_ref().ok().copied().flatten();
    let decide = match &allowed {
        Err(why) => Decide::Not(why.to_string()),
        Ok(_) if !approval.is_pending(now) => Decide::Over,
        Ok(_) if has_spoken(approval, by.person) => Decide::Voted,
        Ok(_) => asked(rooms, approval, signed_in).await?,
    };
    let last = rooms.approvals.last_used(approval).await.map_err(|e| refused(&e, signed_in))?;
    let card = Card {
        approval,
        digest: rooms.approvals.digest(approval),
        now,
        last: last.as_ref(),
        history: history::of(rooms, approval).await,
        reach: reach::of(rooms, approval).await,
        decide,
        place: place.map(|place| place.person.display.as_deref().unwrap_or(&place.person.name)),
        by: signed_in,
    };
    let page = card.page().to(signed_in);
    Ok(if card.is_signed() { page.scripted() } else { page })
}

/// What they are asked for: a yes or a no, and for a yes on which much hangs a passkey.
async fn asked(rooms: &Rooms, approval: &Approval, signed_in: &SignedIn) -> Result<Decide, Page> {
    if approval.risk() != Risk::High {
        return Ok(Decide::Plain);
    }
    let digest = rooms.approvals.digest(approval);
    let options = rooms.authenticator.approve_options(signed_in, &digest).await;
    let options = options.map_err(|e| Page::from(e).to(signed_in))?;
    Ok(options.map_or(Decide::NoPasskey, Decide::Signed))
}

fn refused(e: &ApprovalError, signed_in: &SignedIn) -> Page {
    Page::problem(e.row(), &e.to_string()).to(signed_in)
}
