//! `/passkeys`: the passkeys of whoever is signed in: register, rename, remove.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use bytes::Bytes;
use chancery_authenticate::{NewPasskey, PeopleError, ShownPasskey, SignedIn};
use chancery_model::Passkey;
use http::{HeaderMap, Uri};
use serde_json::Value;

use super::sign_in::with_cookie;
use super::{Page, Posted, Visit, escaped, form_key, text, unknown_at};
use crate::rooms::Rooms;

/// The fields that the script fills in when a passkey was made, and when one was shown.
const MADE: [&str; 2] = ["client_data", "attestation"];
pub(crate) const SHOWN: [&str; 5] = ["credential", "client_data", "authenticator_data", "signature", "user"];

/// A form whose button makes or shows a passkey.
pub(crate) struct PasskeyForm<'a> {
    pub(crate) action: &'a str,
    pub(crate) options: &'a Value,
    pub(crate) button: &'a str,
    /// Markup of further fields.
    pub(crate) fields: &'a str,
}

impl PasskeyForm<'_> {
    /// Makes one.
    pub(crate) fn create(&self) -> String {
        self.html("create", &MADE)
    }

    /// Shows one.
    pub(crate) fn get(&self) -> String {
        self.html("get", &SHOWN)
    }

    fn html(&self, kind: &str, names: &[&str]) -> String {
        let hidden =
            names.iter().fold(String::new(), |all, name| all + &format!("<input type=\"hidden\" name=\"{name}\">"));
        format!(
            "<form method=\"post\" action=\"{}\" data-passkey=\"{kind}\" data-options=\"{}\">{hidden}{}\
             <div class=\"actions\"><button disabled>{}</button></div><p role=\"status\" class=\"dim\"></p>\
             <noscript><p class=\"notice warn\">Passkeys need JavaScript. Everything else here works without.</p></noscript>\
             </form>",
            self.action,
            escaped(&self.options.to_string()),
            self.fields,
            self.button,
        )
    }
}

/// What the script put into a form when a passkey was shown.
pub(crate) fn shown(posted: &Posted) -> ShownPasskey {
    let field = |name: &str| posted.field(name).to_owned();
    ShownPasskey {
        credential: field("credential"),
        client_data: field("client_data"),
        authenticator_data: field("authenticator_data"),
        signature: field("signature"),
        user: field("user"),
    }
}

/// All of them, and a form for another one.
pub(crate) async fn show(State(rooms): State<Arc<Rooms>>, headers: HeaderMap, uri: Uri) -> Result<Page, Page> {
    let visit = Visit::of(&rooms, &headers);
    if let Some(page) = visit.detour(&uri) {
        return Ok(page);
    }
    let signed_in = visit.signed_in(&rooms).await?.ok_or_else(|| unknown_at(&uri))?;
    let known = rooms.authenticator.passkeys(&signed_in.person.id).await?;
    let mut body =
        String::from("<p>A passkey shows that it is you: with it you sign in and confirm what is important.</p>");
    for passkey in &known {
        let _ = write!(body, "{}", item(passkey, &signed_in));
    }
    body += &new(&rooms, &signed_in, !known.is_empty()).await?;
    Ok(Page::new("Your passkeys", body).to(&signed_in).scripted())
}

/// Registers one. The browser gets a new cookie.
pub(crate) async fn add(State(rooms): State<Arc<Rooms>>, headers: HeaderMap, body: Bytes) -> Result<Response, Page> {
    let posted = Posted::read(&rooms, &headers, &body)?;
    let signed_in = posted.sender(&rooms).await?;
    let field = |name: &str| posted.field(name).to_owned();
    let sent = NewPasskey { client_data: field("client_data"), attestation: field("attestation"), name: field("name") };
    let cookie = posted.visit.cookie.as_deref().unwrap_or_default();
    let added = rooms.authenticator.add_passkey(&signed_in, cookie, &sent).await;
    let (_, cookie) = added.map_err(|e| refused(e, &signed_in))?;
    Ok(with_cookie(&rooms, Some(cookie.expose()), "/passkeys"))
}

/// Renames or removes one.
pub(crate) async fn change(
    State(rooms): State<Arc<Rooms>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Page> {
    let posted = Posted::read(&rooms, &headers, &body)?;
    let signed_in = posted.sender(&rooms).await?;
    let done = match posted.field("do") {
        "remove" => rooms.authenticator.remove_passkey(&signed_in, &id).await,
        _ => rooms.authenticator.rename_passkey(&signed_in, &id, posted.field("name")).await,
    };
    match done {
        Ok(()) => Ok(Redirect::to("/passkeys").into_response()),
        Err(PeopleError::Unproved) => Ok(Redirect::to("/step-up?to=/passkeys").into_response()),
        Err(e) => Err(refused(e, &signed_in)),
    }
}

fn refused(e: PeopleError, signed_in: &SignedIn) -> Page {
    match e {
        PeopleError::Stale => Page::sign_in_anew("You signed in more than five minutes ago.").to(signed_in),
        e => Page::from(e).to(signed_in),
    }
}

/// The form that registers one, or what has to be done before.
pub(crate) async fn new(rooms: &Rooms, by: &SignedIn, further: bool) -> Result<String, Page> {
    let options = match rooms.authenticator.register_options(by).await {
        Ok(options) => options,
        Err(PeopleError::Stale) => {
            return Ok("<p><a href=\"/step-up?to=/passkeys\">Confirm with a passkey</a> to add another one.</p>".into());
        }
        Err(e) => return Err(Page::from(e).to(by)),
    };
    let fields = format!(
        "{}<p><label for=\"name\">Name</label><br><input type=\"text\" id=\"name\" name=\"name\" maxlength=\"60\" \
         placeholder=\"My phone\" autocomplete=\"off\"></p>",
        form_key(by)
    );
    let title = if further { "Add another passkey" } else { "Register a passkey" };
    let button = "Register a passkey";
    let form = PasskeyForm { action: "/passkeys", options: &options, button, fields: &fields };
    Ok(format!("<h2>{title}</h2>{}", form.create()))
}

fn item(passkey: &Passkey, by: &SignedIn) -> String {
    let used = passkey.used_at.map_or("never".to_owned(), |at| day(&at.rfc3339()));
    let (id, name) = (escaped(passkey.id.as_str()), text(&passkey.name));
    format!(
        "<form method=\"post\" action=\"/passkeys/{id}\" class=\"item\">{}<p><label for=\"{id}\">Name</label><br>\
         <input type=\"text\" id=\"{id}\" name=\"name\" value=\"{name}\" maxlength=\"60\" autocomplete=\"off\" required></p>\
         <p class=\"dim\">Registered {}, last shown {used}, for {}</p><div class=\"actions\">\
         <button class=\"quiet\" name=\"do\" value=\"rename\">Rename<span class=\"unseen\"> {name}</span></button>\
         <button class=\"quiet\" name=\"do\" value=\"remove\">Remove<span class=\"unseen\"> {name}</span></button></div></form>",
        form_key(by),
        day(&passkey.created_at.rfc3339()),
        text(&passkey.rp_id),
    )
}

fn day(time: &str) -> String {
    let day: String = time.chars().take(10).collect();
    format!("<time datetime=\"{}\">{}</time>", escaped(time), escaped(&day))
}
