//! `GET /oauth/authorize` and the answer to its page (OAuth 2.1 draft, section 4.1; RFC 9207; RFC 9700).
//!
//! Nothing is kept between question and answer: the form carries the request as it came, and it is judged again.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use bytes::Bytes;
use chancery_authenticate::{AskRefused, Asked, SignedIn};
use chancery_model::problem::BAD_AUTHORIZATION_REQUEST;
use http::{HeaderMap, Uri};

use super::form;
use crate::pages::consent::{Answer, Origin, Question};
use crate::pages::{Page, Posted, Visit, text, unknown_at};
use crate::rooms::Rooms;

/// The address of the answer.
const ANSWER: &str = "/oauth/consent";

/// Asks a person, or sends the browser back with what is wrong.
pub(crate) async fn show(State(rooms): State<Arc<Rooms>>, headers: HeaderMap, uri: Uri) -> Result<Response, Page> {
    let query = uri.query().unwrap_or_default();
    let asked = match rooms.authenticator.asked(&read(query)?).await {
        Ok(asked) => asked,
        Err(refused) => return back(refused),
    };
    let visit = Visit::of(&rooms, &headers);
    if let Some(page) = visit.detour(&uri) {
        return Ok(page.into_response());
    }
    let signed_in = visit.signed_in(&rooms).await?;
    if let Some(location) = asked.silent(signed_in.is_some()) {
        return Ok(Redirect::to(&location).into_response());
    }
    let signed_in = signed_in.ok_or_else(|| unknown_at(&uri))?;
    if asked.needs_login_within().is_some_and(|within| !signed_in.is_fresh(rooms.clock.now(), within)) {
        return Err(Page::sign_in_anew("The agent asks for a login that is newer than yours.").to(&signed_in));
    }
    if let Err(e) = rooms.authenticator.may_consent(&signed_in, &asked.agent()) {
        return back(asked.refuse(e));
    }
    Ok(page(&rooms, &asked, query, &signed_in).into_response())
}

/// Takes the answer, and sends the browser back with it.
pub(crate) async fn answer(State(rooms): State<Arc<Rooms>>, headers: HeaderMap, body: Bytes) -> Result<Response, Page> {
    let posted = Posted::read(&rooms, &headers, &body)?;
    let signed_in = posted.sender(&rooms).await?;
    let query = posted.field("request");
    let asked = match rooms.authenticator.asked_before(&read(query)?).await {
        Ok(asked) => asked,
        Err(refused) => return back(refused),
    };
    if !asked.is_answered_in_time(&signed_in, rooms.clock.now()) {
        return Err(Page::sign_in_anew("The agent asks for a login that is newer than yours.").to(&signed_in));
    }
    let agent = asked.agent();
    let answer = question(&rooms, &asked, &agent).answer(&posted);
    let (location, said) = match answer.map_err(|why| Page::stale(why).to(&signed_in))? {
        Answer::Allow(narrowed) => (rooms.authenticator.allow(&asked, &signed_in, &narrowed).await, "Allowed"),
        Answer::Deny => (rooms.authenticator.deny(&asked, &signed_in).await, "Denied"),
    };
    match location {
        // Not a redirect: browsers hold what follows a form to the page's own `form-action`.
        Ok(location) => {
            let body = format!("<p>Your answer goes back to {}.</p>", text(&agent.name));
            Ok(Page::new(said, body).to(&signed_in).onward(&location).into_response())
        }
        Err(refused) => back(refused),
    }
}

/// The parameters of the request.
fn read(query: &str) -> Result<Vec<(String, String)>, Page> {
    let unreadable = || Page::problem(BAD_AUTHORIZATION_REQUEST, "The address cannot be read.");
    form::pairs(query.as_bytes()).ok_or_else(unreadable)
}

fn back(refused: AskRefused) -> Result<Response, Page> {
    match refused.location {
        Some(location) => Ok(Redirect::to(&location).into_response()),
        None => Err(Page::problem(refused.error.row, &refused.error.description)),
    }
}

fn page(rooms: &Rooms, asked: &Asked, query: &str, signed_in: &SignedIn) -> Page {
    let agent = asked.agent();
    let form = question(rooms, asked, &agent).form(ANSWER, &[("request", query)], signed_in);
    Page::new(format!("Let {} act for you?", agent.name), form).to(signed_in)
}

fn question<'a>(rooms: &Rooms, asked: &'a Asked, agent: &'a chancery_model::Agent) -> Question<'a> {
    Question {
        agent,
        client: asked.client(),
        limits: asked.limits(),
        origin: Origin::Redirect(asked.redirect_uri()),
        longest: rooms.authenticator.config().sessions.maximum,
    }
}
