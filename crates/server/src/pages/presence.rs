//! `/presence/{session}` (RFC 9470): something an agent wants to do waits for a person to be there.

use std::sync::Arc;

use axum::extract::{Path, State};
use bytes::Bytes;
use chancery_authenticate::{PeopleError, PresenceAsked, SignedIn};
use http::{HeaderMap, Uri};

use super::{Page, Posted, Visit, form_key, text, unknown_at};
use crate::rooms::Rooms;

/// Says which agent, in which session, for what.
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
    let signed_in = visit.signed_in(&rooms).await?.ok_or_else(|| unknown_at(&uri))?;
    let asked = rooms.authenticator.presence_asked(&id, &signed_in).map_err(|e| refused(e, &signed_in))?;
    Ok(question(&asked, &signed_in))
}

/// Notes that the person is there.
pub(crate) async fn confirm(
    State(rooms): State<Arc<Rooms>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Page, Page> {
    let posted = Posted::read(&rooms, &headers, &body)?;
    let signed_in = posted.sender(&rooms).await?;
    let confirmed = rooms.authenticator.confirm_presence(&id, &signed_in).await;
    let asked = confirmed.map_err(|e| refused(e, &signed_in))?;
    let body = format!(
        "<p class=\"notice good\">It is noted that you are there. <strong>{}</strong> can go on.</p>\
         <p class=\"dim\">What waited for you has to be asked again by the agent; most do that by themselves.</p>",
        text(&asked.agent.name),
    );
    Ok(Page::new("Confirmed", body).to(&signed_in))
}

fn question(asked: &PresenceAsked, signed_in: &SignedIn) -> Page {
    let session = &asked.session;
    let mut rows = vec![
        ("Agent", text(&asked.agent.name)),
        ("What the agent is for", text(&asked.agent.purpose)),
        ("What it does now", session.purpose.as_deref().map_or("It did not say.".to_owned(), text)),
        ("On whose behalf", text(&asked.chain.join(" → "))),
        ("Session", format!("<code>{}</code>", text(session.id.as_str()))),
        ("Since", text(&session.opened_at.rfc3339())),
    ];
    if let Some(last) = asked.last {
        rows.push(("Last confirmed", text(&last.rfc3339())));
    }
    let whole = asked.noted_in.id != session.id || session.parent.is_none();
    let reach = if whole { "the whole run that this session belongs to" } else { "this session and what it hands on" };
    let rows = rows.iter().fold(String::new(), |all, (name, value)| all + &format!("<dt>{name}</dt><dd>{value}</dd>"));
    let body = format!(
        "<p>An agent wants to do something that needs a person to be there. Confirm only if you know what it is doing.</p>\
         <dl>{rows}</dl><p class=\"dim\">It counts for {reach}. It allows nothing by itself: the policies say for how long it \
         counts, and for what.</p>\
         <form method=\"post\" action=\"/presence/{}\">{}<div class=\"actions\"><button>I am here</button></div></form>",
        text(session.id.as_str()),
        form_key(signed_in),
    );
    Page::new("Are you there?", body).to(signed_in)
}

fn refused(e: PeopleError, signed_in: &SignedIn) -> Page {
    match e {
        PeopleError::Stale => Page::sign_in_anew("You signed in more than five minutes ago.").to(signed_in),
        e => Page::from(e).to(signed_in),
    }
}
