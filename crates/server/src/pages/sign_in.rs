//! `/sign-in`, `/sign-in/{code}`, `/sign-out`: with a passkey in, at first with a one-time link, and out again.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use bytes::Bytes;
use chancery_authenticate::SignedIn;
use chancery_model::problem::NOT_SIGNED_IN;
use chancery_model::{LOGIN_IDLE, LOGIN_MAXIMUM, Person};
use http::{HeaderMap, HeaderName, StatusCode, Uri, header};

use super::passkeys::{PasskeyForm, new, shown};
use super::{Page, Posted, Visit, escaped, form_key, own_path, set_cookie, text};
use crate::door::listen::RemoteAddress;
use crate::headers::single;
use crate::oauth::form;
use crate::rooms::Rooms;

/// What proxies say of whom they ask for.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Shows for whom a link is. It is used up by its button only: programs that preview links do not press it.
pub(crate) async fn show(
    State(rooms): State<Arc<Rooms>>,
    Path(code): Path<String>,
    from: Option<Extension<RemoteAddress>>,
    headers: HeaderMap,
) -> Result<Page, Page> {
    let person = opened(&rooms, &code, from, &headers).await?;
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
    from: Option<Extension<RemoteAddress>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Page> {
    let posted = Posted::read(&rooms, &headers, &body)?;
    opened(&rooms, &code, from, &headers).await?;
    let cookie = rooms.authenticator.sign_in(&code, posted.visit.cookie.as_deref()).await?;
    Ok(with_cookie(&rooms, Some(cookie.expose()), "/sign-in"))
}

/// Whose link it is, if it opens for whoever asks.
async fn opened(
    rooms: &Rooms,
    code: &str,
    from: Option<Extension<RemoteAddress>>,
    headers: &HeaderMap,
) -> Result<Arc<Person>, Page> {
    let person = rooms.authenticator.link_is_for(code).await?;
    let from_host = from.is_some_and(|Extension(from)| is_host(from.0, headers));
    rooms.authenticator.link_opens(&person, from_host).await?;
    Ok(person)
}

/// Does it come from this host? A proxy here that asks for somebody elsewhere says so.
fn is_host(from: IpAddr, headers: &HeaderMap) -> bool {
    let loopback = |text: &str| text.trim().parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
    let behind = match single(headers, &FORWARDED_FOR) {
        Ok(None) => true,
        Ok(Some(list)) => list.split(',').all(loopback),
        Err(_) => false,
    };
    from.to_canonical().is_loopback() && behind && !headers.contains_key(header::FORWARDED)
}

/// Who is signed in with this browser; else a form to sign in with.
pub(crate) async fn home(State(rooms): State<Arc<Rooms>>, headers: HeaderMap, uri: Uri) -> Result<Page, Page> {
    let visit = Visit::of(&rooms, &headers);
    if let Some(page) = visit.detour(&uri) {
        return Ok(page);
    }
    match visit.signed_in(&rooms).await? {
        Some(signed_in) => welcome(&rooms, &signed_in).await,
        None => nobody(&rooms, &goal(&uri)),
    }
}

/// Signs in whoever's passkey was shown.
pub(crate) async fn enter(State(rooms): State<Arc<Rooms>>, headers: HeaderMap, body: Bytes) -> Result<Response, Page> {
    let posted = Posted::read(&rooms, &headers, &body)?;
    let cookie = rooms.authenticator.sign_in_by_passkey(&shown(&posted), posted.visit.cookie.as_deref()).await?;
    Ok(with_cookie(&rooms, Some(cookie.expose()), own_path(posted.field("to"))))
}

/// Ends the login.
pub(crate) async fn leave(State(rooms): State<Arc<Rooms>>, headers: HeaderMap, body: Bytes) -> Result<Response, Page> {
    let posted = Posted::read(&rooms, &headers, &body)?;
    posted.sender(&rooms).await?;
    rooms.authenticator.sign_out(posted.visit.cookie.as_deref().unwrap_or_default()).await?;
    Ok(with_cookie(&rooms, None, "/sign-in"))
}

/// Where to go on to afterwards: `to` of the query.
pub(crate) fn goal(uri: &Uri) -> String {
    let pairs = uri.query().and_then(|query| form::pairs(query.as_bytes())).unwrap_or_default();
    pairs.into_iter().find(|(name, _)| name == "to").map_or_else(|| "/sign-in".to_owned(), |(_, to)| to)
}

async fn welcome(rooms: &Rooms, signed_in: &SignedIn) -> Result<Page, Page> {
    let (hours, minutes) = (LOGIN_MAXIMUM.as_seconds() / 3_600, LOGIN_IDLE.as_seconds() / 60);
    let without = rooms.authenticator.passkeys(&signed_in.person.id).await?.is_empty();
    let passkey = if without { new(rooms, signed_in, false).await? } else { String::new() };
    let body = format!(
        "<p class=\"notice good\">You are signed in with this browser as <strong>{}</strong>.</p>{passkey}\
         <p>An agent that wants to act in your name sends you to a page here, where you allow it or not. \
         Did a device show you a code? <a href=\"/device\">Enter it</a>.</p>\
         <p><a href=\"/passkeys\">Your passkeys</a> · <a href=\"/proposals\">What waits for a second person</a></p>\
         <form method=\"post\" action=\"/sign-out\">{}<div class=\"actions\">\
         <button class=\"quiet\">Sign out</button></div></form>\
         <p class=\"dim\">You stay signed in for {hours} hours, or until {minutes} minutes have passed without a visit.</p>",
        text(&signed_in.person.name),
        form_key(signed_in),
    );
    let page = Page::new("Signed in", body).to(signed_in);
    Ok(if without { page.scripted() } else { page })
}

/// A page that waits for whoever is asked to sign in; they come back to it by the same act.
pub(crate) fn first(rooms: &Rooms, uri: &Uri, why: &str) -> Result<Page, Page> {
    let here = uri.path_and_query().map_or("/", |path| path.as_str());
    let options = rooms.authenticator.sign_in_options()?;
    let fields = format!("<input type=\"hidden\" name=\"to\" value=\"{}\">", escaped(own_path(here)));
    let form = PasskeyForm { action: "/sign-in", options: &options, button: "Sign in with a passkey", fields: &fields };
    let body = format!(
        "<p>{why} Sign in to see what it is.</p>{}<p>You have no passkey yet? Open your sign-in link in this browser, then \
         come back and <a href=\"{}\">continue</a>. An administrator makes one with <code>chancery person link NAME</code>.</p>\
         <p class=\"dim\">{}</p>",
        form.get(),
        escaped(here),
        NOT_SIGNED_IN.code,
    );
    Ok(Page { status: StatusCode::UNAUTHORIZED, ..Page::new("Sign in first", body) }.scripted())
}

fn nobody(rooms: &Rooms, to: &str) -> Result<Page, Page> {
    let options = rooms.authenticator.sign_in_options()?;
    let fields = format!("<input type=\"hidden\" name=\"to\" value=\"{}\">", escaped(own_path(to)));
    let form = PasskeyForm { action: "/sign-in", options: &options, button: "Sign in with a passkey", fields: &fields };
    let body = format!(
        "<p>Nobody is signed in with this browser.</p>{}\
         <h2>No passkey yet, or lost it?</h2><p>You come in with a link that is good once, and register a passkey then. An \
         administrator makes it on the server's host:</p><pre tabindex=\"0\">chancery person link NAME</pre>",
        form.get()
    );
    Ok(Page::new("Sign in", body).scripted())
}

/// Sends the browser on with another cookie, or without one.
pub(super) fn with_cookie(rooms: &Arc<Rooms>, value: Option<&str>, to: &str) -> Response {
    let mut response = Redirect::to(to).into_response();
    match set_cookie(rooms, value) {
        Ok(cookie) => {
            response.headers_mut().insert(header::SET_COOKIE, cookie);
            response
        }
        Err(problem) => crate::failure::Failure::from(problem).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn another_host_is_told_from_this_one() {
        let asked = |from: &str, forwarded: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in forwarded {
                headers.append(*name, HeaderValue::from_static(value));
            }
            is_host(from.parse().unwrap(), &headers)
        };
        for here in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!(asked(here, &[]), "{here}");
        }
        for there in ["192.0.2.7", "10.0.0.1", "2001:db8::1", "0.0.0.0", "::ffff:192.0.2.7"] {
            assert!(!asked(there, &[]) && !asked(there, &[("x-forwarded-for", "127.0.0.1")]), "{there}");
        }
        assert!(asked("127.0.0.1", &[("x-forwarded-for", "127.0.0.1, ::1")]));
        for proxied in ["192.0.2.7", "127.0.0.1, 192.0.2.7", "", "localhost", "unknown"] {
            assert!(!asked("127.0.0.1", &[("x-forwarded-for", proxied)]), "{proxied}");
        }
        assert!(!asked("127.0.0.1", &[("x-forwarded-for", "127.0.0.1"), ("x-forwarded-for", "127.0.0.1")]));
        assert!(!asked("127.0.0.1", &[("forwarded", "for=127.0.0.1")]));
    }

    #[test]
    fn only_our_own_paths_are_gone_on_to() {
        assert_eq!(own_path("/passkeys?a=b"), "/passkeys?a=b");
        for foreign in ["", "https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\n"]
        {
            assert_eq!(own_path(foreign), "/sign-in", "{foreign:?}");
        }
    }
}
