//! `/connections/…`: where authorization servers of upstreams send people back to, and what they read about us.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use chancery_gateway::{AuthorizationResponse, ConnectError};
use chancery_model::{Problem, Secret};
use http::header;
use serde_json::Value;

use crate::failure::Answer;
use crate::oauth::form;
use crate::pages::{self, Page};
use crate::rooms::Rooms;

/// Takes an authorization response (RFC 6749, section 4.1.2; RFC 9207). It works once, whatever comes of it.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Path(server): Path<String>,
    RawQuery(query): RawQuery,
) -> Page {
    let finished = match read(&query.unwrap_or_default()) {
        Ok((state, response)) => rooms.gateway.finish_connection(&server, &state, response).await,
        Err(error) => Err(error),
    };
    match finished {
        Ok(server) => {
            Page::new("Connected", format!("<p>{} is connected. You can close this window.</p>", pages::text(&server)))
        }
        Err(error) => {
            tracing::warn!(code = error.row.code, why = error.why, "a connection was not made");
            Page::problem(error.row, &error.why)
        }
    }
}

/// The parameters of a response, none of them twice.
fn read(query: &str) -> Result<(String, AuthorizationResponse), ConnectError> {
    let bad = |why: &str| ConnectError::response(why);
    let mut pairs = form::pairs(query.as_bytes()).ok_or_else(|| bad("the query of the response cannot be read"))?;
    let mut take = |name: &str| {
        let mut found = pairs.extract_if(.., |(key, _)| key == name).map(|(_, value)| value);
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(bad(&format!("the response has `{name}` more than once"))),
            (first, None) => Ok(first),
        }
    };
    let state = take("state")?.ok_or_else(|| bad("the response has no `state`"))?;
    let response = AuthorizationResponse {
        code: take("code")?.map(Secret::new),
        iss: take("iss")?,
        error: take("error")?,
        error_description: take("error_description")?,
    };
    Ok((state, response))
}

/// The client id metadata document about us, for one server.
pub(crate) async fn document(State(rooms): State<Arc<Rooms>>, Path(server): Path<String>) -> Answer<Response> {
    let document = rooms.gateway.client_document(&server).map_err(Problem::from)?;
    Ok(([(header::CACHE_CONTROL, "max-age=3600")], Json(document)).into_response())
}

/// The key that we prove ourselves with, to be registered at authorization servers.
pub(crate) async fn keys(State(rooms): State<Arc<Rooms>>) -> Answer<Json<Value>> {
    Ok(Json(rooms.gateway.client_keys().await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_says_each_thing_once() {
        let (state, response) = read("code=a%2Bb&state=s&iss=https%3A%2F%2Fas.example&session_state=x").unwrap();
        assert_eq!((state.as_str(), response.iss.as_deref()), ("s", Some("https://as.example")));
        assert_eq!(response.code.unwrap().expose(), "a+b");
        for bad in ["code=a", "code=a&state=s&code=b", "state=s&state=t", "iss=a&iss=b&state=s", "state=%zz"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
