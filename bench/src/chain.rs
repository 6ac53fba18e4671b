//! A token of a chain of ten agents at the door: its signature, its chain, the proof, every link's state.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use chancery_authenticate::client::{AgentKey, ProofFor};
use chancery_authenticate::{
    Authenticator, Config, DelegationLimits, Delegations, Handing, RequestFacts, TokenRequest, Vault,
};
use chancery_fetch::Fetcher;
use chancery_model::{Draft, Kind};
use chancery_store::agents;

use crate::row::{Bar, Row};
use crate::scale::{Scale, median};
use crate::{Fallible, product, text, world};

const LINKS: usize = 10;
const ISSUER: &str = "http://127.0.0.1:8420";
const DOOR: &str = "http://127.0.0.1:8420/mcp/billing";
const ENDPOINT: &str = "http://127.0.0.1:8420/oauth/token";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";

struct Everybody;

impl Delegations for Everybody {
    fn may_delegate(&self, _: &Handing<'_>) -> Result<(), String> {
        Ok(())
    }
}

/// The room in this process, and the agents of the chain.
struct Chain {
    auth: Arc<Authenticator>,
    keys: Vec<AgentKey>,
}

/// Every token is seen for the first time.
pub fn row(folder: &Path, scale: &Scale) -> Fallible<Row> {
    let count = scale.of(400);
    let taken = world::runtime()?.block_on(async {
        let chain = Chain::open(folder).await?;
        let sid = chain.linked().await?;
        let mut taken = Vec::with_capacity(count);
        for _ in 0..count {
            taken.push(chain.admitted(&sid).await?);
        }
        Fallible::Ok(taken)
    })?;
    Ok(Row::new(format!("tokens/a chain of {LINKS} verified, with its proof"), median(taken), "us")
        .bar(Bar::AtMost(1_000.0)))
}

impl Chain {
    async fn open(folder: &Path) -> Fallible<Self> {
        std::fs::create_dir_all(folder).map_err(text)?;
        let store = world::store(&folder.join("data")).await?;
        let keys: Vec<AgentKey> = (0..LINKS).map(|_| AgentKey::generate().map_err(text)).collect::<Fallible<_>>()?;
        let all = (0..LINKS).map(|n| product::pair(n, &keys).map(|(agent, _)| agent)).collect::<Fallible<Vec<_>>>()?;
        let vault = Vault::open(&folder.join("kek"), &folder.join("data"), world::random()?).map_err(text)?;
        let config = Config {
            issuer: ISSUER.into(),
            audiences: vec![DOOR.into()],
            delegation: DelegationLimits { depth: LINKS },
            ..Config::default()
        };
        let fetcher = Arc::new(Fetcher::new(chancery_fetch::Config::default()).map_err(text)?);
        let opened = Authenticator::open(config, store.clone(), vault, fetcher, world::clock(), world::random()?).await;
        let auth = opened.map_err(text)?;
        auth.set_delegations(Box::new(Everybody));
        // After the start: who was there before it waits five seconds for a token.
        let draft = Draft { kind: Kind::Change, at: world::clock().now(), ..Draft::default() };
        let change = store.write(draft, |tx| {
            Box::pin(async move {
                for agent in &all {
                    agents::insert(tx, agent).await?;
                }
                Ok(())
            })
        });
        change.await.map_err(text)?;
        Ok(Self { auth, keys })
    }

    /// Makes the chain, and names the session of its last link.
    async fn linked(&self) -> Fallible<String> {
        let grant = [("grant_type", "client_credentials"), ("resource", DOOR)];
        let (mut token, mut sid) = self.token(0, &grant).await?;
        for next in 1..LINKS {
            let name = format!("agent-{next}");
            let base = [("grant_type", EXCHANGE), ("subject_token_type", ACCESS)];
            let more = [("subject_token", &*token), ("may_act", &*name)];
            let (handed, _) = self.token(next - 1, &[base, more].concat()).await?;
            let more = [("subject_token", &*handed), ("resource", DOOR)];
            (token, sid) = self.token(next, &[base, more].concat()).await?;
        }
        Ok(sid)
    }

    async fn token(&self, by: usize, more: &[(&str, &str)]) -> Fallible<(String, String)> {
        let (clock, random, nonce) = (world::clock(), world::random()?, self.auth.dpop_nonce());
        let key = &self.keys[by];
        let assertion = key.assertion(&format!("agent-{by}"), ISSUER, clock.now(), &*random).map_err(text)?;
        let proof = ProofFor { method: "POST", url: ENDPOINT, token: None, nonce: nonce.as_deref() };
        let proof = key.proof(proof, clock.now(), &*random).map_err(text)?;
        let own = [("client_assertion_type", ASSERTION), ("client_assertion", &*assertion)];
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let form: Vec<(String, String)> = own.iter().chain(more).map(owned).collect();
        let request =
            TokenRequest { form: &form, authorization: None, dpop: Some(&proof), certificate: None, url: ENDPOINT };
        let body = self.auth.token(request).await.map_err(text)?.body;
        Ok((body.access_token.expose().to_owned(), body.sid))
    }

    /// Microseconds for one request with a token that was not seen before.
    async fn admitted(&self, sid: &str) -> Fallible<f64> {
        let more = [("grant_type", "client_credentials"), ("resource", DOOR), ("sid", sid)];
        let (token, _) = self.token(LINKS - 1, &more).await?;
        let nonce = self.auth.dpop_nonce();
        let proof = ProofFor { method: "POST", url: DOOR, token: Some(&token), nonce: nonce.as_deref() };
        let proof = self.keys[LINKS - 1].proof(proof, world::clock().now(), &*world::random()?).map_err(text)?;
        let authorization = format!("DPoP {token}");
        let facts = RequestFacts {
            method: "POST",
            url: DOOR,
            authorization: Some(&authorization),
            dpop: Some(&proof),
            certificate: None,
            audience: DOOR,
        };
        let since = Instant::now();
        let caller = self.auth.caller(&facts).map_err(|refused| refused.why)?;
        let taken = since.elapsed().as_secs_f64() * 1e6;
        if caller.ancestors.len() + 1 == LINKS { Ok(taken) } else { Err("the chain is not whole".to_owned()) }
    }
}
