//! Tool definitions, pinned by digest.

use chancery_model::{Hash, Tool, ToolState};
use serde::Serialize;

pub(crate) mod approve;
pub(crate) mod list;

/// A tool as the API shows it; digests in lower-case hex.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    qualified: String,
    server: String,
    name: String,
    state: ToolState,
    description: Option<String>,
    digest: String,
    definition: String,
    seen_digest: Option<String>,
    seen_definition: Option<String>,
    since_at: String,
}

impl From<&Tool> for View {
    fn from(tool: &Tool) -> Self {
        let shown = tool.seen.as_ref().map_or(&tool.definition, |(_, seen)| seen);
        Self {
            qualified: tool.qualified(),
            server: tool.server.clone(),
            name: tool.name.clone(),
            state: tool.state,
            description: description(shown),
            digest: hex(&tool.digest),
            definition: tool.definition.clone(),
            seen_digest: tool.seen.as_ref().map(|(digest, _)| hex(digest)),
            seen_definition: tool.seen.as_ref().map(|(_, seen)| seen.clone()),
            since_at: tool.since.rfc3339(),
        }
    }
}

fn description(definition: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(definition).ok()?;
    Some(value.get("description")?.as_str()?.to_owned())
}

/// Lower-case hex.
pub(crate) fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
