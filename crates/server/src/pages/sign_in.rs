//! `/sign-in/{code}`, `/sign-in`, `/sign-out`: with a one-time link in, and out again.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use bytes::Bytes;
use chancery_authenticate::SignedIn;
use chancery_model::{LOGIN_IDLE, LOGIN_MAXIMUM};
use http::{HeaderMap, Uri, header};

use super::{Page, Posted, Visit, escaped, form_key, set_cookie, text};
use crate::rooms::Rooms;

/// Shows for whom a link is. It is used up by its button only: programs that preview links do not press it.
pub(crate) async fn show(State(rooms): State<Arc<Rooms>>, Path(code): Path<String>) -> Result<Page, Page> {
    let person = rooms.authenticator.link_is_for(&code).await?;
    let name = person.display.as_deref().unwrap_or(&person.name);
    let body = format!(
        "<p>This link signs you in as</p><p class=\"big\">{}</p><p class=\"dim\">{}</p>\
         <form method=\"post\" action=\"/sign-in/{}\"><div class=\"actions\"><button>Sign in</button></div></form>\
         <p class=\"dim\">It is good once. If you are not this person, close the page and tell whoever gave it to you.</p>",
        text(name),
        text(&person.name),
        escaped(&code),
    );
    Ok(Page::new("Sign in", body))
}

/// Uses a link. The browser gets a new cookie; the login it had before is over.
pub(crate) async fn redeem(
    State(rooms): State<Arc<Rooms>>,
    Path(code): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Page> {
    let posted = Posted::read(&rooms, &headers, &body)?;
    let cookie = rooms.authenticator.sign_in(&code, posted.visit.cookie.as_deref()).await?;
    Ok(with_cookie(&rooms, Some(cookie.expose())))
}

/// Who is signed in with this browser.
pub(crate) async fn home(State(rooms): State<Arc<Rooms>>, headers: HeaderMap, uri: Uri) -> Result<Page, Page> {
    let visit = Visit::of(&rooms, &headers);
    if let Some(page) = visit.detour(&uri) {
        return Ok(page);
    }
    Ok(match visit.signed_in(&rooms).await? {
        Some(signed_in) => welcome(&signed_in),
        None => nobody(),
    })
}

/// Ends the login.
pub(crate) async fn leave(State(rooms): State<Arc<Rooms>>, headers: HeaderMap, body: Bytes) -> Result<Response, Page> {
    let posted = Posted::read(&rooms, &headers, &body)?;
    posted.sender(&rooms).await?;
    rooms.authenticator.sign_out(posted.visit.cookie.as_deref().unwrap_or_default()).await?;
    Ok(with_cookie(&rooms, None))
}

fn welcome(signed_in: &SignedIn) -> Page {
    let (hours, minutes) = (LOGIN_MAXIMUM.as_seconds() / 3_600, LOGIN_IDLE.as_seconds() / 60);
    let body = format!(
        "<p class=\"notice good\">You are signed in with this browser as <strong>{}</strong>.</p>\
         <p>An agent that wants to act in your name sends you to a page here, where you allow it or not. \
         Did a device show you a code? <a href=\"/device\">Enter it</a>.</p>\
         <form method=\"post\" action=\"/sign-out\">{}<div class=\"actions\">\
         <button class=\"quiet\">Sign out</button></div></form>\
         <p class=\"dim\">You stay signed in for {hours} hours, or until {minutes} minutes have passed without a visit.</p>",
        text(&signed_in.person.name),
        form_key(signed_in),
    );
    Page::new("Signed in", body).to(signed_in)
}

fn nobody() -> Page {
    Page::new(
        "Sign in",
        "<p>Nobody is signed in with this browser.</p>\
         <p>You sign in with a link that is good once. An administrator makes it on the server's host:</p>\
         <pre>chancery person link NAME</pre>",
    )
}

fn with_cookie(rooms: &Arc<Rooms>, value: Option<&str>) -> Response {
    let mut response = Redirect::to("/sign-in").into_response();
    match set_cookie(rooms, value) {
        Ok(cookie) => {
            response.headers_mut().insert(header::SET_COOKIE, cookie);
            response
        }
        Err(problem) => crate::failure::Failure::from(problem).into_response(),
    }
}
