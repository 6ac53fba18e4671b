//! Blueprints, many instances at once, and what they are made of.

use chancery_model::{AgentKind, BlueprintState, Clock, Digest, Finding, Manifest, Seen, Severity, Span, Timestamp};
use chancery_store::{enrolments, findings, manifests};

use super::{ACTOR, World, request};
use crate::{Approval, BlueprintRequest, Instances, Names, RegisterError, Registration};

fn blueprint(name: &str) -> BlueprintRequest {
    BlueprintRequest {
        name: name.into(),
        sponsor: "ann@acme.example".into(),
        owner: "bob@acme.example".into(),
        purpose: "answers customers".into(),
        lifetime: Some(Span::days(30)),
    }
}

fn instances(names: Names) -> Instances {
    Instances {
        names,
        kind: AgentKind::Agent,
        sponsor: None,
        owner: None,
        purpose: None,
        expires_in: None,
        codes: false,
    }
}

fn these(names: &[&str]) -> Instances {
    instances(Names::These(names.iter().map(|name| (*name).to_owned()).collect()))
}

fn numbered(count: usize) -> Instances {
    instances(Names::Numbered { count, prefix: None })
}

fn manifest(model: &str) -> Manifest {
    Manifest { model: model.into(), prompt_digest: Digest([1; 32]), tools_digest: Digest([2; 32]), version: None }
}

impl World {
    async fn with_blueprint() -> Self {
        let world = Self::new().await;
        world.registrar.create_blueprint(&blueprint("crm"), ACTOR).await.unwrap();
        world
    }

    async fn make(&self, request: &Instances) -> Result<Vec<String>, RegisterError> {
        let made = self.registrar.instantiate("crm", request, ACTOR).await?;
        Ok(made.instances.into_iter().map(|instance| instance.name).collect())
    }

    /// Somebody states a manifest that is not the approved one, as the token endpoint would write it down.
    async fn state(&self, holder: &str, subject: &str, manifest: Manifest) -> Digest {
        let now = self.clock.now();
        let digest = manifests::digest(&manifest);
        let seen = Seen { digest, manifest: Some(manifest), by: "crm-1".into(), at: now };
        let finding = Finding {
            rule: Finding::MANIFEST_CHANGED.into(),
            subject: subject.into(),
            severity: Severity::High,
            evidence: "x".into(),
            owasp: "ASI04".into(),
            opened_at: now,
            closed_at: None,
        };
        let holder = holder.to_owned();
        let draft = chancery_model::Draft { kind: chancery_model::Kind::Change, at: now, ..Default::default() };
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                findings::open(tx, &finding).await?;
                manifests::state(tx, &holder, &seen).await
            })
        });
        write.await.unwrap();
        digest
    }
}

#[tokio::test]
async fn a_blueprint_has_keepers_and_a_name_of_its_own() {
    let world = World::with_blueprint().await;
    let registrar = &world.registrar;
    let made = registrar.blueprint("crm").await.unwrap();
    assert_eq!((made.state, made.epoch, made.lifetime), (BlueprintState::Active, 1, Span::days(30)));
    assert_eq!(registrar.blueprints().await.unwrap(), [made]);
    assert_eq!(registrar.create_blueprint(&blueprint("crm"), ACTOR).await.unwrap_err().row().code, "C6021");
    assert_eq!(registrar.blueprint("ghost").await.unwrap_err().row().code, "C6020");
    for wrong in [
        BlueprintRequest { sponsor: " ".into(), ..blueprint("a") },
        BlueprintRequest { owner: String::new(), ..blueprint("a") },
        BlueprintRequest { purpose: "-".into(), ..blueprint("a") },
        BlueprintRequest { lifetime: Some(Span::days(366)), ..blueprint("a") },
        blueprint("No Name"),
    ] {
        assert_eq!(registrar.create_blueprint(&wrong, ACTOR).await.unwrap_err().row().code, "C6003", "{wrong:?}");
    }
}

#[tokio::test]
async fn an_instance_inherits_what_it_does_not_say() {
    let world = World::with_blueprint().await;
    world.make(&these(&["crm-a"])).await.unwrap();
    let own =
        Instances { owner: Some("eve@acme.example".into()), expires_in: Some(Span::days(1)), ..these(&["crm-b"]) };
    world.make(&own).await.unwrap();
    let (a, b) = (world.registrar.agent("crm-a").await.unwrap(), world.registrar.agent("crm-b").await.unwrap());
    assert_eq!((a.sponsor.as_str(), a.owner.as_str()), ("ann@acme.example", "bob@acme.example"));
    assert_eq!((a.purpose.as_str(), a.blueprint.as_deref()), ("answers customers", Some("crm")));
    assert_eq!(a.expires_at, world.clock.now() + Span::days(30));
    assert_eq!((b.owner.as_str(), b.expires_at), ("eve@acme.example", world.clock.now() + Span::days(1)));

    let one = Registration { sponsor: None, owner: None, blueprint: Some("crm".into()), ..request("crm-c") };
    let registered = world.registrar.register(&one, ACTOR).await.unwrap().agent;
    assert_eq!((registered.sponsor, registered.expires_at), (a.sponsor, a.expires_at));
    let ghost = Registration { blueprint: Some("ghost".into()), ..request("x") };
    assert_eq!(world.registrar.register(&ghost, ACTOR).await.unwrap_err().row().code, "C6020");
}

#[tokio::test]
async fn one_bad_name_refuses_the_whole_batch() {
    let world = World::with_blueprint().await;
    world.make(&these(&["crm-a"])).await.unwrap();
    let before = world.log().await.len();
    for (names, told) in [
        (vec!["crm-b", "Bad Name", "crm-c"], "1 of 3: `Bad Name` is not 1 to 63"),
        (vec!["crm-b", "crm-b"], "1 of 2: `crm-b` comes twice"),
        (vec!["crm-b", "crm-a"], "1 of 2: `crm-a` is taken"),
        (vec!["", "-", "A", "B", "C", "D", "E"], "; and 2 more"),
    ] {
        let refused = world.make(&these(&names)).await.unwrap_err();
        assert_eq!(refused.row().code, "C6023");
        assert!(refused.to_string().contains(told), "{refused}");
    }
    assert_eq!(world.make(&these(&[])).await.unwrap_err().row().code, "C6003");
    assert_eq!(world.make(&numbered(1_001)).await.unwrap_err().row().code, "C6003");
    let long: Vec<String> = (0..1_000).map(|n| format!("{n:0>63}")).collect();
    assert_eq!(world.make(&instances(Names::These(long))).await.unwrap_err().row().code, "C6003");
    assert_eq!(world.registrar.agents().await.unwrap().len(), 1, "none of a refused batch was made");
    assert_eq!(world.log().await.len(), before);
}

#[tokio::test]
async fn numbers_go_on_where_they_ended() {
    let world = World::with_blueprint().await;
    assert_eq!(world.make(&numbered(2)).await.unwrap(), ["crm-00001", "crm-00002"]);
    world.make(&these(&["crm-7", "crm-9x", "crm-"])).await.unwrap();
    assert_eq!(world.make(&numbered(1)).await.unwrap(), ["crm-00008"]);
    let other = instances(Names::Numbered { count: 1, prefix: Some("crm-oslo".into()) });
    assert_eq!(world.make(&other).await.unwrap(), ["crm-oslo-00001"]);
    assert_eq!(world.make(&numbered(1)).await.unwrap(), ["crm-00009"]);
    let tasks = (0..4).map(|_| {
        let registrar = world.registrar.clone();
        tokio::spawn(async move { registrar.instantiate("crm", &numbered(50), ACTOR).await.map(drop) })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap().unwrap();
    }
    assert_eq!(world.registrar.agents().await.unwrap().len(), 8 + 200);
}

#[tokio::test]
async fn a_batch_is_one_entry_that_lists_it_and_each_code_enrols_its_own() {
    let world = World::with_blueprint().await;
    let made = world.registrar.instantiate("crm", &Instances { codes: true, ..numbered(3) }, "local:7").await.unwrap();
    for instance in &made.instances {
        let hash = enrolments::code_hash(instance.code.as_ref().unwrap().code.expose());
        assert_eq!(enrolments::get(&world.store, &hash).await.unwrap().unwrap().agent, instance.id);
    }
    let log = world.log().await;
    assert_eq!(
        log,
        [("blueprint create".into(), ACTOR.into()), ("blueprint instantiate".into(), "local:7".to_owned())]
    );
    let start = chancery_model::Position { writer: world.store.writer(), seq: 1 };
    let segment = chancery_store::log::segment(&world.store, start).await.unwrap().unwrap();
    let entry = chancery_model::Entry::decode(segment.entry(1).unwrap()).unwrap();
    let after = entry.draft.change.unwrap().after.unwrap();
    assert!(after.contains(r#""instances":["crm-00001","crm-00002","crm-00003"]"#), "{after}");
    let code = made.instances[0].code.as_ref().unwrap().code.expose();
    assert!(!after.contains(code), "a code is in the log");
}

#[tokio::test]
async fn a_stopped_blueprint_takes_no_instances() {
    let world = World::with_blueprint().await;
    let registrar = &world.registrar;
    assert_eq!(registrar.resume_blueprint("crm", "x", ACTOR).await.unwrap_err().row().code, "C6022");
    assert_eq!(registrar.suspend_blueprint("crm", " ", ACTOR).await.unwrap_err().row().code, "C6003");
    let stopped = registrar.suspend_blueprint("crm", "a bad prompt", ACTOR).await.unwrap();
    assert_eq!((stopped.state, stopped.epoch), (BlueprintState::Suspended, 2));
    assert_eq!(world.make(&numbered(1)).await.unwrap_err().row().code, "C6022");
    let one = Registration { blueprint: Some("crm".into()), ..request("x") };
    assert_eq!(registrar.register(&one, ACTOR).await.unwrap_err().row().code, "C6022");
    assert_eq!(registrar.resume_blueprint("crm", "mended", ACTOR).await.unwrap().epoch, 3);
    assert_eq!(world.make(&numbered(1)).await.unwrap(), ["crm-00001"]);
}

#[tokio::test]
async fn approved_is_what_was_looked_at() {
    let world = World::with_blueprint().await;
    let registrar = &world.registrar;
    let id = registrar.blueprint("crm").await.unwrap().id.to_string();
    let unseen = Approval::Seen(Digest([9; 32]));
    assert_eq!(registrar.approve_blueprint("crm", &unseen, ACTOR).await.unwrap_err().row().code, "C6026");

    let first = registrar.approve_blueprint("crm", &Approval::Whole(manifest("one")), ACTOR).await.unwrap();
    assert_eq!((first.manifest, first.epoch), (Some(manifests::digest(&manifest("one"))), 2));
    let two = world.state(&id, "blueprint/crm", manifest("two")).await;
    assert_eq!(registrar.findings().await.unwrap().len(), 1);
    assert_eq!(registrar.review_findings().await.unwrap(), 0, "only people settle it");
    let three = world.state(&id, "blueprint/crm", manifest("three")).await;
    assert_eq!(registrar.approve_blueprint("crm", &Approval::Seen(two), ACTOR).await.unwrap_err().row().code, "C6026");
    let known = registrar.blueprint_manifest("crm").await.unwrap();
    assert_eq!((known.approved, known.seen.unwrap().manifest), (Some(manifest("one")), Some(manifest("three"))));

    let third = registrar.approve_blueprint("crm", &Approval::Seen(three), ACTOR).await.unwrap();
    assert_eq!((third.manifest, third.epoch), (Some(three), 3));
    let known = registrar.blueprint_manifest("crm").await.unwrap();
    assert_eq!((known.approved, known.seen), (Some(manifest("three")), None));
    assert!(registrar.findings().await.unwrap().is_empty(), "approving it settles the finding");
}

#[tokio::test]
async fn keeping_the_approved_manifest_settles_the_finding_and_ends_nothing() {
    let world = World::new().await;
    let registrar = &world.registrar;
    let id = world.register("crm").await.agent.id.to_string();
    let kept = registrar.approve_agent("crm", &Approval::Whole(manifest("one")), ACTOR).await.unwrap();
    world.state(&id, "crm", manifest("two")).await;
    let again = registrar.approve_agent("crm", &Approval::Seen(kept.manifest.unwrap()), ACTOR).await.unwrap();
    assert_eq!((again.manifest, again.epoch), (kept.manifest, kept.epoch));
    let known = registrar.agent_manifest("crm").await.unwrap();
    assert_eq!((known.approved, known.seen), (Some(manifest("one")), None));
    assert!(registrar.findings().await.unwrap().is_empty());
    let verbs: Vec<String> =
        world.log().await.into_iter().map(|(verb, _)| verb).filter(|v| v.contains("manifest")).collect();
    assert_eq!(verbs, ["agent approve_manifest", "agent keep_manifest"]);
}

#[tokio::test]
async fn a_manifest_survives_in_the_store() {
    let world = World::with_blueprint().await;
    let id = world.registrar.blueprint("crm").await.unwrap().id.to_string();
    let digest = world.state(&id, "blueprint/crm", manifest("two")).await;
    let seen = manifests::get(&world.store, &id).await.unwrap().seen.unwrap();
    assert_eq!((seen.digest, seen.by.as_str(), seen.at), (digest, "crm-1", world.clock.now()));
    assert_eq!(manifests::get(&world.store, "agt_nobody").await.unwrap(), manifests::Known::default());
    assert!(world.clock.now() > Timestamp(0));
}
