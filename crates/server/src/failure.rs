//! A [`Problem`] on its way out: `application/problem+json` (RFC 9457).

use axum::response::{IntoResponse, Response};
use chancery_model::Problem;
use http::{HeaderValue, StatusCode, header};

/// What a handler answers when it cannot do what was asked.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) Problem);

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status.is_server_error() {
            tracing::warn!(code = self.0.code, detail = self.0.detail, "answered with an error");
        }
        let mut response = (status, axum::Json(&self.0)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

/// What a handler answers.
pub(crate) type Answer<T> = Result<T, Failure>;
