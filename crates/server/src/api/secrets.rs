//! Credentials of upstream servers: they go in sealed and never come out through any door.

use chancery_model::problem::{BAD_FIELD, Problem};
use chancery_store::secrets::SealedSecret;
use serde::Serialize;

pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod set;

/// What may be known about a secret.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    name: String,
    version: i64,
    set_at: String,
}

impl From<&SealedSecret> for View {
    fn from(secret: &SealedSecret) -> Self {
        Self { name: secret.name.clone(), version: secret.version, set_at: secret.updated_at.rfc3339() }
    }
}

fn check_name(name: &str) -> Result<(), Problem> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if !name.is_empty() && name.len() <= 63 && name.bytes().all(plain) {
        return Ok(());
    }
    Err(Problem::new(BAD_FIELD, "a secret's name has letters, digits, `-`, `_` and `.`, 63 at the most"))
}
