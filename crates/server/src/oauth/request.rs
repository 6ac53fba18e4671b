//! What the token endpoint and its neighbours are asked, and how they say no (RFC 6749, section 5.2).

use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use chancery_authenticate::{OauthError, ShownCertificates, TokenRequest};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::json;

use super::form;
use crate::headers::single;

const DPOP: HeaderName = HeaderName::from_static("dpop");
const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// One form, with the headers that go with it.
pub(crate) struct Asked<'h> {
    pairs: Vec<(String, String)>,
    dpop: Option<&'h str>,
    authorization: Option<&'h str>,
    shown: Option<ShownCertificates>,
}

/// The certificates of the connection, where there are some.
pub(crate) type Shown = Option<Extension<ShownCertificates>>;

impl<'h> Asked<'h> {
    /// Reads it strictly; the answer, if it cannot be read.
    pub(crate) fn read(headers: &'h HeaderMap, body: &[u8]) -> Result<Self, Box<Response>> {
        let is_form = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(form::KIND));
        let pairs = is_form.then(|| form::pairs(body)).flatten();
        match (pairs, single(headers, &DPOP), single(headers, &header::AUTHORIZATION)) {
            (Some(pairs), Ok(dpop), Ok(authorization)) => Ok(Self { pairs, dpop, authorization, shown: None }),
            _ => {
                let why = format!(
                    "send one form of at most {} bytes and {} parameters, and at most one `DPoP` and one `Authorization` \
                     header",
                    form::LONGEST,
                    form::MOST
                );
                Err(Box::new(refusal(StatusCode::BAD_REQUEST, "invalid_request", &why)))
            }
        }
    }

    /// The same, over a connection with these certificates.
    pub(crate) fn over(self, shown: Shown) -> Self {
        Self { shown: shown.map(|Extension(shown)| shown), ..self }
    }

    /// As the room takes it. `url` is the endpoint as the outside knows it.
    pub(crate) fn request<'a>(&'a self, url: &'a str) -> TokenRequest<'a> {
        let certificate = self.shown.as_ref();
        TokenRequest { form: &self.pairs, authorization: self.authorization, dpop: self.dpop, certificate, url }
    }
}

/// An error as OAuth says it.
pub(crate) fn refused(error: &OauthError) -> Response {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = refusal(status, error.error, &error.description);
    if status == StatusCode::UNAUTHORIZED {
        // RFC 6749, section 5.2: what an `Authorization` header could be, where one was refused.
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(r#"Basic realm="chancery""#));
    }
    with_nonce(response, error.dpop_nonce.as_deref())
}

/// The answer with the nonce for the next proof (RFC 9449, section 8).
pub(crate) fn with_nonce(mut response: Response, nonce: Option<&str>) -> Response {
    if let Some(value) = nonce.and_then(|nonce| HeaderValue::from_str(nonce).ok()) {
        response.headers_mut().insert(DPOP_NONCE, value);
    }
    response
}

fn refusal(status: StatusCode, error: &str, description: &str) -> Response {
    (status, Json(json!({"error": error, "error_description": description}))).into_response()
}
