//! `/`: what a person sees who opens the server's address: whether it is ready, what stands behind it, and how to
//! call it. Nothing that the metadata does not tell everybody, and no script.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::{Html, IntoResponse};
use http::header::CONTENT_TYPE;

use crate::door::guard::ContentPolicy;
use crate::rooms::Rooms;

const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const STYLE: &str = include_str!("front.css");

/// The page.
pub(crate) async fn page(State(rooms): State<Arc<Rooms>>) -> impl IntoResponse {
    let ready = rooms.policies.status().version.is_some();
    let servers: Vec<&str> = rooms.config.servers.keys().map(String::as_str).collect();
    (Extension(ContentPolicy(POLICY)), Html(text(&rooms.url, &servers, ready)))
}

/// Its style sheet.
pub(crate) async fn style() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)
}

fn text(url: &str, servers: &[&str], ready: bool) -> String {
    let state = if ready {
        "<p class=\"good\">✓ Ready: a policy set is in force.</p>"
    } else {
        "<p class=\"bad\">✗ Not ready: no policy set is in force, so everything is denied. \
         <code>chancery policy check</code> says why.</p>"
    };
    let url = escaped(url);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Chancery</title>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <link rel=\"stylesheet\" href=\"/front.css\"></head><body><main>\n\
         <h1>Chancery</h1><p class=\"dim\">Identity control plane for AI agents: who is it, may it, and what did it do.</p>\n\
         {state}\n<h2>Servers behind the gateway</h2>\n{}\n\
         <h2>Connect a client</h2>\n<p>Any MCP client can start the bridge, which holds the agent's key. \
         This prints its entry for a client you know:</p>\n\
         <pre>chancery mcp config --client claude-code --as AGENT --server SERVER</pre>\n\
         <p>A client that speaks OAuth and DPoP itself calls <code>{url}/mcp/SERVER</code>.</p>\n\
         <h2>For programs</h2>\n{}\n\
         <h2>Look around</h2>\n<pre>chancery agent list\nchancery log tail\nchancery why DECISION</pre>\n\
         <p class=\"dim\">People <a href=\"/sign-in\">sign in here</a>. There is no web console yet: administrators use the \
         command line on this host. \
         The documentation is in <code>docs/</code> of the repository.</p>\n</main></body></html>\n",
        rows(&url, servers),
        links()
    )
}

fn rows(url: &str, servers: &[&str]) -> String {
    if servers.is_empty() {
        return "<p>None is configured: add <code>[servers.NAME]</code> to <code>chancery.toml</code>.</p>".to_owned();
    }
    let mut table = "<table><thead><tr><th>server</th><th>address</th></tr></thead><tbody>".to_owned();
    for server in servers.iter().map(|name| escaped(name)) {
        let _ = write!(table, "<tr><td>{server}</td><td><code>{url}/mcp/{server}</code></td></tr>");
    }
    table + "</tbody></table>"
}

fn links() -> String {
    let paths = [
        ("/.well-known/oauth-authorization-server", "authorization server (RFC 8414)"),
        ("/.well-known/oauth-protected-resource", "protected resource (RFC 9728)"),
        ("/.well-known/authzen-configuration", "decisions (AuthZEN 1.0)"),
        ("/oauth/jwks", "keys of access tokens"),
    ];
    let rows = paths.map(|(path, what)| format!("<tr><td><a href=\"{path}\">{path}</a></td><td>{what}</td></tr>"));
    format!("<table><tbody>{}</tbody></table>", rows.concat())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_says_what_is_there_and_how_to_call_it() {
        let page = text("http://127.0.0.1:8420", &["crm", "billing"], true);
        assert!(page.contains("<code>http://127.0.0.1:8420/mcp/billing</code>") && page.contains("✓ Ready"), "{page}");
        assert!(text("http://x", &[], false).contains("everything is denied"));
    }

    #[test]
    fn names_cannot_bring_markup() {
        let page = text("http://x/\"><script>", &["<b>"], true);
        assert!(!page.contains("<script") && !page.contains("<b>"), "{page}");
    }
}
