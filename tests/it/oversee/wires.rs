//! How clients of each revision of MCP are told that people have to approve a call, and go on from there.

use std::time::Duration;

use serde_json::{Value, json};

use super::world::{World, ran, refused};

const QUESTION: &str = "chancery/approval";

/// The id of the request that an address is of.
fn id(url: &Value) -> String {
    url.as_str().unwrap().rsplit('/').next().unwrap().to_owned()
}

fn accepted(asked: &Value, action: &str) -> Value {
    json!({
        "inputResponses": {QUESTION: {"action": action}},
        "requestState": asked["result"]["requestState"],
    })
}

#[tokio::test]
async fn the_wire_of_2026_asks_for_input_and_goes_on_with_it() {
    let world = World::start().await;
    let client = world.client().await.that_elicits();
    let arguments = json!({"order": "o-1", "amount": 340});
    let asked = client.refund(340).await;
    let result = &asked["result"];
    assert_eq!(result["resultType"], "input_required", "{asked}");
    let question = &result["inputRequests"][QUESTION];
    assert_eq!((&question["method"], &question["params"]["mode"]), (&json!("elicitation/create"), &json!("url")));
    let id = id(&question["params"]["url"]);
    let (going, on) = (client.clone(), accepted(&asked, "accept"));
    let (sent, with) = (arguments.clone(), on.clone());
    let waits = tokio::spawn(async move { going.call("refund", sent, with).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!waits.is_finished(), "it waits for people");
    assert_eq!(world.say("fin", &id, "approve").await.status, 200);
    let done = tokio::time::timeout(Duration::from_secs(20), waits).await.unwrap().unwrap();
    assert!(ran(&done), "{done}");
    let calls = world.upstream.calls();
    assert_eq!(calls.len(), 1);
    let params = &calls[0].message["params"];
    assert!(params.get("requestState").is_none() && params.get("inputResponses").is_none(), "{params}");
    let state = json!({"requestState": on["requestState"], "inputResponses": {QUESTION: {"action": "cancel"}}});
    assert!(!ran(&client.call("refund", arguments, state).await), "the state is no right");
}

#[tokio::test]
async fn what_an_upstream_asked_is_still_answered_after_our_question() {
    let world = World::start().await;
    let client = world.client().await.that_elicits();
    let arguments = json!({"order": "o-1", "amount": 340});
    let own = json!({"requestState": "the upstream's", "inputResponses": {"who": {"action": "accept", "content": {"a": "b"}}}});
    let asked = client.call("refund", arguments.clone(), own.clone()).await;
    let id = id(&asked["result"]["inputRequests"][QUESTION]["params"]["url"]);
    assert_eq!(world.say("fin", &id, "approve").await.status, 200);
    let plain = client.call("refund", arguments.clone(), json!({"requestState": "another"})).await;
    assert!(!ran(&plain), "other answers are another call");
    let state = asked["result"]["requestState"].as_str().unwrap();
    for broken in ["chancery-approval.", "chancery-approval.x", &format!("{state}x"), "chancery-approval.W10"] {
        let answer = client.call("refund", arguments.clone(), json!({"requestState": broken})).await;
        assert_eq!(answer["error"]["code"], -32602, "{broken}: {answer}");
    }
    assert!(ran(&client.call("refund", arguments, accepted(&asked, "accept")).await));
    let params = world.upstream.calls()[0].message["params"].clone();
    assert_eq!((&params["requestState"], &params["inputResponses"]), (&own["requestState"], &own["inputResponses"]));
}

#[tokio::test]
async fn who_declines_at_the_client_takes_the_request_back() {
    let world = World::start().await;
    let client = world.client().await.that_elicits();
    let arguments = json!({"order": "o-1", "amount": 340});
    let asked = client.refund(340).await;
    let declined = client.call("refund", arguments, accepted(&asked, "decline")).await;
    assert_eq!(refused(&declined).0, "C2046");
    assert!(world.pending().await.is_empty());
}

#[tokio::test]
async fn the_wire_of_2025_gets_an_error_with_the_address() {
    let world = World::start().await;
    let session = world.agent.session_able("s", json!({"elicitation": {"form": {}, "url": {}}})).await;
    let arguments = json!({"order": "o-1", "amount": 340});
    let asked = session.call("refund", arguments.clone()).await;
    assert_eq!(asked["error"]["code"], -32042, "{asked}");
    let elicitation = &asked["error"]["data"]["elicitations"][0];
    assert_eq!((&elicitation["mode"], elicitation["elicitationId"].is_string()), (&json!("url"), true));
    assert_eq!(world.say("fin", &id(&elicitation["url"]), "approve").await.status, 200);
    let done = session.call("refund", arguments.clone()).await;
    assert_eq!(done["result"]["content"][0]["text"], "refunded 340 on \"o-1\"", "{done}");

    let plain = world.agent.session_able("s", json!({"elicitation": {}})).await;
    let (code, text) = refused(&plain.call("refund", arguments).await);
    assert!(code == "C2002" && text.contains("/approvals/apr_"), "a client that cannot is told in words: {text}");
}
