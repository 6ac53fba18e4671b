//! `chancery status`.

use crate::context::Context;
use crate::failure::Done;
use crate::output::{Column, column};

const COLUMNS: &[Column] = &[
    column("READY", "/ready"),
    column("WHY NOT", "/not_ready"),
    column("URL", "/url"),
    column("DATA", "/data"),
    column("STARTED", "/started_at"),
    column("POLICIES", "/policies/version"),
    column("AGENTS", "/agents"),
    column("GRANTS", "/grants"),
    column("TOOLS", "/tools"),
    column("SESSIONS", "/sessions"),
    column("FINDINGS", "/findings"),
    column("LOG SIZE", "/log/size"),
    column("LOG KEY", "/log/key"),
    column("SERVERS", "/servers"),
];

/// Prints it.
pub async fn run(context: &Context) -> Done {
    context.output.item(COLUMNS, &context.admin()?.get("/v1/status").await?)
}
