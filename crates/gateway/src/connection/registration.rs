//! Which client we are (MCP, client registration approaches): one that was registered by hand, else a client id
//! metadata document, else dynamic registration (RFC 7591).

use chancery_model::Secret;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Means;
use super::address::{Address, is_loopback};
use super::client::AuthMethod;
use super::error::ConnectError;
use super::exchange::Ask;
use super::metadata::AuthorizationServer;

/// How we became a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Origin {
    /// Somebody registered it; its id stands in the configuration.
    Configured,
    /// Its id is the address of a document about it.
    Document,
    /// The server registered it when we asked.
    Dynamic,
}

/// A client that a server registered for us.
pub(super) struct Registered {
    pub(super) id: String,
    pub(super) secret: Option<Secret>,
    pub(super) method: AuthMethod,
}

#[derive(Deserialize)]
struct Answer {
    client_id: String,
    #[serde(default)]
    client_secret: Option<String>,
    #[serde(default)]
    token_endpoint_auth_method: Option<String>,
}

const METHODS: [AuthMethod; 3] = [AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost, AuthMethod::None];

/// What the document about us says, and what is sent to register.
pub(super) fn about_us(callback: &str, method: AuthMethod) -> serde_json::Value {
    let host = Address::split(callback).map(|at| at.origin.split_once("://").map_or("", |(_, rest)| rest));
    let host = host.map(|authority| authority.rsplit_once(':').map_or(authority, |(host, _)| host));
    let kind = if host.is_some_and(is_loopback) { "native" } else { "web" };
    json!({
        "client_name": "Chancery",
        "redirect_uris": [callback],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "application_type": kind,
        "token_endpoint_auth_method": method.name(),
    })
}

/// Registers us.
pub(super) async fn register(
    means: &Means,
    server: &AuthorizationServer,
    callback: &str,
) -> Result<Registered, ConnectError> {
    let none = || {
        ConnectError::metadata(format!(
            "`{}` takes neither client id metadata documents nor registrations: register a client there by hand and put \
             its `client_id` in the configuration",
            server.issuer
        ))
    };
    let url = server.registration_endpoint.as_deref().ok_or_else(none)?;
    let method = AuthMethod::choose(&METHODS, server)?;
    let reply = means.exchange.send(Ask::json(url, &about_us(callback, method))).await;
    let reply = reply.map_err(|why| ConnectError::unreached(format!("{url}: {why}")))?;
    let read = serde_json::from_slice(&reply.body).ok().filter(|_| reply.status.is_success());
    let answer: Answer = read.ok_or_else(|| {
        ConnectError::refused(format!("`{}` did not register us: it answered {}", server.issuer, reply.status))
    })?;
    Ok(registered(answer, method))
}

/// The server may have registered another method than was asked for (RFC 7591, section 3.2.1).
fn registered(answer: Answer, asked: AuthMethod) -> Registered {
    let stated = METHODS.into_iter().find(|method| answer.token_endpoint_auth_method.as_deref() == Some(method.name()));
    let secret = answer.client_secret.filter(|secret| !secret.is_empty()).map(Secret::new);
    let method = if secret.is_some() { stated.unwrap_or(asked) } else { AuthMethod::None };
    Registered { id: answer.client_id, secret, method }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_are_follows_from_where_people_come_back_to() {
        assert_eq!(about_us("http://127.0.0.1:8420/c", AuthMethod::None)["application_type"], "native");
        assert_eq!(about_us("http://[::1]:8420/c", AuthMethod::None)["application_type"], "native");
        assert_eq!(about_us("https://id.example/c", AuthMethod::None)["application_type"], "web");
    }

    #[test]
    fn the_servers_word_about_the_method_stands() {
        let answer = |secret: Option<&str>, method: Option<&str>| Answer {
            client_id: "x".into(),
            client_secret: secret.map(str::to_owned),
            token_endpoint_auth_method: method.map(str::to_owned),
        };
        let post = registered(answer(Some("s"), Some("client_secret_post")), AuthMethod::ClientSecretBasic);
        assert_eq!(post.method, AuthMethod::ClientSecretPost);
        assert_eq!(registered(answer(Some("s"), None), AuthMethod::None).method, AuthMethod::None);
        assert_eq!(registered(answer(None, None), AuthMethod::ClientSecretBasic).method, AuthMethod::None);
    }
}
