//! OAuth clients that people log in through: which address is whose.

use serde::{Deserialize, Serialize};

use crate::{AgentId, Timestamp};

/// How a client is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientKind {
    /// Its redirect addresses are stored here. Its id is the agent's.
    Registered,
    /// Its id is the URL of a document that it serves itself (draft-ietf-oauth-client-id-metadata-document).
    MetadataDocument,
    /// It registered itself with a one-time code (RFC 7591). Its redirect addresses are stored here, its id is its own.
    Dynamic,
}

/// A client of the authorization endpoint. Every client is an agent's: whoever has no agent has no client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// `client_id`: the agent's id, a URL, or what it was given when it registered itself.
    pub id: String,
    /// Whose client it is.
    pub agent: AgentId,
    /// How it is known.
    pub kind: ClientKind,
    /// Where people are sent back to, compared letter by letter but for the port of a loopback address (RFC 8252,
    /// section 7.3). Of a document: as the document last said; not stored.
    pub redirect_uris: Vec<String>,
    /// The name that a document gives itself: shown as its claim, never trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_name: Option<String>,
    /// When it was adopted or registered.
    pub created_at: Timestamp,
    /// When it was removed. Clients that are stored have none: this tells observers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_at: Option<Timestamp>,
}

impl Client {
    /// May people be sent back to this address? Letter by letter, but for the port of `http` on a loopback address.
    pub fn may_redirect_to(&self, uri: &str) -> bool {
        self.redirect_uris.iter().any(|known| known == uri || is_same_but_port(known, uri))
    }

    /// Is one of its addresses on the person's own machine? Then anybody's program may be listening there, and whoever
    /// knows the client id can ask in its name: the person should be told.
    pub fn is_local(&self) -> bool {
        self.redirect_uris.iter().any(|uri| without_port(uri).is_some())
    }
}

/// The loopback interface redirection of RFC 8252, section 7.3: any port, for addresses and not for `localhost`.
fn is_same_but_port(known: &str, uri: &str) -> bool {
    match (without_port(known), without_port(uri)) {
        (Some(known), Some(asked)) => known == asked && known.0 != "http://localhost",
        _ => false,
    }
}

/// Origin without port, and the rest, of a loopback address.
fn without_port(uri: &str) -> Option<(&str, &str)> {
    let hosts = ["http://127.0.0.1", "http://[::1]", "http://localhost"];
    let host = hosts.into_iter().find(|host| uri.starts_with(host))?;
    let rest = &uri[host.len()..];
    let Some(port) = rest.strip_prefix(':') else {
        return (rest.is_empty() || rest.starts_with(['/', '?'])).then_some((host, rest));
    };
    let end = port.find(|c: char| !c.is_ascii_digit()).unwrap_or(port.len());
    let path = &port[end..];
    (end > 0 && end < 6 && (path.is_empty() || path.starts_with(['/', '?']))).then_some((host, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(uris: &[&str]) -> Client {
        Client {
            id: "https://app.example/client.json".into(),
            agent: "agt_00000000000000000000000000".parse().unwrap(),
            kind: ClientKind::MetadataDocument,
            redirect_uris: uris.iter().map(|uri| (*uri).to_owned()).collect(),
            claimed_name: None,
            created_at: Timestamp(0),
            removed_at: None,
        }
    }

    #[test]
    fn redirects_are_compared_letter_by_letter() {
        let client = client(&["https://app.example/cb"]);
        assert!(client.may_redirect_to("https://app.example/cb") && !client.is_local());
        for other in [
            "https://app.example/cb/",
            "https://app.example/CB",
            "https://app.example:443/cb",
            "https://app.example/cb?a=b",
            "https://a@app.example/cb",
            "https://app.example/x/../cb",
            "https://app.example/%63b",
            "http://app.example/cb",
            "https://app.example.evil.example/cb",
            "",
        ] {
            assert!(!client.may_redirect_to(other), "{other}");
        }
    }

    #[test]
    fn loopback_addresses_have_any_port() {
        let client = client(&["http://127.0.0.1/cb", "http://[::1]:1/cb", "http://localhost:9/cb"]);
        assert!(client.is_local());
        for fine in
            ["http://127.0.0.1/cb", "http://127.0.0.1:51004/cb", "http://[::1]:51004/cb", "http://localhost:9/cb"]
        {
            assert!(client.may_redirect_to(fine), "{fine}");
        }
        for other in [
            "http://127.0.0.1:51004/other",
            "http://127.0.0.1:51004/cb?x",
            "http://127.0.0.1:x@evil.example/cb",
            "http://127.0.0.1:1@evil.example/cb",
            "http://127.0.0.1.evil.example/cb",
            "http://127.0.0.1:/cb",
            "http://localhost:10/cb",
            "http://127.0.0.1:123456/cb",
            "https://127.0.0.1:51004/cb",
            "http://127.0.0.2:1/cb",
        ] {
            assert!(!client.may_redirect_to(other), "{other}");
        }
    }
}
