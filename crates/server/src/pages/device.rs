//! `/device` (RFC 8628, section 3.3): a person enters the code that a device shows, looks at what it wants, and answers.

use std::sync::Arc;

use axum::extract::State;
use bytes::Bytes;
use chancery_authenticate::{DeviceAsked, OauthError, SignedIn};
use http::{HeaderMap, Uri};

use super::consent::{Answer, Origin, Question};
use super::{Page, Posted, Visit, escaped, form_key, text, unknown_at};
use crate::oauth::form;
use crate::rooms::Rooms;

/// Asks for the code. One that came in a link stands there already, to be compared with the device.
pub(crate) async fn show(State(rooms): State<Arc<Rooms>>, headers: HeaderMap, uri: Uri) -> Result<Page, Page> {
    let visit = Visit::of(&rooms, &headers);
    if let Some(page) = visit.detour(&uri) {
        return Ok(page);
    }
    let signed_in = visit.signed_in(&rooms).await?.ok_or_else(|| unknown_at(&uri))?;
    let pairs = uri.query().and_then(|query| form::pairs(query.as_bytes())).unwrap_or_default();
    let code = pairs.into_iter().find(|(name, _)| name == "user_code").map(|(_, code)| code).unwrap_or_default();
    let body = format!(
        "<p>Your device shows a code of eight letters. Enter it here to see what it wants to do in your name.</p>\
         <form method=\"post\" action=\"/device\">{}<p><input type=\"text\" class=\"code\" name=\"user_code\" value=\"{}\" \
         placeholder=\"BCDF-GHJK\" maxlength=\"12\" autocomplete=\"off\" autocapitalize=\"characters\" spellcheck=\"false\" \
         aria-label=\"Code\" required></p><div class=\"actions\"><button>Continue</button></div></form>",
        form_key(&signed_in),
        escaped(&code.chars().take(12).collect::<String>()),
    );
    Ok(Page::new("Connect a device", body).to(&signed_in))
}

/// Shows what the device wants, or takes the answer.
pub(crate) async fn answer(State(rooms): State<Arc<Rooms>>, headers: HeaderMap, body: Bytes) -> Result<Page, Page> {
    let posted = Posted::read(&rooms, &headers, &body)?;
    let signed_in = posted.sender(&rooms).await?;
    let code = posted.field("user_code");
    let shown = |e: OauthError| Page::problem(e.row, &e.description).to(&signed_in);
    let asked = rooms.authenticator.device_asked(code, &signed_in).await.map_err(shown)?;
    rooms.authenticator.may_consent(&signed_in, &asked.agent()).map_err(shown)?;
    if posted.field("answer").is_empty() {
        return Ok(question(&rooms, &asked, code, &signed_in));
    }
    let agent = asked.agent();
    let answer = ask(&rooms, &asked, &agent).answer(&posted);
    let answer = answer.map_err(|why| Page::stale(why).to(&signed_in))?;
    let (narrowed, told) = match &answer {
        Answer::Allow(narrowed) => (Some(narrowed), "may now act in your name. Go back to your device."),
        Answer::Deny => (None, "may not act in your name. You can close this page."),
    };
    rooms.authenticator.answer_device(&asked, &signed_in, narrowed).await.map_err(shown)?;
    let tone = if narrowed.is_some() { "good" } else { "warn" };
    let body = format!("<p class=\"notice {tone}\"><strong>{}</strong> {told}</p>", text(&agent.name));
    Ok(Page::new(if narrowed.is_some() { "Allowed" } else { "Denied" }, body).to(&signed_in))
}

fn question(rooms: &Rooms, asked: &DeviceAsked, code: &str, signed_in: &SignedIn) -> Page {
    let agent = asked.agent();
    let form = ask(rooms, asked, &agent).form("/device", &[("user_code", code)], signed_in);
    let code = format!("<p>The code is</p><p class=\"big\">{}</p>", text(&code.to_ascii_uppercase()));
    Page::new(format!("Let {} act for you?", agent.name), code + &form).to(signed_in)
}

fn ask<'a>(rooms: &Rooms, asked: &'a DeviceAsked, agent: &'a chancery_model::Agent) -> Question<'a> {
    Question {
        agent,
        client: asked.client(),
        limits: asked.limits(),
        origin: Origin::Device,
        longest: rooms.authenticator.config().sessions.maximum,
    }
}
