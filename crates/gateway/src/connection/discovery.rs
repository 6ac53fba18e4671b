//! Which authorization server speaks for an upstream server (MCP 2025-11-25 and 2026-07-28, authorization server
//! discovery): the resource's metadata first, then the authorization server's, each at the addresses and in the order
//! that the specifications give.

use serde::de::DeserializeOwned;

use super::address::{Address, is_resource_of};
use super::challenge::Challenge;
use super::error::ConnectError;
use super::exchange::{Ask, Exchange};
use super::metadata::{AuthorizationServer, ProtectedResource};

/// What is asked for.
pub(super) struct Wanted<'w> {
    /// The upstream server's URL.
    pub(super) url: &'w str,
    /// What it said when it was asked without a token.
    pub(super) challenge: &'w Challenge,
    /// The only issuer that is taken.
    pub(super) issuer: Option<&'w str>,
    /// Whether servers of MCP 2025-03-26, which have no metadata of the resource, are taken.
    pub(super) legacy: bool,
}

/// What was found.
#[derive(Clone, Debug)]
pub(super) struct Discovered {
    /// The resource, letter by letter as it is published: it goes into every request as it is (RFC 8707).
    pub(super) resource: String,
    /// The scopes it lists.
    pub(super) scopes: Option<Vec<String>>,
    /// Whether it takes only tokens that are bound to a key.
    pub(super) bound: bool,
    /// Its authorization server.
    pub(super) server: AuthorizationServer,
}

/// Finds the authorization server.
pub(super) async fn discover(exchange: &dyn Exchange, wanted: Wanted<'_>) -> Result<Discovered, ConnectError> {
    let Some(document) = resource(exchange, &wanted).await? else { return legacy(exchange, &wanted).await };
    if !is_resource_of(&document.resource, wanted.url) {
        let why = format!("the metadata of `{}` is about another resource, `{}`", wanted.url, document.resource);
        return Err(ConnectError::metadata(why));
    }
    let issuer = issuer(&document, &wanted)?;
    let server = authorization_server(exchange, issuer).await?;
    let server =
        server.ok_or_else(|| ConnectError::metadata(format!("the issuer `{issuer}` publishes no metadata")))?;
    let bound = document.dpop_bound_access_tokens_required;
    Ok(Discovered { resource: document.resource, scopes: document.scopes_supported, bound, server })
}

/// The resource's metadata: where the challenge says, else at the well-known place for its path, else at the root's.
async fn resource(exchange: &dyn Exchange, wanted: &Wanted<'_>) -> Result<Option<ProtectedResource>, ConnectError> {
    const PLACE: &str = "/.well-known/oauth-protected-resource";
    let bad = || ConnectError::metadata(format!("`{}` is not an absolute URL", wanted.url));
    let server = Address::split(wanted.url).ok_or_else(bad)?;
    if let Some(url) = &wanted.challenge.resource_metadata {
        // A server that is reached without TLS may point to itself.
        if !Address::split(url).is_some_and(|at| at.same_origin(&server)) {
            Address::read("the address of the resource's metadata", url)?;
        }
        let missing =
            || ConnectError::metadata(format!("there is no metadata at `{url}`, where the server says it is"));
        return document(exchange, url).await?.ok_or_else(missing).map(Some);
    }
    if !server.trimmed().is_empty()
        && let Some(found) = document(exchange, &format!("{}{PLACE}{}", server.origin, server.trimmed())).await?
    {
        return Ok(Some(found));
    }
    document(exchange, &format!("{}{PLACE}", server.origin)).await
}

/// The configured issuer if the resource names it, else the first that it names.
fn issuer<'d>(document: &'d ProtectedResource, wanted: &Wanted<'_>) -> Result<&'d str, ConnectError> {
    let named = &document.authorization_servers;
    let found = match wanted.issuer {
        Some(only) => named.iter().find(|issuer| *issuer == only),
        None => named.first(),
    };
    let why = || match wanted.issuer {
        Some(only) => format!("`{}` names the issuers {named:?}, not `{only}`, which it is connected to", wanted.url),
        None => format!("the metadata of `{}` names no authorization server", wanted.url),
    };
    found.map(String::as_str).ok_or_else(|| ConnectError::metadata(why()))
}

/// The metadata of an issuer (RFC 8414, section 3.1; OpenID Connect Discovery 1.0, section 4). The first document that
/// is there decides: one about somebody else is not passed over, it ends the search.
pub(super) async fn authorization_server(
    exchange: &dyn Exchange,
    issuer: &str,
) -> Result<Option<AuthorizationServer>, ConnectError> {
    let address = Address::read("the issuer", issuer)?;
    if address.query.is_some() {
        return Err(ConnectError::metadata(format!("the issuer `{issuer}` has a query")));
    }
    for url in places(&address) {
        if let Some(found) = document::<AuthorizationServer>(exchange, &url).await? {
            found.check(issuer)?;
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn places(issuer: &Address<'_>) -> Vec<String> {
    const OAUTH: &str = "/.well-known/oauth-authorization-server";
    const OPENID: &str = "/.well-known/openid-configuration";
    let (origin, path) = (issuer.origin, issuer.trimmed());
    if path.is_empty() {
        return vec![format!("{origin}{OAUTH}"), format!("{origin}{OPENID}")];
    }
    vec![format!("{origin}{OAUTH}{path}"), format!("{origin}{OPENID}{path}"), format!("{origin}{path}{OPENID}")]
}

/// MCP 2025-03-26: the server's own origin is its authorization server, with metadata or by custom.
async fn legacy(exchange: &dyn Exchange, wanted: &Wanted<'_>) -> Result<Discovered, ConnectError> {
    let none = || ConnectError::metadata(format!("`{}` publishes no metadata of itself (RFC 9728)", wanted.url));
    let address = Address::split(wanted.url).filter(|_| wanted.legacy).ok_or_else(none)?;
    if wanted.issuer.is_some_and(|only| only != address.origin) {
        return Err(none());
    }
    let server = authorization_server(exchange, address.origin).await?;
    let server = server.unwrap_or_else(|| AuthorizationServer::by_custom(address.origin));
    server.check(address.origin)?;
    Ok(Discovered { resource: wanted.url.to_owned(), scopes: None, bound: false, server })
}

/// A document; nothing if there is none at this address.
async fn document<T: DeserializeOwned>(exchange: &dyn Exchange, url: &str) -> Result<Option<T>, ConnectError> {
    let reply = exchange.send(Ask::get(url)).await.map_err(|why| ConnectError::unreached(format!("{url}: {why}")))?;
    if reply.status.is_server_error() {
        return Err(ConnectError::unreached(format!("{url}: it answered {}", reply.status)));
    }
    if reply.status != http::StatusCode::OK {
        return Ok(None);
    }
    let read = serde_json::from_slice(&reply.body);
    read.map(Some).map_err(|e| ConnectError::metadata(format!("the document at `{url}` is not understood: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::testing::Scripted;
    use serde_json::json;

    const URL: &str = "http://127.0.0.1:1/mcp";

    fn wanted<'w>(challenge: &'w Challenge, issuer: Option<&'w str>) -> Wanted<'w> {
        Wanted { url: URL, challenge, issuer, legacy: false }
    }

    fn as_metadata(issuer: &str) -> serde_json::Value {
        json!({"issuer": issuer, "token_endpoint": "https://as.example/token"})
    }

    #[tokio::test]
    async fn documents_are_looked_for_in_the_order_of_the_specifications() {
        let web = Scripted::default()
            .document(
                "http://127.0.0.1:1/.well-known/oauth-protected-resource",
                &json!({
                    "resource": "http://127.0.0.1:1", "authorization_servers": ["https://as.example/t"]
                }),
            )
            .document("https://as.example/t/.well-known/openid-configuration", &as_metadata("https://as.example/t"));
        let found = discover(&web, wanted(&Challenge::default(), None)).await.unwrap();
        assert_eq!(
            (found.resource.as_str(), found.server.issuer.as_str()),
            ("http://127.0.0.1:1", "https://as.example/t")
        );
        let expected = [
            "http://127.0.0.1:1/.well-known/oauth-protected-resource/mcp",
            "http://127.0.0.1:1/.well-known/oauth-protected-resource",
            "https://as.example/.well-known/oauth-authorization-server/t",
            "https://as.example/.well-known/openid-configuration/t",
            "https://as.example/t/.well-known/openid-configuration",
        ];
        assert_eq!(web.urls(), expected);
    }

    #[tokio::test]
    async fn a_resource_that_is_not_this_server_is_refused() {
        let web = Scripted::default().document(
            "http://127.0.0.1:1/.well-known/oauth-protected-resource/mcp",
            &json!({"resource": "https://evil.example/mcp", "authorization_servers": ["https://as.example"]}),
        );
        let error = discover(&web, wanted(&Challenge::default(), None)).await.unwrap_err();
        assert!(error.why.contains("another resource, `https://evil.example/mcp`"), "{error}");
        assert_eq!(web.urls().len(), 1, "nobody else was asked");
    }

    #[tokio::test]
    async fn a_first_document_about_another_issuer_ends_the_search() {
        let web = Scripted::default()
            .document(
                "http://127.0.0.1:1/x",
                &json!({"resource": URL, "authorization_servers": ["https://as.example"]}),
            )
            .document("https://as.example/.well-known/oauth-authorization-server", &as_metadata("https://evil.example"))
            .document("https://as.example/.well-known/openid-configuration", &as_metadata("https://as.example"));
        let challenge = Challenge { resource_metadata: Some("http://127.0.0.1:1/x".into()), ..Challenge::default() };
        let error = discover(&web, wanted(&challenge, None)).await.unwrap_err();
        assert!(error.why.contains("says that it is `https://evil.example`"), "{error}");
    }

    #[tokio::test]
    async fn only_the_configured_issuer_is_taken() {
        let web = Scripted::default().document(
            "http://127.0.0.1:1/.well-known/oauth-protected-resource/mcp",
            &json!({"resource": URL, "authorization_servers": ["https://evil.example"]}),
        );
        let error = discover(&web, wanted(&Challenge::default(), Some("https://as.example"))).await.unwrap_err();
        assert!(error.why.contains("not `https://as.example`"), "{error}");
    }

    #[tokio::test]
    async fn without_metadata_of_the_resource_only_what_is_configured_so_is_legacy() {
        let challenge = Challenge::default();
        let error = discover(&Scripted::default(), wanted(&challenge, None)).await.unwrap_err();
        assert!(error.why.contains("RFC 9728"), "{error}");
        let legacy = Wanted { legacy: true, ..wanted(&challenge, None) };
        let found = discover(&Scripted::default(), legacy).await.unwrap();
        assert_eq!(found.server.token_endpoint, "http://127.0.0.1:1/token");
    }

    #[tokio::test]
    async fn a_challenge_cannot_send_us_to_other_machines_without_tls() {
        let challenge = Challenge { resource_metadata: Some("http://10.0.0.7/x".into()), ..Challenge::default() };
        let web = Scripted::default();
        assert!(discover(&web, wanted(&challenge, None)).await.is_err());
        assert!(web.urls().is_empty());
    }
}
