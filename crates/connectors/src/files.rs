//! What is recognized in files: one file a shape, and one line in [`SHAPES`].

mod a2a;
mod aws_policy;
mod crewai;
mod env;
mod kubernetes;
mod kubernetes_rbac;
mod mcp_client;
mod mcp_command;
mod mcp_registry;
mod n8n;
mod unread;

use std::path::Path;

use crate::document::{Document, Format};
use crate::sightings::Sightings;

/// A shape of payload.
pub(crate) struct Shape {
    /// Says what it sees, and whether it saw what it knows. Several shapes may see something in one file.
    pub read: fn(&Document<'_>, &mut Sightings<'_>) -> bool,
}

/// Every shape.
pub(crate) const SHAPES: &[Shape] = &[
    Shape { read: a2a::read },
    Shape { read: aws_policy::read },
    Shape { read: crewai::read },
    Shape { read: env::read },
    Shape { read: kubernetes::read },
    Shape { read: mcp_client::read },
    Shape { read: mcp_registry::read },
    Shape { read: n8n::read },
];

/// What code says when it is about agents, servers or their credentials. Too much is right here: what is named as a
/// gap without need costs a look, what is passed over in silence costs an agent.
const ABOUT_AGENTS: [&str; 24] = [
    "mcp",
    "MCP",
    "langchain",
    "langgraph",
    "crewai",
    "autogen",
    "openai",
    "anthropic",
    "google.adk",
    "AgentCard",
    "a2a",
    "llama_index",
    "llamaindex",
    "pydantic_ai",
    "smolagents",
    "semantic_kernel",
    "bedrock",
    "vertexai",
    "azurerm_",
    "aws_iam",
    "google_service_account",
    "google_project_iam",
    "azuread_",
    "kubernetes_service_account",
];

/// Why a file cannot be read although its text can, if so.
pub(crate) fn unreadable(path: &Path, text: &str, format: Format) -> Option<String> {
    if let Format::Code(language) = format {
        let about = ABOUT_AGENTS.iter().find(|word| text.contains(**word))?;
        return Some(format!("speaks of `{about}`, and {language} is not read yet"));
    }
    (text.contains("{{") && is_helm_template(path)).then(|| "a Helm template, which is not rendered".to_owned())
}

/// What a document is that no shape reads yet, although it matters.
pub(crate) fn not_read_yet(document: &Document<'_>) -> Option<String> {
    unread::what(document).map(|what| format!("{what}, which is not read yet"))
}

/// Below `templates/` of a chart.
fn is_helm_template(path: &Path) -> bool {
    let templates = path.ancestors().filter(|above| above.ends_with("templates"));
    templates.filter_map(Path::parent).any(|chart| chart.join("Chart.yaml").is_file())
}
