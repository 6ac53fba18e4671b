//! `/step-up`: a passkey is shown again, before something that is dangerous.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, Uri};

use super::passkeys::{PasskeyForm, shown};
use super::sign_in::{goal, with_cookie};
use super::{Page, Posted, Visit, escaped, form_key, own_path, unknown_at};
use crate::rooms::Rooms;

/// Asks for a passkey of whoever is signed in.
pub(crate) async fn show(State(rooms): State<Arc<Rooms>>, headers: HeaderMap, uri: Uri) -> Result<Page, Page> {
    let visit = Visit::of(&rooms, &headers);
    if let Some(page) = visit.detour(&uri) {
        return Ok(page);
    }
    let signed_in = visit.signed_in(&rooms).await?.ok_or_else(|| unknown_at(&uri))?;
    if rooms.authenticator.passkeys(&signed_in.person.id).await?.is_empty() {
        let body = "<p>You have no passkey yet.</p><div class=\"actions\"><a class=\"button\" href=\"/passkeys\">Register \
                    a passkey</a></div>";
        return Ok(Page::new("Confirm that it is you", body).to(&signed_in));
    }
    let options = rooms.authenticator.step_up_options(&signed_in).await?;
    let fields = format!(
        "{}<input type=\"hidden\" name=\"to\" value=\"{}\">",
        form_key(&signed_in),
        escaped(own_path(&goal(&uri)))
    );
    let form = PasskeyForm { action: "/step-up", options: &options, button: "Confirm with a passkey", fields: &fields };
    let body = format!("<p>What you want to do needs you to be there. It counts for five minutes.</p>{}", form.get());
    Ok(Page::new("Confirm that it is you", body).to(&signed_in).scripted())
}

/// Takes it. The browser gets a new cookie.
pub(crate) async fn confirm(
    State(rooms): State<Arc<Rooms>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Page> {
    let posted = Posted::read(&rooms, &headers, &body)?;
    let signed_in = posted.sender(&rooms).await?;
    let cookie = posted.visit.cookie.as_deref().unwrap_or_default();
    let cookie = rooms.authenticator.step_up(&signed_in, cookie, &shown(&posted)).await;
    let cookie = cookie.map_err(|e| Page::from(e).to(&signed_in))?;
    Ok(with_cookie(&rooms, Some(cookie.expose()), own_path(posted.field("to"))))
}
