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
    /// Of the approved definition; none if none ever was approved.
    digest: Option<String>,
    definition: Option<String>,
    seen_digest: Option<String>,
    seen_definition: Option<String>,
    since_at: String,
    /// The command that approves exactly what was seen last, if that waits for approval.
    approve: Option<String>,
}

impl From<&Tool> for View {
    fn from(tool: &Tool) -> Self {
        let approved = tool.was_approved();
        Self {
            qualified: tool.qualified(),
            server: tool.server.clone(),
            name: tool.name.clone(),
            state: tool.state,
            description: description(tool.latest().1),
            digest: approved.then(|| hex(&tool.digest)),
            definition: approved.then(|| tool.definition.clone()),
            seen_digest: tool.seen.as_ref().map(|(digest, _)| hex(digest)),
            seen_definition: tool.seen.as_ref().map(|(_, seen)| seen.clone()),
            since_at: tool.since.rfc3339(),
            approve: (tool.state == ToolState::Quarantined).then(|| tool.approve_command()),
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

/// Reads 64 hex digits.
pub(crate) fn unhex(text: &str) -> Option<Hash> {
    let digit = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    let plain = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(digit).collect();
    bytes.filter(|_| plain)?.try_into().ok()
}
