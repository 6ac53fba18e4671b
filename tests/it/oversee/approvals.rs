//! A call that needs approval waits for people, runs once as it was approved, and not otherwise.

use chancery_model::Span;
use chancery_testkit::TestApp;
use serde_json::{Value, json};

use super::world::{Client, POLICY, World, ask, list, ran, refused};

#[tokio::test]
async fn what_was_approved_runs_once_and_nothing_else_does() {
    let world = World::start().await;
    let client = world.client().await;
    assert!(ran(&client.refund(200).await), "small ones need nobody");
    let id = ask(&world, &client, 340).await;
    assert_eq!(ask(&world, &client, 340).await, id, "the same call is the same request");
    assert_eq!(world.pending().await.len(), 1);

    let said = world.say("fin", &id, "approve").await;
    assert_eq!(said.status, 200, "{}", said.text());
    assert_eq!(refused(&client.refund(341).await).0, "C2002", "a changed amount is another call");
    let elsewhere = world.client().await;
    assert_eq!(refused(&elsewhere.refund(340).await).0, "C2002", "another session is another call");
    assert!(ran(&client.refund(340).await));
    assert_eq!(refused(&client.refund(340).await).0, "C2002", "once");

    let sent: Vec<i64> = world
        .upstream
        .calls()
        .iter()
        .map(|seen| seen.message["params"]["arguments"]["amount"].as_i64().unwrap())
        .collect();
    assert_eq!(sent, [200, 340]);
    let used = world.app.admin("GET", &format!("/v1/approvals/{id}"), Value::Null).await.ok();
    assert_eq!((&used["state"], &used["votes"][0]["name"]), (&json!("used"), &json!("fin")));
    let log = world.app.log().await;
    for change in ["request approval", "approve approval"] {
        assert!(log.iter().any(|entry| entry["change"] == change), "{change}: {log:#?}");
    }
    let intent = log.iter().rfind(|entry| entry["kind"] == "intent" && entry["tool"] == "refund").unwrap();
    assert_eq!(intent["approval"], json!(id), "{intent}");
}

#[tokio::test]
async fn nobody_is_asked_about_what_would_be_refused_anyway() {
    let world = World::start().await;
    let client = world.client().await;
    assert_eq!(refused(&client.refund(5001).await).0, "C2001");
    let stranger = world.app.agent("stranger").await;
    world.app.admin("POST", "/v1/agents/stranger/bearer", json!({"allow": true})).await.ok();
    assert_eq!(refused(&Client::of(&stranger).await.refund(340).await).0, "C2001", "it has no grant");
    assert!(world.pending().await.is_empty());
}

#[tokio::test]
async fn only_those_who_are_asked_decide_and_what_they_saw() {
    let world = World::start().await;
    let client = world.client().await;
    let id = ask(&world, &client, 340).await;
    for (person, why) in [("bob", "not in the group"), ("stranger", "not in the group")] {
        let said = world.say(person, &id, "approve").await;
        assert_eq!(said.status, 409, "they are not even shown what they would say yes to: {why}");
        let mut browser = world.browser(person).await;
        let page = browser.get(&format!("/approvals/{id}")).await;
        assert!(page.status == 403 && page.text().contains("C2044") && !page.text().contains("340"), "{}", page.text());
    }
    let mut fin = world.browser("fin").await;
    let path = format!("/approvals/{id}");
    let page = fin.get(&path).await.text();
    for shown in
        ["helper", "refund", "amount", "340", "o-1", "the customer &lt;b&gt;insists&lt;/b&gt;", "Approve once", "Deny"]
    {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    let (form, seen) = (chancery_testkit::hidden(&page, "form"), chancery_testkit::hidden(&page, "seen"));
    // Its last digit is 0 for one digest of sixteen.
    let (begin, last) = seen.split_at(seen.len() - 1);
    let other = format!("{begin}{}", if last == "0" { "1" } else { "0" });
    let stale = fin.post(&path, &[("form", &form), ("seen", &other), ("say", "approve"), ("comment", "")]).await;
    assert_eq!(stale.status, 409, "another digest than that of the request");
    let forged = fin.post(&path, &[("form", "x"), ("seen", &seen), ("say", "approve"), ("comment", "")]).await;
    assert_eq!(forged.status, 403, "a form of nobody's");
    let neither = fin.post(&path, &[("form", &form), ("seen", &seen), ("say", "maybe"), ("comment", "")]).await;
    assert_eq!(neither.status, 400);
    assert!(!ran(&client.refund(340).await));
    assert!(world.upstream.calls().is_empty());
}

#[tokio::test]
async fn a_no_stands_and_the_agent_is_told() {
    let world = World::start().await;
    let client = world.client().await;
    let id = ask(&world, &client, 340).await;
    assert_eq!(world.say("ann", &id, "deny").await.status, 200);
    let (code, text) = refused(&client.refund(340).await);
    assert!(code == "C2046" && text.contains("`ann` said no"), "{text}");
    assert_eq!(world.say("fin", &id, "approve").await.status, 409, "it is closed");
    assert!(world.pending().await.is_empty(), "nobody is asked again");
    world.app.clock().advance(Span::minutes(2));
    assert_ne!(ask(&world, &client, 340).await, id, "its time is over");
}

#[tokio::test]
async fn time_a_reload_and_the_end_of_a_session_void_a_yes() {
    let world = World::start().await;
    let client = world.client().await;
    let late = ask(&world, &client, 301).await;
    let reloaded = ask(&world, &client, 302).await;
    assert_eq!(world.say("fin", &late, "approve").await.status, 200);
    world.app.clock().advance(Span::minutes(2));
    assert_ne!(ask(&world, &client, 301).await, late, "a yes is not for later");
    assert_ne!(ask(&world, &client, 302).await, reloaded);

    let id = ask(&world, &client, 303).await;
    assert_eq!(world.say("fin", &id, "approve").await.status, 200);
    world.app.write_policy("approvals.cedar", &POLICY.replace("> 200", "> 100"));
    world.app.admin("POST", "/v1/policies/reload", json!({})).await.ok();
    assert_ne!(ask(&world, &client, 303).await, id, "it was given under other policies");

    let id = ask(&world, &client, 304).await;
    assert_eq!(world.say("fin", &id, "approve").await.status, 200);
    world.app.admin("POST", "/v1/agents/helper/suspend", json!({"reason": "test"})).await.ok();
    assert!(!ran(&client.refund(304).await));
    world.app.admin("POST", "/v1/agents/helper/resume", json!({"reason": "test"})).await.ok();
    assert!(!ran(&client.refund(304).await), "its session is over");
    assert!(!ran(&world.client().await.refund(304).await), "another one is another call");
    assert!(world.upstream.calls().is_empty());
}

#[tokio::test]
async fn several_people_and_several_policies_have_to_agree() {
    let policies = r#"
@id("two") @approvers("ap-finance") @quorum("2")
forbid (principal, action == Action::"s/refund", resource)
when { context.args.amount > 200 } unless { context.approval.granted };

@id("outcome") @outcome("require_approval") @approvers("managers")
permit (principal, action == Action::"s/refund", resource) when { context.args.amount > 1000 };
"#;
    let builder = TestApp::builder().policy("approvals.cedar", policies);
    let world = World::of(builder).await;
    let client = world.client().await;
    let id = ask(&world, &client, 340).await;
    let first = world.say("fin", &id, "approve").await;
    assert!(first.status == 200 && first.text().contains("It needs more people"), "{}", first.text());
    assert_eq!(refused(&client.refund(340).await).0, "C2002");
    assert_eq!(world.say("fin", &id, "approve").await.status, 409, "one person, one vote");
    assert_eq!(world.say("ann", &id, "approve").await.status, 200);
    assert!(ran(&client.refund(340).await));

    let both = ask(&world, &client, 1001).await;
    let asked = world.app.admin("GET", &format!("/v1/approvals/{both}"), Value::Null).await.ok();
    assert_eq!(asked["demands"].as_array().unwrap().len(), 2, "{asked}");
    for person in ["fin", "ann"] {
        assert_eq!(world.say(person, &both, "approve").await.status, 200);
    }
    assert_eq!(refused(&client.refund(1001).await).0, "C2002", "nobody of the managers agreed");
}

#[tokio::test]
async fn an_agent_that_asks_too_much_is_refused() {
    let world = World::start().await;
    let client = world.client().await;
    for amount in 0..10 {
        ask(&world, &client, 300 + amount).await;
    }
    assert_eq!(refused(&client.refund(400).await).0, "C2041");
    assert_eq!(world.pending().await.len(), 10);
    let first = world.pending().await[0]["id"].as_str().unwrap().to_owned();
    let cancel = format!("/v1/approvals/{first}/cancel");
    world.app.admin("POST", &cancel, json!({"reason": "a loop"})).await.ok();
    assert_eq!(world.app.admin("POST", &cancel, json!({})).await.problem(409), "C2043");
    ask(&world, &client, 400).await;
    assert_eq!(list(&world.app, "/v1/approvals?all=true").await.len(), 11);
}

#[tokio::test]
async fn a_request_outlives_a_restart() {
    let world = World::start().await;
    let client = world.client().await;
    let id = ask(&world, &client, 340).await;
    assert_eq!(world.say("fin", &id, "approve").await.status, 200);
    let app = world.app.restart().await;
    let kept = app.admin("GET", &format!("/v1/approvals/{id}"), Value::Null).await.ok();
    assert_eq!(kept["state"], "approved");
}
