//! Scopes (RFC 6749, section 3.3), at the resources that have some. Elsewhere there are none: rights come from grants and
//! policies.

use chancery_model::problem;

use super::{Form, OauthError};
use crate::authenticator::Authenticator;

impl Authenticator {
    /// The resource that is asked for, and the scope of its token. A request that names no resource means the one whose
    /// scopes it asks for: whoever knows scopes only can ask too.
    pub(super) fn scoped<'a>(&'a self, form: &Form<'a>) -> Result<(&'a str, Option<String>), OauthError> {
        let asked: Vec<&str> = form.one("scope")?.unwrap_or_default().split_whitespace().collect();
        let named = form.has("resource") || asked.is_empty();
        let of = |known: &&crate::config::Scoped| asked.iter().all(|scope| known.scopes.contains(scope));
        let resource = match self.config.scoped.iter().find(of).filter(|_| !named) {
            Some(known) => known.resource.as_str(),
            None => self.resource(form)?,
        };
        let Some(known) = self.config.scoped.iter().find(|known| known.resource == resource) else {
            form.refuse_scope()?;
            return Ok((resource, None));
        };
        if !of(&known) {
            let why = format!("the scopes of this resource are: {}", known.scopes.join(", "));
            return Err(OauthError::new(problem::BAD_TOKEN_REQUEST, "invalid_scope", why));
        }
        // In one order, each once.
        let granted: Vec<&str> =
            known.scopes.iter().copied().filter(|scope| asked.is_empty() || asked.contains(scope)).collect();
        Ok((resource, Some(granted.join(" "))))
    }
}
