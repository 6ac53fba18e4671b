//! The upstream is asked what a call would do before people are asked about it.

use chancery_gateway::Rehearsal;
use chancery_testkit::{HttpUpstream, TestApp};
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::world::{Client, POLICY, World, list, people, ran, refused};

/// A dry run of the same tool is no refund.
const BY_ARGUMENT: &str = r#"
@id("big-refund") @approvers("ap-finance") @approve_within("120")
forbid (principal, action == Action::"s/refund", resource)
when { context.args.amount > 200 && !(context.args has dry_run && context.args.dry_run) }
unless { context.approval.granted };

@id("refund-first")
forbid (principal, action == Action::"s/echo", resource)
unless { context.session.done.contains("s/refund") };
"#;

fn tool(name: &str, properties: Value) -> Value {
    json!({"name": name, "description": "Pays money back, or says what it would pay.", "inputSchema": {
        "type": "object", "properties": properties, "required": ["order", "amount"], "additionalProperties": false,
    }})
}

fn plain(name: &str) -> Value {
    tool(name, json!({"order": {"type": "string"}, "amount": {"type": "integer"}}))
}

/// A server with these tools, of which `refund` is rehearsed so.
async fn world(policy: &str, tools: Value, by: Rehearsal) -> World {
    let upstream = HttpUpstream::start().await;
    upstream.set_tools(tools);
    let builder = TestApp::builder().policy("approvals.cedar", policy).policy("entities.json", &people());
    let builder = builder.http("s", &upstream).config(|config| {
        config.servers.get_mut("s").unwrap().dry_run.insert("refund".to_owned(), by);
    });
    let app = builder.start().await;
    let agent = app.agent("helper").await;
    app.grant("helper", "s").await;
    app.admin("POST", "/v1/agents/helper/bearer", json!({"allow": true})).await.ok();
    app.admin("POST", "/v1/policies/reload", json!({})).await.ok();
    World { app, upstream, agent }
}

async fn previewed() -> World {
    let tools = json!([plain("refund"), plain("preview_refund")]);
    world(POLICY, tools, Rehearsal::Tool("preview_refund".into())).await
}

/// Tools that were called, with their arguments.
fn called(world: &World) -> Vec<(String, Value)> {
    let calls = world.upstream.calls();
    let params = |message: &Value| {
        (message["params"]["name"].as_str().unwrap().to_owned(), message["params"]["arguments"].clone())
    };
    calls.iter().map(|seen| params(&seen.message)).collect()
}

/// The one that waits for people.
async fn asked(world: &World) -> Value {
    let pending = world.pending().await;
    assert_eq!(pending.len(), 1, "{pending:#?}");
    pending[0].clone()
}

fn nothing(asked: &Value) -> &str {
    asked["dry_run"]["foretold"]["nothing"].as_str().unwrap_or_else(|| panic!("{asked:#}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_upstream_is_asked_once_and_people_see_what_it_says() {
    let world = previewed().await;
    let client = world.client().await;
    let arguments = json!({"amount": 340, "order": "o-1"});
    // The same call ten times at once is one question, to people and to the server.
    let refusals = join_all((0..10).map(|_| client.refund(340))).await;
    for refusal in &refusals {
        let (code, text) = refused(refusal);
        assert_eq!(code, "C2002", "{text}");
        assert!(!refusal.to_string().contains("would"), "it is not for the agent: {refusal}");
    }
    assert_eq!(called(&world), [("preview_refund".to_owned(), arguments.clone())]);
    let asked = asked(&world).await;
    let dry_run = &asked["dry_run"];
    assert_eq!(dry_run["foretold"], json!({"effect": "<b>would</b> refund 340 on \"o-1\""}), "{asked:#}");
    assert_eq!(dry_run["tool"], "preview_refund");

    // It was recorded before it was sent, as a call of the agent, and so was what came of it.
    let log = list(&world.app, "/v1/log?limit=50").await;
    let entry = |id: &Value| log.iter().find(|entry| entry["id"] == *id).unwrap_or_else(|| panic!("{log:#?}")).clone();
    let intent = entry(&dry_run["entry"]);
    assert_eq!(
        (&intent["kind"], &intent["tool"], &intent["agent"]),
        (&json!("intent"), &json!("preview_refund"), &json!("helper")),
        "{intent:#}"
    );
    assert!(intent.to_string().contains("a dry run of refund"), "{intent:#}");
    assert_eq!(intent["action"], "dry-run");
    let sent = world.upstream.calls()[0].header("chancery-intent").unwrap().to_owned();
    assert_eq!(dry_run["entry"], sent.as_str());

    let mut browser = world.browser("fin").await;
    let page = browser.get(&format!("/approvals/{}", asked["id"].as_str().unwrap())).await.text();
    assert!(page.contains("&lt;b&gt;would&lt;/b&gt; refund 340"), "quoted, never markup: {page}");
    assert!(!page.contains("<b>would</b>"), "{page}");
    assert_eq!(world.say("fin", asked["id"].as_str().unwrap(), "approve").await.status, 200);
    assert!(ran(&client.refund(340).await));
    assert_eq!(called(&world)[1..], [("refund".to_owned(), arguments)], "what was approved runs, as it was");
}

#[tokio::test]
async fn a_tool_may_be_rehearsed_by_an_argument_that_it_knows() {
    let echo = json!({"name": "echo", "description": "Says it back.", "inputSchema": {"type": "object"}});
    let with = json!({"order": {"type": "string"}, "amount": {"type": "integer"}, "dry_run": {"type": "boolean"}});
    let by = || Rehearsal::Argument("dry_run".into());
    let world_of = async |refund: Value| world(BY_ARGUMENT, json!([refund, echo]), by()).await;
    let knows = world_of(tool("refund", with)).await;
    let client = knows.client().await;
    assert_eq!(refused(&client.refund(340).await).0, "C2002");
    let said = client.call("echo", json!({"text": "sent"}), json!({})).await;
    assert_eq!(refused(&said).0, "C2001", "nothing was refunded yet: {said}");
    assert_eq!(called(&knows), [("refund".to_owned(), json!({"amount": 340, "dry_run": true, "order": "o-1"}))]);
    let asked_of = asked(&knows).await;
    assert_eq!(asked_of["dry_run"]["argument"], "dry_run", "{asked_of:#}");
    assert_eq!(knows.say("fin", asked_of["id"].as_str().unwrap(), "approve").await.status, 200);
    assert!(ran(&client.refund(340).await));
    assert_eq!(called(&knows)[1], ("refund".to_owned(), json!({"amount": 340, "order": "o-1"})), "without it");
    assert!(ran(&client.call("echo", json!({"text": "sent"}), json!({})).await), "now it was");

    // One that does not know the argument, and lets everything through, would simply do it.
    let mut lax = plain("refund");
    lax["inputSchema"]["additionalProperties"] = true.into();
    let lax = world_of(lax).await;
    assert_eq!(refused(&lax.client().await.refund(340).await).0, "C2002");
    assert!(nothing(&asked(&lax).await).contains("no argument `dry_run`"));
    assert!(called(&lax).is_empty());
}

#[tokio::test]
async fn a_dry_run_is_decided_like_any_call() {
    let forbids =
        format!("{POLICY}\n@id(\"no-preview\") forbid (principal, action == Action::\"s/preview_refund\", resource);");
    let tools = json!([plain("refund"), plain("preview_refund")]);
    let world = world(&forbids, tools, Rehearsal::Tool("preview_refund".into())).await;
    assert_eq!(refused(&world.client().await.refund(340).await).0, "C2002", "people are asked all the same");
    assert!(nothing(&asked(&world).await).contains("no-preview"), "{:#}", asked(&world).await);
    assert!(called(&world).is_empty());
}

#[tokio::test]
async fn a_tool_that_changed_is_not_called_for_a_dry_run() {
    let world = previewed().await;
    let mut other = plain("preview_refund");
    other["description"] = "Something else.".into();
    world.upstream.set_tools(json!([plain("refund"), other]));
    world.agent.tools("s").await;
    assert_eq!(refused(&world.client().await.refund(340).await).0, "C2002");
    assert!(nothing(&asked(&world).await).contains("new or changed"), "{:#}", asked(&world).await);
    assert!(called(&world).is_empty());
}

#[tokio::test]
async fn a_server_that_does_not_answer_holds_nobody_up_for_long() {
    let world = previewed().await;
    let client = world.client().await;
    let slow = client.call("refund", json!({"order": "o-slow", "amount": 340}), json!({}));
    let answer = tokio::time::timeout(std::time::Duration::from_secs(20), slow).await.expect("an answer");
    assert_eq!(refused(&answer).0, "C2002");
    assert_eq!(nothing(&asked(&world).await), "no answer came within 5 seconds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_cuts_a_dry_run_and_nobody_is_asked() {
    let world = previewed().await;
    let client: Client = world.client().await;
    let calling =
        tokio::spawn(async move { client.call("refund", json!({"order": "o-slow", "amount": 340}), json!({})).await });
    for _ in 0..500 {
        if !called(&world).is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let kill = json!({"scope": "agent", "subject": "helper", "reason": "odd refunds"});
    let thrown = world.app.admin("POST", "/v1/containments", kill).await.ok();
    let calls =
        thrown["confirmations"].as_array().unwrap().iter().find(|point| point["point"] == "calls").unwrap().clone();
    assert_eq!(calls["stopped"], 1, "{thrown:#}");
    let told = tokio::time::timeout(std::time::Duration::from_secs(3), calling).await.expect("at once").unwrap();
    assert_eq!(refused(&told).0, "C2050", "{told}");
    let all = list(&world.app, "/v1/approvals?all=true").await;
    assert!(all.is_empty(), "{all:#?}");
}

#[tokio::test]
async fn erasing_what_was_asked_erases_what_was_foretold() {
    let world = previewed().await;
    assert_eq!(refused(&world.client().await.refund(340).await).0, "C2002");
    let id = asked(&world).await["id"].as_str().unwrap().to_owned();
    let log = list(&world.app, "/v1/log?limit=50").await;
    let entry = log.iter().find(|entry| entry["change"] == "request approval").expect("its entry");
    let erase = format!("/v1/log/{}/erase", entry["id"].as_str().unwrap());
    world.app.admin("POST", &erase, json!({"body": "dry_run", "reason": "asked for"})).await.ok();
    let after = world.app.admin("GET", &format!("/v1/approvals/{id}"), Value::Null).await.ok();
    assert!(after["dry_run"].is_null() && after["arguments"].is_null(), "{after:#}");
    assert_eq!(after["state"], "cancelled", "nobody can say yes to what nobody can see");
}
