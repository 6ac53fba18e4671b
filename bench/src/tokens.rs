//! The token endpoint with its durable record, against oidc-provider (which keeps nothing), and against the bare
//! cryptography of what is asked.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use chancery_authenticate::client::{AgentKey, ProofFor};
use chancery_authenticate::jose::{Jwk, Policy, PrivateKey, PublicKey, sha256};
use chancery_model::{BearerUse, ClientSecret, Draft, Kind, Span};
use chancery_store::{agents, client_secrets};

use crate::load::{Outcome, Plan, header_of, once, post};
use crate::process::Server;
use crate::product::{self, Filling, Place};
use crate::row::{Bar, Row};
use crate::scale::{ROUNDS, Scale, median};
use crate::{Fallible, chain, peers, text, world};

const AGENTS: usize = 1_000;
const PEER: &str = "oidc-provider (npm), nothing recorded";
/// Connections of the cases; the bars are for the last.
const CONNECTIONS: [usize; 2] = [16, 64];
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";

/// Grants with a secret, introspection, exchanges, and long chains.
pub fn rows(scale: &Scale) -> Fallible<Vec<Row>> {
    let folder = tempfile::tempdir().map_err(text)?;
    let echo = Server::floor("mcp")?;
    let keys = product::keys()?;
    let filling = Filling { agents: AGENTS, keys: &keys, upstream: echo.address };
    let place = Place::fill(&folder.path().join("ours"), &filling)?;
    share_secrets(&folder.path().join("ours"))?;
    let server = place.start()?;
    let peer = if scale.peers { peers::oidc_provider().map_err(|why| eprintln!("skipped: {why}")).ok() } else { None };
    let mut rows = Vec::new();
    for connections in CONNECTIONS {
        rows.extend(grants(&server, peer.as_ref(), connections, scale)?);
        rows.extend(introspections(&server, peer.as_ref(), connections, scale)?);
        rows.extend(exchanges(&server, &keys, connections, scale)?);
    }
    rows.push(chain::row(&folder.path().join("chain"), scale)?);
    Ok(rows)
}

/// A secret for every agent, and leave to use tokens without a proof, as the peer's clients have it.
fn share_secrets(folder: &Path) -> Fallible {
    world::runtime()?.block_on(async {
        let store = world::store(&folder.join("data")).await?;
        let (all, now) = (agents::all(&store).await.map_err(text)?, world::clock().now());
        let draft = Draft { kind: Kind::Change, at: now, ..Draft::default() };
        let change = store.write(draft, move |tx| {
            Box::pin(async move {
                for agent in all {
                    let hash = sha256(secret(&agent.name).as_bytes());
                    let (id, expires_at) = (agent.id.clone(), now + Span::days(1));
                    let secret = ClientSecret { hash, agent: id, created_at: now, expires_at, revoked_at: None };
                    client_secrets::insert(tx, &secret).await?;
                    agents::update(tx, &chancery_model::Agent { bearer: BearerUse::Allowed, ..agent }).await?;
                }
                Ok(())
            })
        });
        change.await.map_err(text)?;
        store.close().await;
        Ok(())
    })
}

fn secret(agent: &str) -> String {
    format!("shared-secret-of-the-benchmark-for-{agent}")
}

fn form(path: &str, address: SocketAddr, headers: &[(&str, &str)], pairs: &[(&str, &str)]) -> Vec<u8> {
    let escaped = |value: &str| value.replace(':', "%3A").replace('/', "%2F").replace('"', "%22");
    let body: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}={}", escaped(value))).collect();
    let request = String::from_utf8_lossy(&post(path, address, headers, &body.join("&"))).into_owned();
    request.replacen("application/json", "application/x-www-form-urlencoded", 1).into_bytes()
}

fn member(answer: &str, name: &str) -> Fallible<String> {
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let read: serde_json::Value = serde_json::from_str(body).map_err(|_| format!("unexpected answer: {answer}"))?;
    Ok(read
        .get(name)
        .and_then(|value| value.as_str())
        .ok_or_else(|| format!("unexpected answer: {answer}"))?
        .to_owned())
}

/// Both, interleaved.
fn both(
    ours: (&Server, &[Vec<u8>], &str),
    peer: Option<(&Server, &[Vec<u8>], &str)>,
    connections: usize,
    count: usize,
) -> Fallible<(Vec<Outcome>, Vec<Outcome>)> {
    let run = |(server, requests, expect): (&Server, &[Vec<u8>], &str), count| {
        Plan { server, requests, count, connections, expect }.run()
    };
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        if let Some(peer) = peer {
            b.push(run(peer, count / 4)?);
        }
        a.push(run(ours, count)?);
    }
    Ok((a, b))
}

fn against(what: &str, connections: usize, a: &[Outcome], b: &[Outcome], bar: f64) -> Vec<Row> {
    let of = |all: &[Outcome], figure: fn(&Outcome) -> f64| median(all.iter().map(figure));
    let named = |figure: &str| format!("tokens/{what}/{figure}/{connections} connections");
    let mut rate = Row::new(named("requests"), of(a, |o| o.rate), "1/s");
    let mut cpu = Row::new(named("processor a request"), of(a, |o| o.cpu), "us");
    let mut wait = Row::new(named("p50"), of(a, |o| o.p50), "us");
    if !b.is_empty() {
        rate = rate.beside(PEER, of(b, |o| o.rate));
        cpu = cpu.beside(PEER, of(b, |o| o.cpu));
        wait = wait.beside(PEER, of(b, |o| o.p50));
        if Some(&connections) == CONNECTIONS.last() {
            rate = rate.bar(Bar::RatioAtLeast(bar));
        }
    }
    vec![rate, cpu, wait]
}

/// Client credentials with a shared secret: a session opened and recorded, an ES256 token signed.
fn grants(server: &Server, peer: Option<&Server>, connections: usize, scale: &Scale) -> Fallible<Vec<Row>> {
    let resource = format!("http://{}/mcp/billing", server.address);
    let request = |number: usize| {
        let agent = format!("agent-{number}");
        let (resource, secret) = (resource.as_str(), secret(&agent));
        let pairs = [
            ("grant_type", "client_credentials"),
            ("client_id", &*agent),
            ("client_secret", &*secret),
            ("resource", resource),
        ];
        form("/oauth/token", server.address, &[], &pairs)
    };
    let requests: Vec<Vec<u8>> = (0..AGENTS).map(request).collect();
    let theirs = peer.map(|peer| (peer, vec![peer_grant(peer.address)]));
    let theirs = theirs.as_ref().map(|(peer, requests)| (*peer, requests.as_slice(), "access_token"));
    let (a, b) = both((server, &requests, "access_token"), theirs, connections, scale.of(12_000))?;
    Ok(against("client credentials with a secret", connections, &a, &b, 5.0))
}

fn peer_grant(address: SocketAddr) -> Vec<u8> {
    let pairs = [
        ("grant_type", "client_credentials"),
        ("client_id", "agent"),
        ("client_secret", peers::OIDC_SECRET),
        ("resource", "urn:bench:jwt"),
    ];
    form("/token", address, &[], &pairs)
}

/// An enforcer that asks about its own token; the peer is asked about an opaque one.
fn introspections(server: &Server, peer: Option<&Server>, connections: usize, scale: &Scale) -> Fallible<Vec<Row>> {
    let (agent, resource) = (format!("agent-{}", product::ENFORCER), format!("http://{}/access/v1", server.address));
    let secret = secret(&agent);
    let client = [("client_id", &*agent), ("client_secret", &*secret)];
    let grant = [&[("grant_type", "client_credentials"), ("resource", &*resource)], &client[..]].concat();
    let token = member(&once(server.address, &form("/oauth/token", server.address, &[], &grant))?, "access_token")?;
    let asked = form("/oauth/introspect", server.address, &[], &[&[("token", &*token)], &client[..]].concat());
    let theirs = peer.map(peer_introspection).transpose()?;
    let theirs = peer.zip(theirs.as_deref()).map(|(peer, requests)| (peer, requests, "\"active\":true"));
    let (a, b) = both((server, &[asked], "\"active\":true"), theirs, connections, scale.of(40_000))?;
    Ok(against("introspection", connections, &a, &b, 6.0))
}

fn peer_introspection(peer: &Server) -> Fallible<Vec<Vec<u8>>> {
    let client = [("client_id", "agent"), ("client_secret", peers::OIDC_SECRET)];
    let grant = [&[("grant_type", "client_credentials")], &client[..]].concat();
    let token = member(&once(peer.address, &form("/token", peer.address, &[], &grant))?, "access_token")?;
    Ok(vec![form("/token/introspection", peer.address, &[], &[&[("token", &*token)], &client[..]].concat())])
}

/// One agent that signs its requests.
struct Signer<'a> {
    key: &'a AgentKey,
    name: String,
    address: SocketAddr,
    nonce: String,
}

impl Signer<'_> {
    fn request(&self, more: &[(&str, &str)]) -> Fallible<Vec<u8>> {
        let (clock, random) = (world::clock(), world::random()?);
        let issuer = format!("http://{}", self.address);
        let url = format!("{issuer}/oauth/token");
        let assertion = self.key.assertion(&self.name, &issuer, clock.now(), &*random).map_err(text)?;
        let proof = ProofFor { method: "POST", url: &url, token: None, nonce: Some(&self.nonce) };
        let proof = self.key.proof(proof, clock.now(), &*random).map_err(text)?;
        let own = [("client_assertion_type", ASSERTION), ("client_assertion", &*assertion)];
        Ok(form("/oauth/token", self.address, &[("DPoP", &proof)], &[&own, more].concat()))
    }

    fn token(&self, more: &[(&str, &str)]) -> Fallible<String> {
        member(&once(self.address, &self.request(more)?)?, "access_token")
    }
}

/// An agent takes over what another handed to it: its assertion, its proof and the other's token are verified, the policy
/// is asked, the session is recorded and its token signed. Every subject token is another one.
fn exchanges(server: &Server, keys: &[AgentKey], connections: usize, scale: &Scale) -> Fallible<Vec<Row>> {
    let count = scale.of(1_000);
    let (mut ours, mut floors) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let requests = takeovers(server.address, keys, count)?;
        floors.push(crypto()?);
        let plan = Plan { server, requests: &requests, count, connections, expect: "issued_token_type" };
        ours.push(plan.run()?);
    }
    let named = |what: &str| format!("tokens/exchange/{what}/{connections} connections");
    let floor = median(floors.iter().copied());
    let of = |figure: fn(&Outcome) -> f64| median(ours.iter().map(figure));
    let cpu = Row::new(named("processor a request"), of(|o| o.cpu), "us")
        .beside("three ES256 verifications and a signature", floor);
    let last = Some(&connections) == CONNECTIONS.last();
    let cpu = if last { cpu.bar(Bar::RatioAtMost(1.6)) } else { cpu };
    Ok(vec![cpu, Row::new(named("requests"), of(|o| o.rate), "1/s"), Row::new(named("p50"), of(|o| o.p50), "us")])
}

fn takeovers(address: SocketAddr, keys: &[AgentKey], count: usize) -> Fallible<Vec<Vec<u8>>> {
    let first = once(address, &form("/oauth/token", address, &[], &[("grant_type", "client_credentials")]))?;
    let nonce = header_of(&first, "dpop-nonce").ok_or("the server gave no nonce")?.to_owned();
    let signer = |n: usize| Signer { key: &keys[n], name: format!("agent-{n}"), address, nonce: nonce.clone() };
    let (from, to) = (signer(0), signer(product::ENFORCER));
    let resource = format!("http://{address}/mcp/billing");
    let subject = from.token(&[("grant_type", "client_credentials"), ("resource", &resource)])?;
    let base = [("grant_type", EXCHANGE), ("subject_token_type", ACCESS)];
    let one = |_| {
        let handed = from.token(&[base, [("subject_token", &subject), ("may_act", &to.name)]].concat())?;
        to.request(&[base, [("subject_token", &handed), ("resource", &resource)]].concat())
    };
    (0..count).map(one).collect()
}

/// Microseconds of one thread for three verifications and one signature, over the bytes of a common token.
fn crypto() -> Fallible<f64> {
    const TIMES: u32 = 300;
    let key = PrivateKey::generate_p256().map_err(text)?;
    let message = [0x61; 420];
    let signature = key.sign(&message).map_err(text)?;
    let jwk = Jwk::parse(key.public().canonical_jwk()).map_err(text)?;
    let public = PublicKey::from_jwk(&jwk, Policy::Agents).map_err(text)?;
    let since = Instant::now();
    for _ in 0..TIMES {
        for _ in 0..3 {
            public.verify(&message, &signature).map_err(text)?;
        }
        key.sign(&message).map_err(text)?;
    }
    Ok(since.elapsed().as_secs_f64() * 1e6 / f64::from(TIMES))
}
