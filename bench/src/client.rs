//! The agent's side of a measurement: a key, a token, and requests signed beforehand.

use std::net::SocketAddr;
use std::time::Duration;

use chancery_authenticate::client::{AgentKey, ProofFor};

use crate::load::{header_of, once, post};
use crate::{Fallible, text, world};

/// An agent with a token for one door.
pub struct Client<'a> {
    key: &'a AgentKey,
    address: SocketAddr,
    token: String,
    nonce: Option<String>,
}

/// Whom a token is asked for, and for which door.
pub struct Wanted<'a> {
    /// The agent's name.
    pub agent: &'a str,
    /// The door's URL.
    pub resource: &'a str,
    /// Without proofs.
    pub bearer: bool,
}

impl<'a> Client<'a> {
    /// Gets a token; a server that wants its nonce in the proof is asked again with it, and one that has just started
    /// after the seconds in which it takes no assertions.
    pub fn authenticate(key: &'a AgentKey, address: SocketAddr, wanted: &Wanted<'_>) -> Fallible<Self> {
        let mut nonce = None;
        let mut last = String::new();
        for _ in 0..12 {
            let request = token_request(key, address, wanted, nonce.as_deref())?;
            let answer = once(address, &request)?;
            nonce = header_of(&answer, "dpop-nonce").map(str::to_owned).or(nonce);
            if let Some(token) = access_token(&answer) {
                return Ok(Self { key, address, token, nonce });
            }
            if answer.contains("before the server's start") {
                std::thread::sleep(Duration::from_secs(1));
            }
            last = answer;
        }
        Err(format!("no token for {}: {last}", wanted.agent))
    }

    /// The headers of a bearer request.
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }

    /// A POST with the token and a proof of its own.
    pub fn signed(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Fallible<Vec<u8>> {
        let url = format!("http://{}{path}", self.address);
        let proof = ProofFor { method: "POST", url: &url, token: Some(&self.token), nonce: self.nonce.as_deref() };
        let proof = self.key.proof(proof, world::clock().now(), &*world::random()?).map_err(text)?;
        let authorization = format!("DPoP {}", self.token);
        let own = [("Authorization", authorization.as_str()), ("DPoP", proof.as_str())];
        Ok(post(path, self.address, &[&own, headers].concat(), body))
    }

    /// Takes the newest nonce of the server: sends one request and looks at what came back.
    pub fn refresh(&mut self, path: &str, headers: &[(&str, &str)], body: &str) -> Fallible<String> {
        let mut answer = String::new();
        for _ in 0..2 {
            answer = once(self.address, &self.signed(path, headers, body)?)?;
            if let Some(nonce) = header_of(&answer, "dpop-nonce") {
                self.nonce = Some(nonce.to_owned());
            }
        }
        Ok(answer)
    }
}

fn token_request(key: &AgentKey, address: SocketAddr, wanted: &Wanted<'_>, nonce: Option<&str>) -> Fallible<Vec<u8>> {
    let (clock, random) = (world::clock(), world::random()?);
    let issuer = format!("http://{address}");
    let url = format!("{issuer}/oauth/token");
    let assertion = key.assertion(wanted.agent, &issuer, clock.now(), &*random).map_err(text)?;
    let form = format!(
        "grant_type=client_credentials&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer\
         &client_assertion={assertion}&resource={}",
        wanted.resource.replace(':', "%3A").replace('/', "%2F")
    );
    let proof = ProofFor { method: "POST", url: &url, token: None, nonce };
    let proof = key.proof(proof, clock.now(), &*random).map_err(text)?;
    let proofs = [("DPoP", proof.as_str())];
    let headers = if wanted.bearer { &[][..] } else { &proofs[..] };
    let request = post("/oauth/token", address, headers, &form);
    let request = String::from_utf8(request).map_err(text)?;
    Ok(request.replacen("application/json", "application/x-www-form-urlencoded", 1).into_bytes())
}

fn access_token(answer: &str) -> Option<String> {
    let body: serde_json::Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
    Some(body.get("access_token")?.as_str()?.to_owned())
}
