//! The pages that people see, and what comes back from them.
//!
//! Written by the server, without scripts. Texts of others (names, purposes, addresses) are shown as text and never as
//! markup or links. The cookie of a login is `SameSite=Strict`: a request that another site begins comes without it. So
//! a page that others link to first answers with one that leads to the same address ([`Visit::detour`]); from there the
//! browser brings the cookie along.

use std::sync::Arc;

use axum::Extension;
use axum::response::{Html, IntoResponse, Response};
use bytes::Bytes;
use chancery_authenticate::{PeopleError, SignedIn};
use chancery_model::Problem;
use chancery_model::problem::{BAD_REQUEST, FOREIGN_FORM, NOT_SIGNED_IN, Row};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};

use crate::door::guard::ContentPolicy;
use crate::headers::single;
use crate::oauth::form;
use crate::rooms::Rooms;

pub(crate) mod approval;
pub(crate) mod asked;
pub(crate) mod consent;
pub(crate) mod device;
pub(crate) mod home;
pub(crate) mod passkeys;
pub(crate) mod presence;
pub(crate) mod proposals;
pub(crate) mod sign_in;
pub(crate) mod step_up;

const POLICY: &str =
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// The same for pages where a passkey is made or shown.
const SCRIPTED: &str = "default-src 'none'; style-src 'self'; script-src 'self'; form-action 'self'; base-uri 'none'; \
     frame-ancestors 'none'";
const SCRIPT: &str = include_str!("pages/passkey.js");
const STYLE: &str = include_str!("pages/page.css");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The longest text of somebody else's that is shown, in characters.
const LONGEST: usize = 600;
/// The same of what people say yes to.
const EXACT: usize = 20_000;

/// The style sheet.
pub(crate) async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)
}

/// The script that makes and shows passkeys.
pub(crate) async fn script() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], SCRIPT)
}

/// One page.
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) title: String,
    /// Markup. Whatever is not ours went through [`text`].
    pub(crate) body: String,
    /// Where the browser goes by itself.
    pub(crate) onward: Option<String>,
    /// Who sees it, for its head.
    pub(crate) person: Option<String>,
    /// Whether a passkey is made or shown on it.
    pub(crate) scripted: bool,
}

impl Page {
    pub(crate) fn new(title: impl Into<String>, body: impl Into<String>) -> Self {
        Self {
            status: StatusCode::OK,
            title: title.into(),
            body: body.into(),
            onward: None,
            person: None,
            scripted: false,
        }
    }

    /// What went wrong, for a person.
    pub(crate) fn problem(row: Row, why: &str) -> Self {
        let body = format!(
            "<p class=\"notice bad\">{}</p><p>{}.</p><p class=\"dim\">{}</p>",
            text(&sentence(why)),
            sentence(row.help),
            row.code
        );
        let status = StatusCode::from_u16(row.status).unwrap_or(StatusCode::BAD_REQUEST);
        Self { status, ..Self::new(sentence(row.title), body) }
    }

    /// A form that is not about what is there now.
    pub(crate) fn stale(why: &str) -> Self {
        Self { status: StatusCode::CONFLICT, ..Self::problem(FOREIGN_FORM, why) }
    }

    /// A login that is too old for what is asked.
    pub(crate) fn sign_in_anew(why: &str) -> Self {
        let body = format!(
            "<p class=\"notice warn\">{}</p><p><a href=\"/step-up\">Confirm with your passkey</a>, or ask for a new sign-in link and open it in \
             this browser; then load this page again.</p>",
            text(why)
        );
        Self { status: StatusCode::UNAUTHORIZED, ..Self::new("Sign in again", body) }
    }

    /// The same, shown to somebody who is signed in.
    pub(crate) fn to(self, signed_in: &SignedIn) -> Self {
        Self { person: Some(signed_in.person.display.clone().unwrap_or_else(|| signed_in.person.name.clone())), ..self }
    }

    /// The same, with the script that makes and shows passkeys.
    pub(crate) fn scripted(self) -> Self {
        Self { scripted: true, ..self }
    }

    /// The same, leading on.
    pub(crate) fn onward(self, to: &str) -> Self {
        Self { onward: Some(to.to_owned()), ..self }
    }

    fn html(&self) -> String {
        let onward = self
            .onward
            .as_ref()
            .map_or_else(String::new, |to| format!("<meta http-equiv=\"refresh\" content=\"0;url={}\">", escaped(to)));
        let person = self
            .person
            .as_ref()
            .map_or_else(String::new, |name| format!("<a class=\"who\" href=\"/sign-in\">{}</a>", text(name)));
        let script = if self.scripted { "<script src=\"/passkey.js\" defer></script>" } else { "" };
        let title = text(&self.title);
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title} · Chancery</title>\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">{onward}{script}\
             <link rel=\"stylesheet\" href=\"/page.css\"></head><body>\n\
             <header><span class=\"mark\">Chancery</span>{person}</header>\n\
             <main><h1>{title}</h1>\n{}\n</main></body></html>\n",
            self.body
        )
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        (self.status, Extension(ContentPolicy(if self.scripted { SCRIPTED } else { POLICY })), Html(self.html()))
            .into_response()
    }
}

impl From<PeopleError> for Page {
    fn from(e: PeopleError) -> Self {
        Self::problem(e.row(), &sentence(&e.to_string()))
    }
}

/// Somebody else's text: as text, without characters that do not show or turn the order around, cut short.
pub(crate) fn text(text: &str) -> String {
    escaped(&text.chars().filter(|c| !is_unseen(*c)).take(LONGEST).collect::<String>())
}

/// The same of what people say yes to: what does not show is written by its number, and what is cut is counted.
pub(crate) fn marked(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars().take(EXACT) {
        match c {
            c if is_unseen(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    let whole = text.chars().count();
    let cut = if whole > EXACT { format!("… ({EXACT} of {whole} characters)") } else { String::new() };
    escaped(&(shown + &cut))
}

fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// For attributes and texts.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// With a capital letter, as the beginning of a sentence.
pub(crate) fn sentence(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map_or_else(String::new, |first| first.to_uppercase().chain(rest).collect())
}

/// What a browser's request says of itself.
pub(crate) struct Visit {
    /// What it holds of a login.
    pub(crate) cookie: Option<String>,
    /// Whether another site made the browser send it.
    foreign: bool,
}

impl Visit {
    pub(crate) fn of(rooms: &Rooms, headers: &HeaderMap) -> Self {
        let foreign = headers.get(FETCH_SITE).is_some_and(|site| site == "cross-site");
        Self { cookie: cookie(&cookie_name(rooms), headers), foreign }
    }

    /// Another site sent the person here, so that their cookie did not come along: a page that leads to the same place.
    pub(crate) fn detour(&self, uri: &Uri) -> Option<Page> {
        let here = uri.path_and_query().map_or("/", |path| path.as_str());
        let stranger = self.foreign && self.cookie.is_none() && !here.starts_with("//");
        stranger.then(|| {
            let body = format!("<p><a class=\"button\" href=\"{}\">Continue</a></p>", escaped(here));
            Page::new("One moment", body).onward(here)
        })
    }

    /// Who is signed in, if anybody.
    pub(crate) async fn signed_in(&self, rooms: &Rooms) -> Result<Option<SignedIn>, Page> {
        match &self.cookie {
            Some(cookie) => Ok(rooms.authenticator.signed_in(cookie).await?),
            None => Ok(None),
        }
    }
}

/// A form that came from a page of ours.
pub(crate) struct Posted {
    pub(crate) visit: Visit,
    pub(crate) pairs: Vec<(String, String)>,
}

impl Posted {
    /// Reads a form. One that another site made the browser send is refused.
    pub(crate) fn read(rooms: &Rooms, headers: &HeaderMap, body: &Bytes) -> Result<Self, Page> {
        if !is_own(rooms, headers) {
            return Err(Page::problem(FOREIGN_FORM, "The browser says that another site sent it, or does not say."));
        }
        let is_form = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(form::KIND));
        let pairs = is_form.then(|| form::pairs(body)).flatten();
        let pairs = pairs.ok_or_else(|| Page::problem(BAD_REQUEST, "It is not a form."))?;
        Ok(Self { visit: Visit::of(rooms, headers), pairs })
    }

    /// A field that is there once.
    pub(crate) fn field(&self, name: &str) -> &str {
        let mut values = self.pairs.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let first = values.next().unwrap_or_default();
        if values.next().is_some() { "" } else { first }
    }

    /// The person who sent it: signed in, and from a page that was made for this login.
    pub(crate) async fn sender(&self, rooms: &Rooms) -> Result<SignedIn, Page> {
        let signed_in = self.visit.signed_in(rooms).await?.ok_or_else(unknown)?;
        if signed_in.sent(self.field("form")) {
            return Ok(signed_in);
        }
        Err(Page::problem(FOREIGN_FORM, "It was made for another login.").to(&signed_in))
    }
}

/// The hidden field that every form carries.
pub(crate) fn form_key(signed_in: &SignedIn) -> String {
    format!("<input type=\"hidden\" name=\"form\" value=\"{}\">", escaped(&signed_in.form_key))
}

/// A path of ours, and nothing else, to go on to.
pub(crate) fn own_path(path: &str) -> &str {
    let own = path.starts_with('/') && !path.starts_with("//") && !path.contains(['\\', '\n', '\r', '\t']);
    if own { path } else { "/sign-in" }
}

/// A text as it stands in a query.
pub(crate) fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// Nobody is signed in.
pub(crate) fn unknown() -> Page {
    Page::problem(NOT_SIGNED_IN, "Nobody is signed in with this browser, or the login is over.")
}

/// Nobody is signed in, and a page waits for them.
pub(crate) fn unknown_at(uri: &Uri) -> Page {
    let here = uri.path_and_query().map_or("/", |path| path.as_str());
    let body = format!(
        "<p>To go on, this browser has to know who you are.</p>\
         <div class=\"actions\"><a class=\"button\" href=\"/sign-in?to={}\">Sign in with a passkey</a></div>\
         <p>You have none yet? Open your sign-in link in this browser, then come back and <a href=\"{}\">continue</a>. An \
         administrator makes one with <code>chancery person link NAME</code>.</p><p class=\"dim\">{}</p>",
        encoded(here),
        escaped(here),
        NOT_SIGNED_IN.code,
    );
    Page { status: StatusCode::UNAUTHORIZED, ..Page::new("Sign in first", body) }
}

/// Did a page of ours send it? The browser says so in one of two headers. Both are set by it and by nobody else; what
/// comes without either is refused, and so is what contradicts.
pub(crate) fn is_own(rooms: &Rooms, headers: &HeaderMap) -> bool {
    let scheme = rooms.people_url.split_once("://").map_or("https", |(scheme, _)| scheme);
    let (origin, host) = (single(headers, &header::ORIGIN), single(headers, &header::HOST));
    let (Ok(origin), Ok(Some(host)), Ok(site)) = (origin, host, single(headers, &FETCH_SITE)) else { return false };
    let same = origin.map(|origin| origin.eq_ignore_ascii_case(&format!("{scheme}://{host}")));
    match (same, site) {
        (Some(same), None) => same,
        (Some(same), Some(site)) => same && site == "same-origin",
        (None, Some(site)) => site == "same-origin",
        (None, None) => false,
    }
}

/// `__Host-` binds a cookie to this very host and to TLS (RFC 6265bis, section 4.1.3.2). On plain loopback there is no TLS:
/// there the port is in the name, because cookies do not tell ports apart.
fn cookie_name(rooms: &Rooms) -> String {
    match rooms.people_url.strip_prefix("http://") {
        Some(authority) => format!("chancery-{}", authority.rsplit(':').next().unwrap_or_default()),
        None => "__Host-chancery".to_owned(),
    }
}

/// The value of one cookie. Two of a name are somebody's trick: then there is none.
fn cookie(name: &str, headers: &HeaderMap) -> Option<String> {
    let header = single(headers, &header::COOKIE).ok()??;
    let mut values = header.split(';').filter_map(|pair| pair.trim().split_once('=')).filter(|(key, _)| *key == name);
    let first = values.next().map(|(_, value)| value.to_owned())?;
    values.next().is_none().then_some(first)
}

/// The header that gives a browser its cookie, or takes it away.
pub(crate) fn set_cookie(rooms: &Arc<Rooms>, value: Option<&str>) -> Result<HeaderValue, Problem> {
    let secure = if rooms.people_url.starts_with("https://") { "; Secure" } else { "" };
    let age = if value.is_some() { chancery_model::LOGIN_MAXIMUM.as_seconds() } else { 0 };
    let (name, value) = (cookie_name(rooms), value.unwrap_or_default());
    let cookie = format!("{name}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::from_str(&cookie).map_err(|_| Problem::new(BAD_REQUEST, "the cookie is not one"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_others_stay_texts() {
        assert_eq!(text("<b onclick='x'>&\"\u{202e}\n"), "&lt;b onclick=&#39;x&#39;&gt;&amp;&quot;");
        assert_eq!(text(&"a".repeat(10_000)).len(), LONGEST);
        assert_eq!(marked("pay\u{200b}roll\u{202e}<"), "pay\\u{200b}roll\\u{202e}&lt;");
        assert!(marked(&"a".repeat(30_000)).ends_with("a… (20000 of 30000 characters)"));
        let page = Page::new("<script>", String::new()).onward("/x?a=\"><script>").html();
        assert!(!page.contains("<script"), "{page}");
    }

    #[test]
    fn two_cookies_of_a_name_are_none() {
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, HeaderValue::from_static(text));
            cookie("chancery-1", &headers)
        };
        assert_eq!(of("a=b; chancery-1=x; chancery-2=y").as_deref(), Some("x"));
        assert_eq!(of("chancery-1=x; chancery-1=y"), None);
        assert_eq!(of("chancery-1x=x"), None);
    }
}
