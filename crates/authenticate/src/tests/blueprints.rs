//! Instances of blueprints: stopped with them, judged by their manifest, and listed.

use chancery_model::{
    Agent, AgentId, Blueprint, BlueprintId, BlueprintState, Clock, Digest, Manifest, Random, Span, Standing, Timestamp,
};
use chancery_store::{BoxFuture, StoreError, Tx, agents, blueprints, findings, manifests};

use super::{ISSUER, World, form};
use crate::client::AgentKey;
use crate::jose::decode;
use crate::{AgentFilter, OauthError, RequestFacts, TokenBody};

/// An instance with its key.
pub(super) struct Instance {
    pub(super) name: String,
    pub(super) key: AgentKey,
}

impl World {
    async fn commit<F>(&self, change: F)
    where
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<(), StoreError>> + Send + 'static,
    {
        self.store.write(self.draft(), change).await.unwrap();
    }

    pub(super) async fn with_blueprint() -> Self {
        let world = Self::new().await;
        let blueprint = Blueprint {
            id: BlueprintId::new(world.clock.now(), &*world.random as &dyn Random),
            name: "crm".into(),
            sponsor: "ann@acme.example".into(),
            owner: "bob@acme.example".into(),
            purpose: "answers customers".into(),
            lifetime: Span::days(90),
            manifest: None,
            state: BlueprintState::Active,
            epoch: 1,
            created_at: world.clock.now(),
        };
        world.commit(move |tx| Box::pin(async move { blueprints::insert(tx, &blueprint).await })).await;
        world
    }

    pub(super) async fn blueprint_becomes(&self, step: impl FnOnce(Blueprint) -> Blueprint) {
        let after = step((*self.auth.blueprint("crm").unwrap()).clone());
        self.commit(move |tx| Box::pin(async move { blueprints::update(tx, &after).await })).await;
    }

    async fn registered(&self, names: &[&str], blueprint: &str) {
        let made: Vec<Agent> = names.iter().map(|name| self.made(name, blueprint)).collect();
        self.commit(move |tx| {
            Box::pin(async move {
                for agent in &made {
                    agents::insert(tx, agent).await?;
                }
                Ok(())
            })
        })
        .await;
    }

    fn made(&self, name: &str, blueprint: &str) -> Agent {
        let id = AgentId::new(self.clock.now(), &*self.random as &dyn Random);
        let model = (*self.auth.agent("crm").unwrap()).clone();
        Agent {
            id,
            name: name.into(),
            blueprint: Some(blueprint.into()),
            state: chancery_model::AgentState::Registered,
            key_thumbprint: None,
            public_jwk: None,
            ..model
        }
    }

    pub(super) async fn instance(&self, name: &str) -> Instance {
        self.registered(&[name], "crm").await;
        let key = AgentKey::generate().unwrap();
        let code = self.code(name, Span::minutes(15)).await;
        self.enrol(&code, &key).await.unwrap();
        Instance { name: name.into(), key }
    }

    async fn asked(&self, by: &Instance, more: &[(&str, &str)]) -> Result<TokenBody, OauthError> {
        let assertion = by.key.assertion(&by.name, ISSUER, self.clock.now(), &*self.random).unwrap();
        let mut form = form(&assertion);
        form.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let proof = self.proof_by(&by.key, "POST", super::TOKEN_URL, None);
        self.ask(&form, Some(&proof)).await.map(|answer| answer.body)
    }

    fn calls(&self, by: &Instance, body: &TokenBody) -> Result<crate::Caller, String> {
        let token = body.access_token.expose();
        let proof = self.proof_by(&by.key, "POST", super::AUDIENCE, Some(token));
        let authorization = format!("DPoP {token}");
        let facts = RequestFacts {
            method: "POST",
            url: super::AUDIENCE,
            authorization: Some(&authorization),
            dpop: Some(&proof),
            certificate: None,
            audience: super::AUDIENCE,
        };
        self.auth.caller(&facts).map_err(|refused| format!("{} {}", refused.row.code, refused.why))
    }
}

fn manifest(model: &str) -> Manifest {
    Manifest { model: model.into(), prompt_digest: Digest([1; 32]), tools_digest: Digest([2; 32]), version: None }
}

fn names(page: &crate::Page) -> Vec<&str> {
    page.agents.iter().map(|listed| listed.agent.name.as_str()).collect()
}

const STOPPED: &str = "its blueprint `crm` is suspended";

#[tokio::test]
async fn a_suspended_blueprint_stops_tokens_and_calls_of_its_instances() {
    let world = World::with_blueprint().await;
    let (one, two) = (world.instance("crm-1").await, world.instance("crm-2").await);
    let (first, second) = (world.asked(&one, &[]).await.unwrap(), world.asked(&two, &[]).await.unwrap());
    let caller = world.calls(&one, &first).unwrap();
    assert!(world.auth.still(&caller, super::DOOR).is_ok());
    let other = world.token().await;

    world.blueprint_becomes(|blueprint| blueprint.suspend().unwrap()).await;
    for (instance, body) in [(&one, &first), (&two, &second)] {
        let refused = world.calls(instance, body).unwrap_err();
        assert!(refused.starts_with("C1006") && refused.contains(STOPPED), "{refused}");
        for more in [vec![], vec![("sid", body.sid.as_str())]] {
            let refused = world.asked(instance, &more).await.unwrap_err();
            assert_eq!((refused.error, refused.row.code), ("invalid_client", "C1006"));
            assert!(refused.description.contains(STOPPED), "{}", refused.description);
        }
    }
    assert!(world.auth.still(&caller, super::DOOR).is_err(), "a call that is under way");
    assert_eq!(world.auth.sessions().len(), 1, "only the one of an agent of no blueprint");
    assert!(world.call_now(&other).is_ok(), "an agent of no blueprint goes on");

    world.blueprint_becomes(|blueprint| blueprint.resume().unwrap()).await;
    assert!(world.calls(&one, &first).unwrap_err().starts_with("C1005"), "sessions from before stay ended");
    assert!(world.asked(&one, &[("sid", &first.sid)]).await.is_err());
    let again = world.asked(&one, &[]).await.unwrap();
    assert!(world.calls(&one, &again).is_ok());
}

#[tokio::test]
async fn a_suspended_blueprint_stays_so_after_a_restart_and_an_unknown_one_stops_too() {
    let world = World::with_blueprint().await;
    let one = world.instance("crm-1").await;
    let body = world.asked(&one, &[]).await.unwrap();
    let world = world.restart(Span::seconds(10)).await;
    assert!(world.calls(&one, &body).is_ok(), "a session goes on over a restart");
    world.blueprint_becomes(|blueprint| blueprint.suspend().unwrap()).await;
    let world = world.restart(Span::seconds(10)).await;
    assert!(world.calls(&one, &body).unwrap_err().contains(STOPPED));
    assert!(world.asked(&one, &[]).await.is_err());
    world.registered(&["orphan"], "ghost").await;
    assert_eq!(world.auth.listed("orphan").unwrap().standing, Standing::Suspended);
}

#[tokio::test]
async fn only_the_approved_manifest_opens_a_session() {
    let world = World::with_blueprint().await;
    let one = world.instance("crm-1").await;
    let id = world.auth.blueprint("crm").unwrap().id.to_string();
    let (old, new) = (manifest("one").canonical(), manifest("two").canonical());
    let digest = manifests::digest(&manifest("one"));

    let body = world.asked(&one, &[("manifest", &old)]).await.unwrap();
    assert_eq!(world.calls(&one, &body).unwrap().session.manifest, Some(digest));
    let seen = manifests::get(&world.store, &id).await.unwrap().seen.unwrap();
    assert_eq!((seen.digest, seen.by.as_str()), (digest, "crm-1"), "it can be looked at and approved");
    assert!(findings::open_ones(&world.store).await.unwrap().is_empty(), "nothing was approved, nothing changed");

    world.blueprint_becomes(|blueprint| blueprint.approve(digest)).await;
    let holder = id.clone();
    world
        .commit(move |tx| Box::pin(async move { manifests::approve(tx, &holder, Some(&manifest("one"))).await }))
        .await;
    assert!(world.calls(&one, &body).unwrap_err().starts_with("C1005"), "sessions from before the approval end");
    let body = world.asked(&one, &[("manifest", &digest.to_string())]).await.unwrap();
    assert!(world.calls(&one, &body).is_ok(), "its digest does as well");

    for (stated, told) in
        [(vec![], "state your `manifest`"), (vec![("manifest", new.as_str())], "is not the one approved")]
    {
        let refused = world.asked(&one, &stated).await.unwrap_err();
        assert_eq!((refused.error, refused.row.code), ("unauthorized_client", "C6024"));
        assert!(refused.description.contains(told) && refused.description.contains(&digest.to_string()));
    }
    let found = findings::open_ones(&world.store).await.unwrap().remove(0);
    assert_eq!((found.rule.as_str(), found.subject.as_str()), ("manifest-changed", "blueprint/crm"));
    let other = manifests::digest(&manifest("two")).to_string();
    for fact in [&other, &digest.to_string(), "differ in model", "agent `crm-1`"] {
        assert!(found.evidence.contains(fact), "{}", found.evidence);
    }
    assert!(world.calls(&one, &body).is_ok(), "a session of the approved one goes on");
    assert!(world.asked(&one, &[("sid", &body.sid)]).await.is_ok());
    let swapped = world.asked(&one, &[("sid", &body.sid), ("manifest", &new)]).await.unwrap_err();
    assert_eq!(swapped.row.code, "C6024", "not in the middle of a session");
    let bad = world.asked(&one, &[("manifest", "{}")]).await.unwrap_err();
    assert_eq!((bad.error, bad.row.code), ("invalid_request", "C6025"));
}

#[tokio::test]
async fn a_changed_manifest_is_written_down_once_until_it_is_settled() {
    let world = World::with_blueprint().await;
    let (one, two) = (world.instance("crm-1").await, world.instance("crm-2").await);
    let digest = manifests::digest(&manifest("one"));
    world.blueprint_becomes(|blueprint| blueprint.approve(digest)).await;
    let new = manifest("two").canonical();
    let seq = || async { chancery_store::log::writers(&world.store).await.unwrap()[0].1 };
    assert!(world.asked(&one, &[("manifest", &new)]).await.is_err());
    let written = seq().await;
    for instance in [&one, &two, &one] {
        assert!(world.asked(instance, &[("manifest", &new)]).await.is_err());
    }
    assert_eq!(seq().await, written, "the same again changes nothing");
    world.blueprint_becomes(|blueprint| blueprint).await;
    assert!(world.asked(&two, &[("manifest", &new)]).await.is_err());
    assert_eq!(seq().await, written + 2, "somebody settled it, and it is stated again");
}

#[tokio::test]
async fn an_agents_own_manifest_stands_before_its_blueprints() {
    let world = World::with_blueprint().await;
    let one = world.instance("crm-1").await;
    world.blueprint_becomes(|blueprint| blueprint.approve(Digest([1; 32]))).await;
    world.change("crm-1", |agent| agent.approve(Digest([2; 32]))).await;
    let state = |n: u8| Digest([n; 32]).to_string();
    assert!(world.asked(&one, &[("manifest", &state(1))]).await.is_err());
    assert!(world.asked(&one, &[("manifest", &state(2))]).await.is_ok());
    assert_eq!(findings::open_ones(&world.store).await.unwrap()[0].subject, "crm-1");
}

#[tokio::test]
async fn the_running_copy_stands_in_the_token() {
    let world = World::with_blueprint().await;
    let one = world.instance("crm-1").await;
    let body = world.asked(&one, &[("instance", "pod-7f")]).await.unwrap();
    let payload = body.access_token.expose().split('.').nth(1).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&decode(payload).unwrap()).unwrap();
    assert_eq!(claims["instance"], "pod-7f");
    assert_eq!(world.calls(&one, &body).unwrap().session.instance.as_deref(), Some("pod-7f"));
    let next = world.asked(&one, &[("sid", &body.sid), ("instance", "pod-8a")]).await.unwrap();
    assert_eq!(world.calls(&one, &next).unwrap().session.instance.as_deref(), Some("pod-7f"), "it is the session's");
}

#[tokio::test]
async fn the_list_is_filtered_counted_and_given_in_parts() {
    let world = World::with_blueprint().await;
    let many: Vec<String> = (0..2_500).map(|n| format!("crm-{n:04}")).collect();
    world.registered(&many.iter().map(String::as_str).collect::<Vec<_>>(), "crm").await;
    let list = |filter: AgentFilter, after: Option<&str>, limit| world.auth.list(&filter, after, limit);
    let of_crm = || AgentFilter { blueprint: Some("crm".into()), ..AgentFilter::default() };

    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = list(of_crm(), after.as_deref(), 999);
        assert_eq!(page.total, 2_500);
        seen.extend(names(&page).into_iter().map(str::to_owned));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert!(seen.is_sorted() && seen.len() == 2_500, "every one once, by name");
    assert_eq!(list(AgentFilter::default(), None, 1).total, 2_501);
    assert_eq!(list(AgentFilter { blueprint: Some("ghost".into()), ..AgentFilter::default() }, None, 9).total, 0);

    let prefix = AgentFilter { prefix: Some("crm-12".into()), ..AgentFilter::default() };
    let page = list(prefix, None, 2);
    assert_eq!((names(&page), page.total, page.next.as_deref()), (vec!["crm-1200", "crm-1201"], 100, Some("crm-1201")));
    let exact = list(AgentFilter { prefix: Some("crm-249".into()), ..of_crm() }, None, 10);
    assert_eq!((exact.total, exact.next), (10, None), "a whole last page has none behind it");

    world.change("crm-0007", |agent| Agent { sponsor: "Eve@acme.example".into(), ..agent }).await;
    let text = AgentFilter { text: Some("eVE@".into()), ..AgentFilter::default() };
    assert_eq!(names(&list(text, None, 9)), ["crm-0007"]);
    let sponsor = AgentFilter { sponsor: Some("Eve@acme.example".into()), ..AgentFilter::default() };
    assert_eq!(list(sponsor, None, 9).total, 1);
    let owner = AgentFilter { owner: Some("nobody".into()), ..AgentFilter::default() };
    assert_eq!(list(owner, None, 9).total, 0);

    let standing = |standing| list(AgentFilter { standing: Some(standing), ..AgentFilter::default() }, None, 1).total;
    assert_eq!((standing(Standing::Active), standing(Standing::Registered)), (1, 2_500));
    world.blueprint_becomes(|blueprint| blueprint.suspend().unwrap()).await;
    assert_eq!((standing(Standing::Active), standing(Standing::Suspended)), (1, 2_500));
    world.change("crm", |agent| Agent { expires_at: Timestamp(0), ..agent }).await;
    assert_eq!((standing(Standing::Active), standing(Standing::Expired)), (0, 1));
}
