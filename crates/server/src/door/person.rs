//! The person's door: the admin API for people who are signed in, under the same paths as on the admin socket.
//!
//! In this order: what people do not do here at all; who it is; whether a page of ours sent it; whether a passkey was shown
//! in this login; what their roles allow; whether a passkey was shown just now; whether a second person has to confirm.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use chancery_authenticate::SignedIn;
use chancery_model::problem::{FOREIGN_FORM, HOST_ONLY, MISSING_ROLE, NOT_SIGNED_IN, Problem, SHOW_PASSKEY, TOO_LARGE};
use chancery_model::{Person, Role, Span};
use futures_util::StreamExt;
use http::{HeaderMap, HeaderName, Method, Uri};
use serde::Serialize;

use super::admin::Peer;
use super::matrix::{self, Rule};
use crate::api;
use crate::failure::{Answer, Failure};
use crate::headers::single;
use crate::pages::{Visit, is_own};
use crate::proposals;
use crate::rooms::Rooms;

/// What carries the form key of a login. No other site can make a browser send it.
const FORM: HeaderName = HeaderName::from_static("chancery-form");
/// How long a passkey that was shown counts.
pub(crate) const PROVED: Span = Span::minutes(5);
/// Between two looks whether somebody may still hear what they listen to.
const LOOK: Duration = Duration::from_millis(500);
/// The longest body that is kept for a second person, in bytes.
const BODY: usize = 1 << 20;

/// Every address of the admin API, and what only people have.
pub(crate) fn routes(rooms: &Arc<Rooms>) -> Router<Arc<Rooms>> {
    api::routes().route("/v1/me", get(me)).route_layer(from_fn_with_state(Arc::clone(rooms), admit))
}

/// What is looked at of a request.
struct Asked<'a> {
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
}

/// Lets through what the table allows to whoever is signed in.
async fn admit(State(rooms): State<Arc<Rooms>>, path: MatchedPath, mut request: Request, next: Next) -> Response {
    let asked = Asked { method: request.method(), uri: request.uri(), headers: request.headers() };
    match admitted(&rooms, path.as_str(), &asked).await {
        Ok(admitted) if needs_second(&rooms, admitted.rule) => {
            proposed(&rooms, &admitted.peer, admitted.rule, request).await
        }
        Ok(Admitted { signed_in, rule, peer }) => {
            let stay = rule.is_stream().then(|| Stay::of(&rooms, rule, &request)).flatten();
            request.extensions_mut().insert(peer);
            request.extensions_mut().insert(signed_in);
            let response = next.run(request).await;
            match stay {
                Some(stay) => stay.bound(response),
                None => response,
            }
        }
        Err(failure) => failure.into_response(),
    }
}

/// Somebody who may do something.
struct Admitted {
    signed_in: SignedIn,
    rule: &'static Rule,
    /// As whom they do it.
    peer: Peer,
}

/// As whom somebody may do it at this moment: in their own right, or as an administrator for a while.
pub(crate) fn right(rooms: &Rooms, person: &Arc<Person>, rule: &Rule, path: &str) -> Option<Peer> {
    if rule.admits(person, path, &rooms.authenticator) {
        return Some(Peer::Person(Arc::clone(person)));
    }
    let glass = rooms.authenticator.broken_glass(&person.name).filter(|_| person.is_active() && rule.breaks())?;
    Some(Peer::Elevated(Arc::clone(person), glass))
}

/// What an answer without an end hangs on: the login, and what its person may do.
struct Stay {
    rooms: Arc<Rooms>,
    cookie: String,
    rule: &'static Rule,
    path: String,
}

impl Stay {
    fn of(rooms: &Arc<Rooms>, rule: &'static Rule, request: &Request) -> Option<Self> {
        let cookie = Visit::of(rooms, request.headers()).cookie?;
        Some(Self { rooms: Arc::clone(rooms), cookie, rule, path: request.uri().path().to_owned() })
    }

    /// The answer, which ends with what it hangs on.
    fn bound(self, response: Response) -> Response {
        let over = Box::pin(async move {
            while self.lasts().await {
                tokio::time::sleep(LOOK).await;
            }
        });
        response.map(|body| Body::from_stream(body.into_data_stream().take_until(over)))
    }

    /// Whatever cannot be known is over.
    async fn lasts(&self) -> bool {
        let person = self.rooms.authenticator.still_signed_in(&self.cookie).await.ok().flatten();
        person.is_some_and(|person| right(&self.rooms, &person, self.rule, &self.path).is_some())
    }
}

async fn admitted(rooms: &Rooms, path: &str, request: &Asked<'_>) -> Answer<Admitted> {
    let refused = |row, why: String| Err(Failure::from(Problem::new(row, why)));
    let visit = Visit::of(rooms, request.headers);
    let signed_in = match &visit.cookie {
        Some(cookie) => {
            rooms.authenticator.signed_in(cookie).await.map_err(|e| Problem::new(e.row(), e.to_string()))?
        }
        None => None,
    };
    let Some(signed_in) = signed_in else {
        return refused(NOT_SIGNED_IN, "nobody is signed in with this browser, or the login is over".into());
    };
    let Some(rule) = matrix::find(request.method, path) else {
        return refused(HOST_ONLY, format!("`{} {path}` is not for people's browsers", request.method));
    };
    if !is_ours(rooms, &signed_in, request) {
        return refused(FOREIGN_FORM, format!("a page of this server sends the header `{FORM}` and says its origin"));
    }
    if signed_in.proved_at.is_none() {
        return refused(SHOW_PASSKEY, "no passkey was shown in this login".into());
    }
    let Some(peer) = right(rooms, &signed_in.person, rule, request.uri.path()) else {
        let roles = signed_in.person.roles.iter().map(|role| role.name()).collect::<Vec<_>>();
        let theirs = if roles.is_empty() { "no role".to_owned() } else { roles.join(", ") };
        return refused(
            MISSING_ROLE,
            format!("`{}` has {theirs}, which does not cover `{}`", signed_in.person.name, rule.verb),
        );
    };
    if rule.step_up && !signed_in.is_proved(rooms.clock.now(), PROVED) {
        return refused(
            SHOW_PASSKEY,
            format!("`{}` needs a passkey that was shown in the last five minutes", rule.verb),
        );
    }
    Ok(Admitted { signed_in, rule, peer })
}

/// Did a page of ours send it? What changes something carries the login's form key; what only reads must not come from
/// another site.
fn is_ours(rooms: &Rooms, signed_in: &SignedIn, request: &Asked<'_>) -> bool {
    let headers = request.headers;
    if request.method == Method::GET {
        let site = single(headers, &HeaderName::from_static("sec-fetch-site"));
        return matches!(site, Ok(None | Some("same-origin" | "none")));
    }
    let key = single(headers, &FORM).ok().flatten();
    is_own(rooms, headers) && key.is_some_and(|key| signed_in.sent(key))
}

fn needs_second(rooms: &Rooms, rule: &Rule) -> bool {
    rule.is_change() && rooms.config.people.two_person.iter().any(|verb| verb == rule.verb)
}

async fn proposed(rooms: &Rooms, by: &Peer, rule: &'static Rule, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = match axum::body::to_bytes(body, BODY).await {
        Ok(body) => body,
        Err(e) => return Failure::from(Problem::new(TOO_LARGE, e.to_string())).into_response(),
    };
    let uri = parts.uri.path_and_query().map_or("/", |uri| uri.as_str());
    match proposals::propose(rooms, by, rule, uri, &body).await {
        Ok(view) => (http::StatusCode::ACCEPTED, Json(view)).into_response(),
        Err(failure) => failure.into_response(),
    }
}

/// Whoever is signed in, for programs of ours in their browser.
#[derive(Serialize)]
struct Me {
    name: String,
    display: Option<String>,
    roles: Vec<Role>,
    groups: Vec<String>,
    /// What the header `chancery-form` has to carry.
    form_key: String,
    signed_in_at: String,
    proved_at: Option<String>,
}

/// `GET /v1/me`
async fn me(State(rooms): State<Arc<Rooms>>, Extension(by): Extension<SignedIn>) -> Json<Me> {
    let mut groups = rooms.authenticator.groups_of(&by.person.id);
    groups.sort_unstable();
    Json(Me {
        name: by.person.name.clone(),
        display: by.person.display.clone(),
        roles: by.person.roles.clone(),
        groups,
        form_key: by.form_key.clone(),
        signed_in_at: by.since.rfc3339(),
        proved_at: by.proved_at.map(|at| at.rfc3339()),
    })
}
