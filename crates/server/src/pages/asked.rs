//! `/asked` (OpenID CIBA Core 1.0, section 8): an agent named this person, who is somewhere else; they look at what it wants
//! and answer, with a passkey.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use bytes::Bytes;
use chancery_authenticate::{BackchannelAsked, OauthError, SignedIn};
use http::{HeaderMap, Uri};

use super::consent::{Answer, Origin, Question};
use super::{Page, Posted, Visit, text, unknown_at};
use crate::rooms::Rooms;

/// What waits for whoever is signed in.
pub(crate) async fn show(State(rooms): State<Arc<Rooms>>, headers: HeaderMap, uri: Uri) -> Result<Page, Page> {
    let visit = Visit::of(&rooms, &headers);
    if let Some(page) = visit.detour(&uri) {
        return Ok(page);
    }
    let signed_in = visit.signed_in(&rooms).await?.ok_or_else(|| unknown_at(&uri))?;
    let waiting = rooms.authenticator.backchannel_waiting(&signed_in).await.map_err(|e| refused(&e, &signed_in))?;
    let item = |(id, asked): &(chancery_model::AskId, BackchannelAsked)| {
        let message = asked.message().map_or_else(String::new, |message| format!(" <small>{}</small>", text(message)));
        format!("<li><a href=\"/asked/{}\">{}</a>{message}</li>", text(id.as_str()), text(&asked.agent().name))
    };
    let body = match waiting.as_slice() {
        [] => "<p>No agent asks for you.</p>".to_owned(),
        waiting => {
            format!("<p>They want to act in your name:</p><ul>{}</ul>", waiting.iter().map(item).collect::<String>())
        }
    };
    Ok(Page::new("Agents that ask for you", body).to(&signed_in))
}

/// Shows what one of them wants. A passkey comes first: without it there is no yes.
pub(crate) async fn open(
    State(rooms): State<Arc<Rooms>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Page> {
    let visit = Visit::of(&rooms, &headers);
    if let Some(page) = visit.detour(&uri) {
        return Ok(page.into_response());
    }
    let signed_in = visit.signed_in(&rooms).await?.ok_or_else(|| unknown_at(&uri))?;
    let asked = rooms.authenticator.backchannel_asked(&id, &signed_in).await.map_err(|e| refused(&e, &signed_in))?;
    if !rooms.authenticator.may_answer_backchannel(&signed_in) {
        return Ok(Redirect::to(&format!("/step-up?to=/asked/{id}")).into_response());
    }
    rooms.authenticator.may_consent(&signed_in, &asked.agent()).map_err(|e| refused(&e, &signed_in))?;
    let agent = asked.agent();
    let form = question(&rooms, &asked, &agent).form(&format!("/asked/{id}"), &[], &signed_in);
    Ok(Page::new(format!("Let {} act for you?", agent.name), form).to(&signed_in).into_response())
}

/// Takes the answer.
pub(crate) async fn answer(
    State(rooms): State<Arc<Rooms>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Page, Page> {
    let posted = Posted::read(&rooms, &headers, &body)?;
    let signed_in = posted.sender(&rooms).await?;
    let shown = |e: OauthError| refused(&e, &signed_in);
    let asked = rooms.authenticator.backchannel_asked(&id, &signed_in).await.map_err(shown)?;
    let agent = asked.agent();
    let answer = question(&rooms, &asked, &agent).answer(&posted).map_err(|why| Page::stale(why).to(&signed_in))?;
    let narrowed = match &answer {
        Answer::Allow(narrowed) => Some(narrowed),
        Answer::Deny => None,
    };
    rooms.authenticator.answer_backchannel(&asked, &signed_in, narrowed).await.map_err(shown)?;
    let (title, tone, told) = match narrowed {
        Some(_) => ("Allowed", "good", "may now act in your name. It goes on where you started it."),
        None => ("Denied", "warn", "may not act in your name. You can close this page."),
    };
    let body = format!("<p class=\"notice {tone}\"><strong>{}</strong> {told}</p>", text(&agent.name));
    Ok(Page::new(title, body).to(&signed_in))
}

fn refused(e: &OauthError, signed_in: &SignedIn) -> Page {
    Page::problem(e.row, &e.description).to(signed_in)
}

fn question<'a>(rooms: &Rooms, asked: &'a BackchannelAsked, agent: &'a chancery_model::Agent) -> Question<'a> {
    Question {
        agent,
        client: asked.client(),
        limits: asked.limits(),
        origin: Origin::Elsewhere(asked.message()),
        longest: rooms.authenticator.config().sessions.maximum,
    }
}
