//! The parameters of a token request: each at most once (RFC 6749, section 3.2).

use chancery_model::{Limit, Stated, problem};

use super::OauthError;

/// The form's pairs as they came, decoded.
#[derive(Clone, Copy)]
pub(crate) struct Form<'a>(pub(crate) &'a [(String, String)]);

/// The longest purpose that is taken, in bytes.
const PURPOSE: usize = 1_000;
/// The longest name of a running copy that is taken, in bytes.
const INSTANCE: usize = 128;

impl<'a> Form<'a> {
    /// A parameter that may come once. An empty one counts as left out (RFC 6749, section 3.1).
    pub(crate) fn one(&self, name: &str) -> Result<Option<&'a str>, OauthError> {
        let mut values = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let first = values.next();
        match values.next() {
            Some(_) => Err(request(format!("`{name}` came twice"))),
            None => Ok(first.filter(|value| !value.is_empty())),
        }
    }

    /// A parameter that must come once.
    pub(crate) fn needed(&self, name: &str) -> Result<&'a str, OauthError> {
        self.one(name)?.ok_or_else(|| request(format!("`{name}` is missing")))
    }

    /// Did the parameter come, whatever its value?
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    /// Exactly one resource (RFC 8707).
    pub(crate) fn resource(&self) -> Result<&'a str, OauthError> {
        let mut values = self.0.iter().filter(|(key, _)| key == "resource").map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (Some(resource), None) => Ok(resource),
            _ => Err(OauthError::new(problem::BAD_RESOURCE, "invalid_target", "send exactly one `resource`")),
        }
    }

    /// What the session is to be narrowed to (RFC 9396, section 5).
    pub(crate) fn limits(&self) -> Result<Vec<Limit>, OauthError> {
        let bad = |e: chancery_model::BadLimits| {
            OauthError::new(problem::BAD_LIMITS, "invalid_authorization_details", e.to_string())
        };
        self.one("authorization_details")?.map_or(Ok(Vec::new()), |text| Limit::read(text).map_err(bad))
    }

    /// What the session is for.
    pub(crate) fn purpose(&self) -> Result<Option<&'a str>, OauthError> {
        match self.one("purpose")? {
            Some(text) if text.len() > PURPOSE => Err(request(format!("`purpose` is longer than {PURPOSE} bytes"))),
            purpose => Ok(purpose),
        }
    }

    /// The running copy that asks.
    pub(crate) fn instance(&self) -> Result<Option<&'a str>, OauthError> {
        match self.one("instance")? {
            Some(name) if name.len() > INSTANCE => Err(request(format!("`instance` is longer than {INSTANCE} bytes"))),
            instance => Ok(instance),
        }
    }

    /// What the agent states that it is made of.
    pub(crate) fn manifest(&self) -> Result<Option<Stated>, OauthError> {
        let bad = |e: chancery_model::BadManifest| {
            OauthError::new(problem::BAD_MANIFEST, "invalid_request", format!("`manifest`: {e}"))
        };
        self.one("manifest")?.map(|text| Stated::parse(text).map_err(bad)).transpose()
    }

    pub(crate) fn refuse_scope(&self) -> Result<(), OauthError> {
        // The scopes of a token for elsewhere are those of elsewhere.
        let elsewhere = self.one("requested_token_type")?.is_some_and(|kind| kind != super::exchange::ACCESS_TOKEN);
        if elsewhere || self.one("scope")?.is_none_or(|scope| scope.trim().is_empty()) {
            return Ok(());
        }
        let why = "there are no scopes here: rights come from grants and policies, narrowed by `authorization_details`";
        Err(OauthError::new(problem::BAD_TOKEN_REQUEST, "invalid_scope", why))
    }
}

pub(crate) fn request(why: impl Into<String>) -> OauthError {
    OauthError::new(problem::BAD_TOKEN_REQUEST, "invalid_request", why)
}
