//! `application/x-www-form-urlencoded` (RFC 6749, appendix B).

use bytes::Bytes;

/// The parameters of a request, each at most once.
#[derive(Default)]
pub(super) struct Form(Vec<(&'static str, String)>);

impl Form {
    pub(super) fn of(grant_type: &str) -> Self {
        Self::default().and("grant_type", grant_type)
    }

    pub(super) fn and(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.0.push((name, value.into()));
        self
    }

    pub(super) fn and_some(self, name: &'static str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.and(name, value),
            None => self,
        }
    }

    pub(super) fn to_text(&self) -> String {
        let pairs = self.0.iter().map(|(name, value)| format!("{name}={}", encoded(value)));
        pairs.collect::<Vec<_>>().join("&")
    }

    pub(super) fn to_bytes(&self) -> Bytes {
        self.to_text().into()
    }
}

/// A text as a value of a form.
pub(super) fn encoded(text: &str) -> String {
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if unreserved(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_add_parameters() {
        let form = Form::of("a b&c=d").and_some("scope", None::<String>).and("resource", "http://x/ü");
        assert_eq!(form.to_text(), "grant_type=a%20b%26c%3Dd&resource=http%3A%2F%2Fx%2F%C3%BC");
    }
}
