//! What is written is what is read.

use std::collections::BTreeMap;

use chancery_model::{
    AgentState, AskId, Consent, Digest, Epoch, Finding, Grant, GrantId, GrantMode, Limit, LoginId, Person, PersonId,
    PersonState, Server, Session, SessionId, SessionState, Severity, Span, Timestamp, Tool, ToolState,
};

use super::{Counting, agent, draft, open, place};
use crate::backchannel::Backchannel;
use crate::connections::SealedConnection;
use crate::enrolments::Enrolment;
use crate::keys::SealedKey;
use crate::policies::PolicySet;
use crate::secrets::SealedSecret;
use crate::{
    BoxFuture, Store, StoreError, Tx, agents, backchannel, connections, enrolments, findings, grants, keys, persons,
    policies, secrets, servers, sessions, tools,
};

async fn write<T, F>(store: &Store, change: F) -> Result<T, StoreError>
where
    T: Send + 'static,
    F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, StoreError>> + Send + 'static,
{
    store.write(draft("change"), change).await.map(|written| written.value)
}

const NOW: Timestamp = Timestamp(1_795_000_000_000_000);

fn later(seconds: i64) -> Timestamp {
    NOW + Span::seconds(seconds)
}

fn person(name: &str) -> Person {
    Person {
        id: PersonId::new(NOW, &Counting(2.into())),
        name: name.into(),
        display: None,
        state: PersonState::Active,
        roles: Vec::new(),
        epoch: Epoch::default(),
        created_at: NOW,
    }
}

#[tokio::test]
async fn agents_and_their_codes() {
    let dir = place();
    let store = open(&dir).await;
    let crm = agent("crm", 1);
    let new = crm.clone();
    write(&store, move |tx| Box::pin(async move { agents::insert(tx, &new).await })).await.unwrap();
    assert_eq!(agents::all(&store).await.unwrap(), std::slice::from_ref(&crm));

    let code = |n: u8| Enrolment {
        code_hash: [n; 32],
        agent: crm.id.clone(),
        created_at: NOW,
        expires_at: later(900),
        used_at: None,
    };
    for n in [1, 2] {
        let new = code(n);
        write(&store, move |tx| Box::pin(async move { enrolments::insert(tx, &new).await })).await.unwrap();
    }
    let redeem = |hash: [u8; 32], at: Timestamp| {
        write(&store, move |tx| Box::pin(async move { enrolments::redeem(tx, &hash, at).await }))
    };
    assert_eq!(redeem([1; 32], NOW).await.unwrap(), None, "a newer code makes the older void");
    assert_eq!(redeem([2; 32], later(900)).await.unwrap(), None, "expired");
    assert_eq!(redeem([2; 32], NOW).await.unwrap(), Some(crm.id.clone()));
    assert_eq!(redeem([2; 32], NOW).await.unwrap(), None, "used");
    assert!(enrolments::get(&store, &[2; 32]).await.unwrap().unwrap().used_at.is_some());

    let active = crm.enrol("thumb".into(), "{}".into()).unwrap();
    let changed = active.clone();
    write(&store, move |tx| Box::pin(async move { agents::update(tx, &changed).await })).await.unwrap();
    let found = agents::by_name(&store, "crm").await.unwrap().unwrap();
    assert_eq!((found.state, found.epoch), (AgentState::Active, 1));
    assert_eq!(found, active);
    let unknown = agent("nobody", 9);
    let missing = write(&store, move |tx| Box::pin(async move { agents::update(tx, &unknown).await })).await;
    assert!(matches!(missing, Err(StoreError::Missing { noun: "agent", .. })));
}

#[tokio::test]
async fn the_highest_number_behind_a_prefix_is_found() {
    let dir = place();
    let store = open(&dir).await;
    let huge = format!("crew-{}", "9".repeat(40));
    let names = ["crew-7", "crew-0012", "crew-x", "crew-1x", "crew-", "crewman-99", "crews-50", "other-3"];
    for (number, name) in names.into_iter().enumerate() {
        let new = agent(name, number as u64);
        write(&store, move |tx| Box::pin(async move { agents::insert(tx, &new).await })).await.unwrap();
    }
    assert_eq!(agents::last_number(&store, "crew").await.unwrap(), 12);
    assert_eq!(agents::last_number(&store, "nobody").await.unwrap(), 0);
    let new = agent(&huge, 99);
    write(&store, move |tx| Box::pin(async move { agents::insert(tx, &new).await })).await.unwrap();
    assert_eq!(agents::last_number(&store, "crew").await.unwrap(), i64::MAX.unsigned_abs());
}

#[tokio::test]
async fn sessions_belong_to_agents() {
    let dir = place();
    let store = open(&dir).await;
    let crm = agent("crm", 1);
    let session = Session {
        id: SessionId::new(NOW, &Counting(5.into())),
        agent: crm.id.clone(),
        instance: Some("one".into()),
        epoch: 1,
        state: SessionState::Open,
        opened_at: NOW,
        ends_at: later(60),
        idle: Span::seconds(10),
        used_at: NOW,
        parent: None,
        human: None,
        human_epoch: 0,
        purpose: Some("quarter end".into()),
        limits: Limit::read(r#"[{"type":"mcp_tool","server":"crm","constraints":{"n":{"max":2.5}}}]"#).unwrap().into(),
        presence_at: None,
        manifest: Some(Digest([7; 32])),
        client: Some("https://app.example/client.json".into()),
    };
    let orphan = session.clone();
    let refused = write(&store, move |tx| Box::pin(async move { sessions::insert(tx, &orphan).await })).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "a session of nobody");
    let (owner, new) = (crm.clone(), session.clone());
    write(&store, move |tx| {
        Box::pin(async move {
            agents::insert(tx, &owner).await?;
            sessions::insert(tx, &new).await
        })
    })
    .await
    .unwrap();
    assert_eq!(sessions::open(&store, NOW).await.unwrap(), std::slice::from_ref(&session));
    assert_eq!(sessions::open(&store, later(60)).await.unwrap(), []);
    let ended = Session { state: SessionState::Ended, used_at: later(1), presence_at: Some(later(1)), ..session };
    let change = ended.clone();
    write(&store, move |tx| Box::pin(async move { sessions::update(tx, &change).await })).await.unwrap();
    assert_eq!(sessions::open(&store, NOW).await.unwrap(), []);
    assert_eq!(sessions::get(&store, &ended.id).await.unwrap(), Some(ended.clone()));
    assert_eq!(sessions::of_agent(&store, &crm.id).await.unwrap(), [ended]);
}

#[tokio::test]
async fn grants_end() {
    let dir = place();
    let store = open(&dir).await;
    let grant = Grant {
        id: GrantId::new(NOW, &Counting(5.into())),
        template: "call-tool".into(),
        principal: "Agent::\"crm\"".into(),
        resource: "Tool::\"billing/refund\"".into(),
        mode: GrantMode::Autonomous,
        justification: "quarter end".into(),
        granted_by: "ada@example.com".into(),
        created_at: NOW,
        expires_at: Some(later(60)),
        revoked_at: None,
    };
    let new = grant.clone();
    write(&store, move |tx| Box::pin(async move { grants::insert(tx, &new).await })).await.unwrap();
    assert_eq!(grants::in_force(&store, NOW).await.unwrap(), std::slice::from_ref(&grant));
    assert_eq!(grants::in_force(&store, later(60)).await.unwrap(), []);
    assert_eq!(grants::of_principal(&store, "Agent::\"crm\"").await.unwrap().len(), 1);
    let revoked = Grant { revoked_at: Some(later(1)), ..grant };
    let change = revoked.clone();
    write(&store, move |tx| Box::pin(async move { grants::update(tx, &change).await })).await.unwrap();
    assert_eq!(grants::in_force(&store, NOW).await.unwrap(), []);
    assert_eq!(grants::get(&store, &revoked.id).await.unwrap(), Some(revoked.clone()));
    assert_eq!(grants::all(&store).await.unwrap(), [revoked]);
}

#[tokio::test]
async fn tools_of_servers() {
    let dir = place();
    let store = open(&dir).await;
    let tool = Tool {
        server: "billing".into(),
        name: "refund".into(),
        state: ToolState::Pinned,
        digest: [1; 32],
        definition: "{}".into(),
        seen: None,
        since: NOW,
    };
    let changed = Tool { state: ToolState::Quarantined, seen: Some(([2; 32], "{\"new\":1}".into())), ..tool.clone() };
    for version in [tool, changed.clone()] {
        write(&store, move |tx| {
            Box::pin(async move {
                servers::insert(tx, &Server { name: "billing".into(), first_seen: NOW }).await?;
                tools::put(tx, &version).await
            })
        })
        .await
        .unwrap();
    }
    assert_eq!(tools::get(&store, "billing", "refund").await.unwrap(), Some(changed.clone()));
    assert_eq!(tools::of_server(&store, "billing").await.unwrap(), std::slice::from_ref(&changed));
    assert_eq!(tools::all(&store).await.unwrap(), [changed]);
    assert_eq!(servers::all(&store).await.unwrap(), [Server { name: "billing".into(), first_seen: NOW }]);
}

#[tokio::test]
async fn sealed_things_show_nothing_of_themselves() {
    let dir = place();
    let store = open(&dir).await;
    let key = SealedKey {
        id: "k1".into(),
        purpose: "token".into(),
        public: "{}".into(),
        sealed: b"sealed".to_vec(),
        kek_version: 1,
        created_at: NOW,
        retired_at: None,
    };
    let secret =
        SealedSecret { name: "stripe".into(), version: 1, sealed: b"sealed".to_vec(), kek_version: 1, updated_at: NOW };
    assert!(!format!("{key:?}{secret:?}").contains("sealed:"));
    let (new_key, new_secret) = (key.clone(), secret.clone());
    write(&store, move |tx| {
        Box::pin(async move {
            keys::insert(tx, &new_key).await?;
            secrets::put(tx, &new_secret).await
        })
    })
    .await
    .unwrap();
    assert_eq!(keys::of_purpose(&store, "token").await.unwrap(), [key]);
    assert_eq!(secrets::get(&store, "stripe").await.unwrap(), Some(secret.clone()));
    let gone = write(&store, |tx| {
        Box::pin(async move {
            keys::retire(tx, "k1", later(1)).await?;
            keys::reseal(tx, "k1", b"other".to_vec(), 2).await?;
            secrets::remove(tx, "stripe").await
        })
    });
    assert!(gone.await.unwrap());
    let key = keys::of_purpose(&store, "token").await.unwrap().remove(0);
    assert_eq!((key.retired_at, key.kek_version, key.sealed), (Some(later(1)), 2, b"other".to_vec()));
    assert_eq!(secrets::all(&store).await.unwrap(), []);
}

#[tokio::test]
async fn one_open_finding_per_rule_and_subject() {
    let dir = place();
    let store = open(&dir).await;
    let finding = |evidence: &str, at: Timestamp| Finding {
        rule: "bearer-allowed".into(),
        subject: "crm".into(),
        severity: Severity::Medium,
        evidence: evidence.into(),
        owasp: "NHI4".into(),
        opened_at: at,
        closed_at: None,
    };
    for (evidence, at) in [("first", NOW), ("second", later(1))] {
        let new = finding(evidence, at);
        write(&store, move |tx| Box::pin(async move { findings::open(tx, &new).await })).await.unwrap();
    }
    assert_eq!(findings::open_ones(&store).await.unwrap(), [finding("second", NOW)]);
    let close =
        || write(&store, |tx| Box::pin(async move { findings::close(tx, "bearer-allowed", "crm", later(2)).await }));
    assert!(close().await.unwrap());
    assert!(!close().await.unwrap());
    let again = finding("again", later(3));
    write(&store, move |tx| Box::pin(async move { findings::open(tx, &again).await })).await.unwrap();
    assert_eq!(findings::all(&store).await.unwrap().len(), 2);
    assert_eq!(findings::open_ones(&store).await.unwrap().len(), 1);
}

#[tokio::test]
async fn policy_sets_are_kept_as_they_were() {
    let dir = place();
    let store = open(&dir).await;
    let set = |version: &str, at: Timestamp| PolicySet {
        version: version.into(),
        files: BTreeMap::from([("a.cedar".to_owned(), format!("// {version}"))]),
        loaded_at: at,
    };
    for (version, at) in [("v1", NOW), ("v2", later(1)), ("v1", later(2))] {
        let new = set(version, at);
        write(&store, move |tx| Box::pin(async move { policies::put(tx, &new).await })).await.unwrap();
    }
    assert_eq!(policies::newest(&store).await.unwrap(), Some(set("v1", later(2))));
    assert_eq!(policies::get(&store, "v2").await.unwrap(), Some(set("v2", later(1))));
    assert_eq!(policies::get(&store, "v3").await.unwrap(), None);
}

#[tokio::test]
async fn connections_are_replaced_as_a_whole_and_removed() {
    let dir = place();
    let store = open(&dir).await;
    let first = SealedConnection {
        id: "crm".into(),
        server: "crm".into(),
        person: None,
        open: true,
        issuer: "https://as.example".into(),
        client_id: "us".into(),
        scopes: "read write".into(),
        version: 1,
        sealed: b"sealed: tokens".to_vec(),
        kek_version: 1,
        connected_at: NOW,
        expires_at: Some(later(60)),
    };
    let own = SealedConnection { id: "crm/mara".into(), person: Some("mara".into()), ..first.clone() };
    let second =
        SealedConnection { open: false, version: 2, expires_at: None, sealed: b"other".to_vec(), ..first.clone() };
    assert!(!format!("{first:?}").contains("sealed:"));
    for new in [first, own.clone(), second.clone()] {
        write(&store, move |tx| Box::pin(async move { connections::put(tx, &new).await })).await.unwrap();
    }
    assert_eq!(connections::all(&store).await.unwrap(), [second.clone(), own.clone()]);
    assert_eq!(connections::get(&store, "billing").await.unwrap(), None);
    assert_eq!(connections::get(&store, "crm/mara").await.unwrap(), Some(own));
}

#[tokio::test]
async fn a_question_to_a_person_is_answered_once_and_redeemed_once() {
    let dir = place();
    let store = open(&dir).await;
    let (crm, mara) = (agent("crm", 1), person("mara@example.com"));
    let asked = Backchannel {
        id: AskId::new(NOW, &Counting(3.into())),
        hash: [7; 32],
        client: crm.id.to_string(),
        agent: crm.id.clone(),
        person: mara.id.clone(),
        resource: "http://c/mcp/crm".into(),
        limits: vec![Limit::McpPrompt { server: "crm".into(), prompts: Vec::new() }],
        message: Some("W4SCT – 12 €".into()),
        key: Some([9; 32]),
        created_at: NOW,
        expires_at: later(600),
        answered_at: None,
        consent: None,
        session: None,
    };
    let new = asked.clone();
    let insert = write(&store, move |tx| {
        Box::pin(async move {
            agents::insert(tx, &crm).await?;
            persons::insert(tx, &mara).await?;
            backchannel::insert(tx, &new).await
        })
    });
    insert.await.unwrap();
    assert_eq!(backchannel::get(&store, &[7; 32]).await.unwrap().as_ref(), Some(&asked));
    assert_eq!(backchannel::waiting(&store, &asked.person, later(599)).await.unwrap(), std::slice::from_ref(&asked));
    assert!(backchannel::waiting(&store, &asked.person, later(600)).await.unwrap().is_empty(), "its time is over");
    assert_eq!(backchannel::waiting_of(&store, &asked.client, NOW).await.unwrap(), 1);

    let consent = Consent {
        agent: asked.agent.clone(),
        agent_epoch: Epoch::default(),
        client: asked.client.clone(),
        person: asked.person.clone(),
        person_epoch: Epoch::default(),
        login: LoginId::new(NOW, &Counting(4.into())),
        present_at: NOW,
        resource: asked.resource.clone(),
        limits: asked.limits.clone(),
        until: later(3_600),
    };
    let answer = async |at: Timestamp| {
        let consent = consent.clone();
        write(&store, move |tx| Box::pin(async move { backchannel::answer(tx, &[7; 32], Some(&consent), at).await }))
            .await
            .unwrap()
    };
    let session = SessionId::new(NOW, &Counting(5.into()));
    let redeem = async || {
        let session = session.clone();
        write(&store, move |tx| Box::pin(async move { backchannel::redeem(tx, &[7; 32], &session).await }))
            .await
            .unwrap()
    };
    assert!(!redeem().await, "nobody allowed it yet");
    assert_eq!([answer(later(600)).await, answer(later(9)).await, answer(later(10)).await], [false, true, false]);
    assert_eq!([redeem().await, redeem().await], [true, false]);
    let kept = backchannel::get(&store, &[7; 32]).await.unwrap().unwrap();
    assert_eq!((kept.answered_at, kept.consent, kept.session), (Some(later(9)), Some(consent), Some(session)));
}

pub(super) const ON_BOTH: &[chancery_lend::Case] = chancery_lend::cases![
    agents_and_their_codes,
    the_highest_number_behind_a_prefix_is_found,
    sessions_belong_to_agents,
    grants_end,
    tools_of_servers,
    sealed_things_show_nothing_of_themselves,
    one_open_finding_per_rule_and_subject,
    policy_sets_are_kept_as_they_were,
    connections_are_replaced_as_a_whole_and_removed,
    a_question_to_a_person_is_answered_once_and_redeemed_once,
];
