//! The one host name under which people's browsers are here.
//!
//! A login's cookie and a passkey belong to a host name, and `http://127.0.0.1:8420` has none. So a page that is opened
//! under an address leads to the same page under the name. What programs call stays where it is.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, Method, header};

use crate::headers::single;
use crate::rooms::Rooms;

/// Leads to the same page at home, if it was opened elsewhere.
pub(crate) async fn lead(State(rooms): State<Arc<Rooms>>, request: Request, next: Next) -> Response {
    if request.method() == Method::GET && is_elsewhere(&rooms, request.headers()) {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        return Redirect::to(&format!("{}{path}", rooms.people_url)).into_response();
    }
    next.run(request).await
}

fn is_elsewhere(rooms: &Rooms, headers: &HeaderMap) -> bool {
    let home = rooms.people_url.split_once("://").map_or("", |(_, authority)| authority);
    let host = single(headers, &header::HOST).ok().flatten().unwrap_or_default();
    let address = host.starts_with("127.0.0.1:") || host.starts_with("[::1]:");
    !host.eq_ignore_ascii_case(home) && (address || rooms.config.people.url.is_some())
}
