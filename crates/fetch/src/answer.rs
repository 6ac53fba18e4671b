//! What came back.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};

/// A whole answer: never a redirect, never larger than was asked for.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Any status but 3xx.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, of any type: the caller checks it.
    pub body: Bytes,
}

impl Answer {
    /// The media type without parameters, in lower case; empty if there is none.
    pub fn content_type(&self) -> String {
        let value = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// Whether the body is said to be JSON: `application/json`, or a type that ends in `+json` (RFC 6839).
    pub fn is_json(&self) -> bool {
        let kind = self.content_type();
        kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
    }

    /// For how many seconds the answer may be kept (RFC 9111, section 5.2.2), if it says so; zero if it may not.
    pub fn max_age(&self) -> Option<u64> {
        let values = self.headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
        let directives: Vec<String> =
            values.flat_map(|v| v.split(',')).map(|d| d.trim().to_ascii_lowercase()).collect();
        if directives.iter().any(|d| d == "no-store" || d == "no-cache") {
            return Some(0);
        }
        directives.iter().find_map(|d| d.strip_prefix("max-age=")?.trim_matches('"').parse().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: http::HeaderName, value: &'static str) -> Answer {
        let headers = HeaderMap::from_iter([(name, http::HeaderValue::from_static(value))]);
        Answer { status: StatusCode::OK, headers, body: Bytes::new() }
    }

    #[test]
    fn types_are_read_without_parameters() {
        assert!(with(CONTENT_TYPE, "Application/JSON; charset=utf-8").is_json());
        assert!(with(CONTENT_TYPE, "application/jwk-set+json").is_json());
        for other in ["text/html", "text/json", "application/jsonp", "image/svg+json"] {
            assert!(!with(CONTENT_TYPE, other).is_json(), "{other}");
        }
    }

    #[test]
    fn ages_are_read() {
        assert_eq!(with(CACHE_CONTROL, "public, max-age=300").max_age(), Some(300));
        assert_eq!(with(CACHE_CONTROL, "max-age=300, no-store").max_age(), Some(0));
        assert_eq!(with(CACHE_CONTROL, "private, max-age=soon").max_age(), None);
        assert_eq!(with(CONTENT_TYPE, "text/html").max_age(), None);
    }
}
