//! Given rights.

use chancery_model::{Grant, GrantMode, Timestamp};
use serde::Serialize;

pub(crate) mod create;
pub(crate) mod list;
pub(crate) mod revoke;

/// A grant as the API shows it; times in RFC 3339.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    id: String,
    template: String,
    principal: String,
    resource: String,
    mode: GrantMode,
    justification: String,
    granted_by: String,
    created_at: String,
    expires_at: Option<String>,
    revoked_at: Option<String>,
}

impl From<&Grant> for View {
    fn from(grant: &Grant) -> Self {
        Self {
            id: grant.id.to_string(),
            template: grant.template.clone(),
            principal: grant.principal.clone(),
            resource: grant.resource.clone(),
            mode: grant.mode,
            justification: grant.justification.clone(),
            granted_by: grant.granted_by.clone(),
            created_at: grant.created_at.rfc3339(),
            expires_at: grant.expires_at.map(Timestamp::rfc3339),
            revoked_at: grant.revoked_at.map(Timestamp::rfc3339),
        }
    }
}
