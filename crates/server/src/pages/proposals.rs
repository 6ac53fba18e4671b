//! `/proposals`: what waits for a second person, shown as it would be run.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use bytes::Bytes;
use chancery_authenticate::SignedIn;
use chancery_model::problem::SHOW_PASSKEY;
use http::{HeaderMap, Uri};

use super::{Page, Posted, Visit, escaped, form_key, sentence, text, unknown_at};
use crate::door::admin::Peer;
use crate::door::person::PROVED;
use crate::failure::Failure;
use crate::proposals::{self, View};
use crate::rooms::Rooms;

/// Those that this person proposed or could confirm.
pub(crate) async fn show(State(rooms): State<Arc<Rooms>>, headers: HeaderMap, uri: Uri) -> Result<Page, Page> {
    let visit = Visit::of(&rooms, &headers);
    if let Some(page) = visit.detour(&uri) {
        return Ok(page);
    }
    let signed_in = visit.signed_in(&rooms).await?.ok_or_else(|| unknown_at(&uri))?;
    if signed_in.proved_at.is_none() {
        return Err(Page::problem(SHOW_PASSKEY, "No passkey was shown in this login.").to(&signed_in));
    }
    let waiting = proposals::waiting(&rooms, &Peer::Person(Arc::clone(&signed_in.person)))
        .await
        .map_err(|e| refused(&e, &signed_in))?;
    let body = match waiting.as_slice() {
        [] => "<p>Nothing waits for you.</p>".to_owned(),
        waiting => waiting.iter().map(|view| item(view, &signed_in)).collect(),
    };
    Ok(Page::new("What waits for a second person", body).to(&signed_in))
}

/// Confirms one, or takes it back.
pub(crate) async fn answer(
    State(rooms): State<Arc<Rooms>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Page> {
    let posted = Posted::read(&rooms, &headers, &body)?;
    let signed_in = posted.sender(&rooms).await?;
    if !signed_in.is_proved(rooms.clock.now(), PROVED) {
        return Ok(Redirect::to("/step-up?to=/proposals").into_response());
    }
    let by = Peer::Person(Arc::clone(&signed_in.person));
    let (title, said) = if posted.field("answer") == "confirm" {
        let response = proposals::confirmed(&rooms, &by, &id).await.map_err(|e| refused(&e, &signed_in))?;
        let status = response.status();
        let tone = if status.is_success() { "good" } else { "bad" };
        ("Confirmed", format!("<p class=\"notice {tone}\">It was run, and answered {}.</p>", text(&status.to_string())))
    } else {
        proposals::withdrawn(&rooms, &by, &id).await.map_err(|e| refused(&e, &signed_in))?;
        ("Taken back", "<p class=\"notice warn\">It will not be run.</p>".to_owned())
    };
    let body = format!("{said}<p><a href=\"/proposals\">What else waits</a></p>");
    Ok(Page::new(title, body).to(&signed_in).into_response())
}

fn refused(failure: &Failure, signed_in: &SignedIn) -> Page {
    let problem = &failure.0;
    let body = format!(
        "<p class=\"notice bad\">{}</p><p class=\"dim\">{}</p>",
        text(&sentence(&problem.detail)),
        text(&problem.code)
    );
    let status = http::StatusCode::from_u16(problem.status).unwrap_or(http::StatusCode::BAD_REQUEST);
    Page { status, ..Page::new(sentence(&problem.title), body) }.to(signed_in)
}

fn item(view: &View, by: &SignedIn) -> String {
    let confirm = if view.confirmable {
        "<button name=\"answer\" value=\"confirm\">Confirm and run</button>"
    } else {
        "<p class=\"dim\">Somebody else has to confirm it.</p>"
    };
    let rows = [
        ("What", format!("<code>{}</code>", text(&view.verb))),
        ("Proposed by", text(&view.proposed_by)),
        ("Until", format!("<time datetime=\"{0}\">{0}</time>", text(&view.expires_at))),
        ("Request", format!("<code>{} {}</code>", text(&view.method), text(&view.uri))),
        ("SHA-256", format!("<code>{}</code>", text(&view.digest))),
    ];
    let rows = rows.iter().fold(String::new(), |all, (name, value)| all + &format!("<dt>{name}</dt><dd>{value}</dd>"));
    format!(
        "<form method=\"post\" action=\"/proposals/{}\" class=\"item\">{}<h2>{}</h2><dl>{rows}</dl>\
         <pre tabindex=\"0\" aria-label=\"Body of the request\">{}</pre><div class=\"actions\">{confirm}\
         <button name=\"answer\" value=\"withdraw\" class=\"quiet\">Take back</button></div></form>",
        escaped(&view.id),
        form_key(by),
        text(&view.verb),
        visible(&view.body),
    )
}

/// Letter by letter: what does not show, or turns the order around, is written out.
fn visible(body: &str) -> String {
    let shown = |c: char| match c {
        '\n' | ' '..='~' => c.to_string(),
        c if c.is_alphanumeric() => c.to_string(),
        c => c.escape_unicode().to_string(),
    };
    escaped(&body.chars().map(shown).collect::<String>())
}
