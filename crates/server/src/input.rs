//! What comes in with a request, read strictly: unknown or missing members are told, never guessed.

use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use bytes::Bytes;
use chancery_model::problem::{BAD_REQUEST, Problem, TOO_LARGE};
use http::request::Parts;
use serde::de::DeserializeOwned;

use crate::failure::Failure;

/// A JSON body of this shape.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let too_large = |e: axum::extract::rejection::BytesRejection| Problem::new(TOO_LARGE, e.body_text());
        let bytes = Bytes::from_request(request, state).await.map_err(too_large)?;
        let bad = |e: serde_json::Error| Problem::new(BAD_REQUEST, format!("the body: {e}"));
        Ok(Self(serde_json::from_slice(&bytes).map_err(bad)?))
    }
}

/// Query parameters of this shape.
pub(crate) struct Params<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let read = Query::<T>::try_from_uri(&parts.uri);
        let Query(value) = read.map_err(|e| Problem::new(BAD_REQUEST, e.body_text()))?;
        Ok(Self(value))
    }
}

/// Many of something.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Items<T> {
    /// Them.
    pub(crate) items: Vec<T>,
}

impl<T> FromIterator<T> for Items<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self { items: items.into_iter().collect() }
    }
}

/// A time of a request: RFC 3339 or a bare date.
pub(crate) fn time(text: &str) -> Result<chancery_model::Timestamp, Failure> {
    let bad = || Problem::new(BAD_REQUEST, format!("`{text}` is not a day or time"));
    chancery_model::Timestamp::parse(text).ok_or_else(|| bad().into())
}
