//! The room from its doors, with a real store on a real disk and a clock that tests move.

use std::collections::HashSet;
use std::sync::Arc;

use chancery_model::{AgentKind, AgentState, BearerUse, Clock, GrantMode, Severity, Span, Timestamp};
use chancery_store::{Store, enrolments};
use tempfile::TempDir;

use crate::testing::{Counting, MockClock};
use crate::{Config, GrantRequest, RegisterError, Registered, Registrar, Registration};

mod blueprints;

pub(crate) const ACTOR: &str = "local:1000";

pub(crate) struct World {
    _dir: TempDir,
    clock: Arc<MockClock>,
    store: Store,
    pub(crate) registrar: Registrar,
}

impl World {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (clock, random) = (MockClock::at(1_795_000_000), Counting::from(1));
        let settings = chancery_store::Config::at(dir.path().join("data"));
        let store = Store::open(&settings, clock.clone(), random.clone()).await.unwrap();
        let registrar = Registrar::new(Config::default(), store.clone(), clock.clone(), random);
        Self { _dir: dir, clock, store, registrar }
    }

    pub(crate) async fn register(&self, name: &str) -> Registered {
        self.registrar.register(&request(name), ACTOR).await.unwrap()
    }

    /// Verbs of the changes in the log, oldest first, each with its actor.
    async fn log(&self) -> Vec<(String, String)> {
        let mut changes = Vec::new();
        let start = chancery_model::Position { writer: self.store.writer(), seq: 0 };
        let mut scan = chancery_store::log::forward(&self.store, start);
        while let Some(segment) = scan.next().await.unwrap() {
            for entry in segment.decoded() {
                let draft = entry.unwrap().draft;
                let Some(change) = draft.change else { continue };
                changes.push((format!("{} {}", change.noun, change.verb), draft.who.human.unwrap()));
            }
        }
        changes
    }
}

fn request(name: &str) -> Registration {
    Registration {
        name: name.into(),
        kind: AgentKind::Agent,
        sponsor: Some("ann@acme.example".into()),
        owner: Some("bob@acme.example".into()),
        purpose: Some("answers customers".into()),
        blueprint: None,
        expires_in: None,
        adopts: None,
    }
}

fn grant_request() -> GrantRequest {
    GrantRequest {
        template: "tool-call".into(),
        principal: r#"Agent::"crm""#.into(),
        resource: r#"Tool::"crm/read""#.into(),
        mode: GrantMode::Autonomous,
        justification: "reads customers".into(),
        expires_at: None,
    }
}

#[tokio::test]
async fn a_registration_has_keepers_a_purpose_and_an_end() {
    let world = World::new().await;
    let agent = world.register("crm").await.agent;
    assert_eq!((agent.state, agent.bearer), (AgentState::Registered, BearerUse::Refused));
    assert_eq!(agent.expires_at, world.clock.now() + Span::days(90));
    assert_eq!(world.registrar.agent("crm").await.unwrap(), agent);
    assert_eq!(world.registrar.agent(agent.id.as_str()).await.unwrap(), agent);
    for (n, wrong) in [
        Registration { sponsor: Some(" ".into()), ..request("a") },
        Registration { owner: None, ..request("a") },
        Registration { purpose: Some("\t-".into()), ..request("a") },
        Registration { expires_in: Some(Span::days(366)), ..request("a") },
        Registration { expires_in: Some(Span(0)), ..request("a") },
        Registration { expires_in: Some(Span::days(-1)), ..request("a") },
        Registration { blueprint: Some("No Name".into()), ..request("a") },
        request("Not A Name"),
    ]
    .iter()
    .enumerate()
    {
        let refused = world.registrar.register(wrong, ACTOR).await.unwrap_err();
        assert_eq!(refused.row().code, "C6003", "case {n}: {refused}");
    }
    assert!(
        world
            .registrar
            .register(&Registration { expires_in: Some(Span::days(365)), ..request("a") }, ACTOR)
            .await
            .is_ok()
    );
    assert_eq!(world.log().await.len(), 2, "what was refused is not in the log");
}

#[tokio::test]
async fn a_name_is_never_reused() {
    let world = World::new().await;
    world.register("crm").await;
    let refused = world.registrar.register(&request("crm"), ACTOR).await.unwrap_err();
    assert!(matches!(refused, RegisterError::NameTaken(name) if name == "crm"));
}

#[tokio::test]
async fn a_code_is_long_different_each_time_and_kept_as_a_hash() {
    let world = World::new().await;
    let mut seen = HashSet::new();
    for n in 0..50 {
        let registered = world.register(&format!("agent-{n}")).await;
        let code = registered.code.code.expose().to_owned();
        assert!(code.strip_prefix("chy-enrol-").is_some_and(|rest| rest.len() * 5 >= 128), "{code}");
        assert!(!format!("{registered:?}").contains(&code));
        let stored = enrolments::get(&world.store, &enrolments::code_hash(&code)).await.unwrap().unwrap();
        assert_eq!((stored.agent, stored.expires_at), (registered.agent.id, world.clock.now() + Span::minutes(15)));
        assert!(seen.insert(code));
    }
}

#[tokio::test]
async fn a_new_code_voids_the_old_one() {
    let world = World::new().await;
    let first = world.register("crm").await.code;
    let second = world.registrar.new_code("crm", ACTOR).await.unwrap();
    let hash = |code: &crate::EnrolmentCode| enrolments::code_hash(code.code.expose());
    assert!(enrolments::get(&world.store, &hash(&first)).await.unwrap().unwrap().used_at.is_some());
    assert!(enrolments::get(&world.store, &hash(&second)).await.unwrap().unwrap().used_at.is_none());
    world.registrar.suspend("crm", "odd calls", ACTOR).await.unwrap();
    assert_eq!(world.registrar.new_code("crm", ACTOR).await.unwrap_err().row().code, "C6004");
}

#[tokio::test]
async fn every_change_is_in_the_log_under_its_actors_name() {
    let world = World::new().await;
    let registrar = &world.registrar;
    world.register("crm").await;
    registrar.suspend("crm", "odd calls", "local:1").await.unwrap();
    registrar.resume("crm", "explained", "local:2").await.unwrap();
    registrar.extend("crm", Span::days(30), "local:3").await.unwrap();
    registrar.set_bearer("crm", BearerUse::Allowed, "old client", "local:4").await.unwrap();
    let grant = registrar.grant(&grant_request(), "local:5").await.unwrap();
    registrar.revoke_grant(grant.id.as_str(), "not needed", "local:6").await.unwrap();
    let log = world.log().await;
    let expected = [
        ("agent register", ACTOR),
        ("agent suspend", "local:1"),
        ("agent resume", "local:2"),
        ("agent extend", "local:3"),
        ("agent allow_bearer", "local:4"),
        ("grant create", "local:5"),
        ("grant revoke", "local:6"),
    ];
    assert_eq!(log, expected.map(|(verb, actor)| (verb.to_owned(), actor.to_owned())));
}

#[tokio::test]
async fn suspending_and_resuming_raise_the_epoch_and_refuse_to_repeat() {
    let world = World::new().await;
    world.register("crm").await;
    assert_eq!(world.registrar.resume("crm", "why not", ACTOR).await.unwrap_err().row().code, "C6004");
    let suspended = world.registrar.suspend("crm", "odd calls", ACTOR).await.unwrap();
    assert_eq!((suspended.state, suspended.epoch), (AgentState::Suspended, 2));
    assert_eq!(world.registrar.suspend("crm", "again", ACTOR).await.unwrap_err().row().code, "C6004");
    assert_eq!(world.registrar.suspend("crm", " ", ACTOR).await.unwrap_err().row().code, "C6003");
    let resumed = world.registrar.resume("crm", "explained", ACTOR).await.unwrap();
    assert_eq!((resumed.state, resumed.epoch), (AgentState::Registered, 3));
    assert_eq!(world.registrar.suspend("nobody", "x", ACTOR).await.unwrap_err().row().code, "C6001");
}

#[tokio::test]
async fn of_many_suspensions_at_once_one_happens() {
    let world = World::new().await;
    world.register("crm").await;
    let tries = (0..8).map(|n| {
        let registrar = world.registrar.clone();
        tokio::spawn(async move { registrar.suspend("crm", "odd calls", &format!("local:{n}")).await.is_ok() })
    });
    let mut happened = 0;
    for task in tries.collect::<Vec<_>>() {
        happened += u32::from(task.await.unwrap());
    }
    assert_eq!(happened, 1);
    assert_eq!(world.registrar.agent("crm").await.unwrap().epoch, 2);
    assert_eq!(world.log().await.iter().filter(|(verb, _)| verb == "agent suspend").count(), 1);
}

#[tokio::test]
async fn an_extension_counts_from_now_and_has_a_limit() {
    let world = World::new().await;
    world.register("crm").await;
    world.clock.advance(Span::days(80));
    let extended = world.registrar.extend("crm", Span::days(365), ACTOR).await.unwrap();
    assert_eq!(extended.expires_at, world.clock.now() + Span::days(365));
    assert_eq!(world.registrar.extend("crm", Span::days(366), ACTOR).await.unwrap_err().row().code, "C6003");
}

#[tokio::test]
async fn allowing_bearer_tokens_is_a_finding_as_long_as_it_lasts() {
    let world = World::new().await;
    world.register("crm").await;
    let allowed = world.registrar.set_bearer("crm", BearerUse::Allowed, "old client", ACTOR).await.unwrap();
    assert_eq!(allowed.bearer, BearerUse::Allowed);
    let findings = world.registrar.findings().await.unwrap();
    assert_eq!((findings.len(), findings[0].rule.as_str(), findings[0].owasp.as_str()), (1, "bearer-allowed", "NHI4"));
    assert_eq!(world.registrar.review_findings().await.unwrap(), 0, "it is known already");
    world.registrar.set_bearer("crm", BearerUse::Refused, "new client", ACTOR).await.unwrap();
    assert!(world.registrar.findings().await.unwrap().is_empty());
    assert!(world.registrar.set_bearer("crm", BearerUse::Allowed, "", ACTOR).await.is_err(), "a reason is mandatory");
}

#[tokio::test]
async fn a_shared_secret_is_a_finding_as_long_as_one_is_live() {
    let world = World::new().await;
    world.register("crm").await;
    for days in [1, 3] {
        world.registrar.new_secret("crm", Span::days(days), "old client", ACTOR).await.unwrap();
    }
    for (later, open) in [(2, 1), (1, 0)] {
        world.clock.advance(Span::days(later));
        world.registrar.review_findings().await.unwrap();
        assert_eq!(world.registrar.findings().await.unwrap().len(), open, "one lasts a day, one three");
    }
}

#[tokio::test]
async fn time_makes_findings_and_people_end_them() {
    let world = World::new().await;
    world.register("crm").await;
    let rules = async || {
        let open = world.registrar.findings().await.unwrap();
        open.into_iter().map(|finding| finding.rule).collect::<Vec<_>>()
    };
    assert_eq!(world.registrar.review_findings().await.unwrap(), 0);
    world.clock.advance(Span::days(7));
    assert_eq!(world.registrar.review_findings().await.unwrap(), 1);
    assert_eq!(rules().await, ["never-enrolled"]);
    world.clock.advance(Span::days(70));
    assert_eq!(world.registrar.review_findings().await.unwrap(), 1);
    assert_eq!(rules().await, ["never-enrolled", "agent-expiring"]);
    assert_eq!(world.registrar.review_findings().await.unwrap(), 0, "nothing new");
    world.registrar.extend("crm", Span::days(90), ACTOR).await.unwrap();
    assert_eq!(rules().await, ["never-enrolled"], "extending ends the finding in the same commit");
    world.clock.advance(Span::days(91));
    world.registrar.review_findings().await.unwrap();
    let expired = world.registrar.findings().await.unwrap().into_iter().find(|f| f.rule == "agent-expiring").unwrap();
    assert_eq!(expired.severity, Severity::Medium);
}

#[tokio::test]
async fn a_grant_says_why_and_to_whom() {
    let world = World::new().await;
    let grant = world.registrar.grant(&grant_request(), ACTOR).await.unwrap();
    assert_eq!((grant.granted_by.as_str(), grant.in_force(world.clock.now())), (ACTOR, true));
    assert_eq!(world.registrar.grants().await.unwrap(), std::slice::from_ref(&grant));
    for (n, wrong) in [
        GrantRequest { justification: " ".into(), ..grant_request() },
        GrantRequest { template: String::new(), ..grant_request() },
        GrantRequest { principal: "crm".into(), ..grant_request() },
        GrantRequest { resource: r#"Tool::"a" or true"#.into(), ..grant_request() },
        GrantRequest { expires_at: Some(world.clock.now()), ..grant_request() },
        GrantRequest { expires_at: Some(Timestamp(0)), ..grant_request() },
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(world.registrar.grant(wrong, ACTOR).await.unwrap_err().row().code, "C6003", "case {n}");
    }
}

#[tokio::test]
async fn a_grant_is_revoked_once() {
    let world = World::new().await;
    let grant = world.registrar.grant(&grant_request(), ACTOR).await.unwrap();
    let id = grant.id.as_str();
    let revoked = world.registrar.revoke_grant(id, "not needed", ACTOR).await.unwrap();
    assert!(!revoked.in_force(world.clock.now()));
    assert_eq!(world.registrar.revoke_grant(id, "again", ACTOR).await.unwrap_err().row().code, "C6004");
    for unknown in ["grt_00000000000000000000000000", "crm", ""] {
        assert_eq!(
            world.registrar.revoke_grant(unknown, "x", ACTOR).await.unwrap_err().row().code,
            "C6007",
            "{unknown}"
        );
    }
}
