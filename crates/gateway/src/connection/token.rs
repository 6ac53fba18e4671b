//! The token endpoint (RFC 6749, section 5), with proofs of a key where tokens are to be bound to it (RFC 9449).

use chancery_authenticate::client::{AgentKey, ProofFor};
use chancery_model::{Secret, Span, Timestamp};
use http::{HeaderName, header};
use serde::Deserialize;
use serde_json::Value;

use super::Means;
use super::client::Client;
use super::error::ConnectError;
use super::exchange::Reply;
use super::form::Form;
use super::metadata::AuthorizationServer;
use crate::scrub::{SHORTEST, Scrubber};

pub(super) const DPOP: HeaderName = HeaderName::from_static("dpop");
pub(super) const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// The longest life of a token that is believed.
const LONGEST: i64 = 366 * 24 * 3600;

/// How a token is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Bearer,
    Dpop,
}

/// What the token endpoint gave.
#[derive(Clone, Debug)]
pub(super) struct Issued {
    pub(super) access: Secret,
    pub(super) scheme: Scheme,
    pub(super) refresh: Option<Secret>,
    pub(super) expires_at: Option<Timestamp>,
    /// The scopes it has; nothing if it has those that were asked for.
    pub(super) scopes: Option<Vec<String>>,
}

/// A token request, but for what proves the client.
pub(super) struct TokenAsk<'a> {
    pub(super) server: &'a AuthorizationServer,
    pub(super) client: &'a Client,
    /// The key that the token is to be bound to.
    pub(super) key: Option<&'a AgentKey>,
    /// What of the form is a secret and may come back in an error.
    pub(super) secrets: &'a [&'a Secret],
}

#[derive(Deserialize)]
struct Given {
    access_token: String,
    token_type: String,
    #[serde(default)]
    expires_in: Value,
    #[serde(default)]
    refresh_token: Option<String>,
    #[serde(default)]
    scope: Option<String>,
    #[serde(default)]
    issued_token_type: Option<String>,
}

#[derive(Deserialize)]
struct Refused {
    error: String,
    #[serde(default)]
    error_description: String,
}

impl TokenAsk<'_> {
    /// Asks for an access token.
    pub(super) async fn token(&self, means: &Means, form: impl Fn() -> Form) -> Result<Issued, ConnectError> {
        let reply = self.send(means, form).await?;
        self.issued(means, &reply)
    }

    /// Asks for an identity assertion (ID-JAG), which is no access token: its `token_type` is `N_A`.
    pub(super) async fn assertion(
        &self,
        means: &Means,
        kind: &str,
        form: impl Fn() -> Form,
    ) -> Result<Secret, ConnectError> {
        let reply = self.send(means, form).await?;
        let given = self.given(&reply)?;
        if given.issued_token_type.as_deref() != Some(kind) || !given.token_type.eq_ignore_ascii_case("N_A") {
            let why = format!("`{}` answered with another kind of token than `{kind}`", self.server.issuer);
            return Err(ConnectError::refused(why));
        }
        Ok(Secret::new(given.access_token))
    }

    /// Sends the request; once more where the server wants its nonce in the proof (RFC 9449, section 8). Each time the
    /// proofs are new ones.
    async fn send(&self, means: &Means, form: impl Fn() -> Form) -> Result<Reply, ConnectError> {
        let first = self.once(means, form(), None).await?;
        let wants = refused(&first).is_some_and(|refused| refused.error == "use_dpop_nonce");
        let nonce = first.headers.get(DPOP_NONCE).and_then(|nonce| nonce.to_str().ok());
        match nonce.filter(|_| wants && self.key.is_some()) {
            Some(nonce) => self.once(means, form(), Some(nonce)).await,
            None => Ok(first),
        }
    }

    async fn once(&self, means: &Means, form: Form, nonce: Option<&str>) -> Result<Reply, ConnectError> {
        let url = &self.server.token_endpoint;
        let mut ask = self.client.sign(means, &self.server.issuer, url, form)?;
        if let Some(key) = self.key {
            let htu = url.split('?').next().unwrap_or(url);
            let proof = ProofFor { method: "POST", url: htu, token: None, nonce };
            let proof = key.proof(proof, means.clock.now(), &*means.random);
            ask = ask.secret(DPOP, &proof.map_err(|e| ConnectError::internal(e.to_string()))?)?;
        }
        let reply = means.exchange.send(ask).await;
        reply.map_err(|why| ConnectError::unreached(self.clean(&format!("{url}: {why}"))))
    }

    fn issued(&self, means: &Means, reply: &Reply) -> Result<Issued, ConnectError> {
        let given = self.given(reply)?;
        let scheme = match given.token_type.to_ascii_lowercase().as_str() {
            "bearer" => Scheme::Bearer,
            "dpop" => Scheme::Dpop,
            _ => {
                return Err(ConnectError::refused(format!("`{}` gave a token of an unknown type", self.server.issuer)));
            }
        };
        if (scheme == Scheme::Dpop) != self.key.is_some() {
            let why = format!("`{}` did not bind the token to the key that was proved", self.server.issuer);
            return Err(ConnectError::refused(why));
        }
        let issued = Issued {
            access: usable(given.access_token)?,
            scheme,
            refresh: given.refresh_token.filter(|token| !token.is_empty()).map(usable).transpose()?,
            expires_at: lifetime(&given.expires_in).map(|life| means.clock.now() + life),
            scopes: given.scope.map(|scope| scope.split_whitespace().map(str::to_owned).collect()),
        };
        Ok(issued)
    }

    fn given(&self, reply: &Reply) -> Result<Given, ConnectError> {
        let issuer = &self.server.issuer;
        if reply.status.is_server_error() {
            return Err(ConnectError::unreached(format!("`{issuer}` answered {}", reply.status)));
        }
        if let Some(refused) = refused(reply) {
            let why = format!("`{issuer}` refused: {} {}", refused.error, refused.error_description);
            let error = ConnectError::refused(self.clean(why.trim()));
            return Err(if refused.error == "invalid_grant" { error.gone() } else { error });
        }
        let read = serde_json::from_slice(&reply.body).ok().filter(|_| reply.status == http::StatusCode::OK);
        read.ok_or_else(|| ConnectError::refused(format!("`{issuer}` answered {} without a token", reply.status)))
    }

    /// What an error quotes may be what was sent.
    fn clean(&self, text: &str) -> String {
        let sent = self.secrets.iter().copied().chain(self.client.secret());
        Scrubber::new(sent.map(Secret::expose)).text(text)
    }
}

fn refused(reply: &Reply) -> Option<Refused> {
    if reply.status.is_success() { None } else { serde_json::from_slice(&reply.body).ok() }
}

/// A token that can stand in a header and can be told from ordinary text in answers.
fn usable(token: String) -> Result<Secret, ConnectError> {
    let fits = token.len() >= SHORTEST && token.bytes().all(|b| b.is_ascii_graphic());
    if fits {
        return Ok(Secret::new(token));
    }
    let why = format!("the token is shorter than {SHORTEST} bytes or has characters that cannot stand in a header");
    Err(ConnectError::refused(why))
}

/// Seconds, which some servers write as text.
fn lifetime(expires_in: &Value) -> Option<Span> {
    let seconds = expires_in.as_i64().or_else(|| expires_in.as_str()?.parse().ok())?;
    (seconds >= 0).then(|| Span::seconds(seconds.min(LONGEST)))
}

/// The header that shows a token.
pub(super) fn authorization(scheme: Scheme, token: &Secret) -> Option<(HeaderName, http::HeaderValue)> {
    let scheme = if scheme == Scheme::Dpop { "DPoP" } else { "Bearer" };
    let text = Secret::new(format!("{scheme} {}", token.expose()));
    let mut value = http::HeaderValue::from_str(text.expose()).ok()?;
    value.set_sensitive(true);
    Some((header::AUTHORIZATION, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::client::ClientProof;
    use crate::connection::error::Lasts;
    use crate::connection::testing::{Scripted, over};
    use http::StatusCode;
    use serde_json::json;
    use std::sync::Arc;

    async fn ask(status: StatusCode, body: Value, key: Option<&AgentKey>) -> Result<Issued, ConnectError> {
        let web = Scripted::default().answer("https://as.example/token", status, &body);
        let server = AuthorizationServer::by_custom("https://as.example");
        let secret = Secret::new("hunter2-hunter2".into());
        let client = Client { id: "us".into(), proof: ClientProof::Post(secret) };
        let ask = TokenAsk { server: &server, client: &client, key, secrets: &[] };
        ask.token(&over(Arc::new(web)), || Form::of("client_credentials")).await
    }

    #[tokio::test]
    async fn an_error_that_quotes_what_was_sent_does_not_give_it_away() {
        let body = json!({"error": "invalid_client", "error_description": "hunter2-hunter2 is wrong"});
        let error = ask(StatusCode::UNAUTHORIZED, body, None).await.unwrap_err();
        assert!(error.why.contains("invalid_client") && !error.why.contains("hunter2"), "{error}");
    }

    #[tokio::test]
    async fn a_token_that_was_to_be_bound_and_is_not_is_not_used() {
        let key = AgentKey::generate().unwrap();
        let bearer = json!({"access_token": "long-enough", "token_type": "Bearer"});
        let error = ask(StatusCode::OK, bearer.clone(), Some(&key)).await.unwrap_err();
        assert!(error.why.contains("did not bind"), "{error}");
        assert!(ask(StatusCode::OK, bearer, None).await.is_ok());
    }

    #[tokio::test]
    async fn what_is_no_token_is_refused() {
        for body in [
            json!({}),
            json!({"access_token": "long-enough"}),
            json!({"access_token": "short", "token_type": "Bearer"}),
            json!({"access_token": "long enough\r\nx: y", "token_type": "Bearer"}),
            json!({"access_token": "long-enough", "token_type": "mac"}),
        ] {
            assert!(ask(StatusCode::OK, body.clone(), None).await.is_err(), "{body}");
        }
    }

    #[tokio::test]
    async fn an_unreachable_server_has_not_spoken_and_a_refusal_lasts() {
        let lasts = async |status, body| ask(status, body, None).await.unwrap_err().lasts;
        assert_eq!(lasts(StatusCode::BAD_GATEWAY, json!({})).await, Lasts::Passing);
        assert_eq!(lasts(StatusCode::BAD_REQUEST, json!({"error": "invalid_scope"})).await, Lasts::Standing);
        assert_eq!(lasts(StatusCode::BAD_REQUEST, json!({"error": "invalid_grant"})).await, Lasts::Gone);
    }

    #[test]
    fn lifetimes_are_read_as_numbers_and_as_text() {
        assert_eq!(lifetime(&json!(60)), Some(Span::seconds(60)));
        assert_eq!(lifetime(&json!("60")), Some(Span::seconds(60)));
        assert_eq!(lifetime(&json!(-1)), None);
        assert_eq!(lifetime(&json!(i64::MAX)), Some(Span::seconds(LONGEST)));
        assert_eq!(lifetime(&Value::Null), None);
    }
}
