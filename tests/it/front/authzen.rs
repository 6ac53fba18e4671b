//! AuthZEN 1.0 over HTTP: the working group's scenarios, the forms of errors, and the record of each answer.

use std::path::{Path, PathBuf};

use chancery_testkit::{Agent, HttpUpstream, TestApp};
use serde_json::{Value, json};

/// A server with the policies of the interoperability scenarios, and an enforcer that may ask it.
async fn scenario() -> (TestApp, Agent) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/authzen");
    let mut builder = TestApp::builder().without_policies();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        builder = builder.policy(&name, &std::fs::read_to_string(&path).unwrap());
    }
    let app = builder.start().await;
    assert!(app.app().is_ready());
    let enforcer = app.service_account("todo-app").await;
    (app, enforcer)
}

/// Reads a file of expected decisions, if it is anywhere above the workspace.
fn decisions(name: &str) -> Option<Value> {
    let found = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|above| above.join("shared/data/authzen").join(name))
        .find(|path| path.is_file());
    let Some(path) = found else {
        println!("skipped: 0 cases, `{name}` is not at hand");
        return None;
    };
    Some(serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
}

async fn score(enforcer: &Agent, decisions: &Value) -> (usize, usize) {
    let list = |name: &str| decisions[name].as_array().cloned().unwrap_or_default();
    let (mut right, mut all) = (0, 0);
    for case in list("evaluation") {
        let answer = enforcer.ask("evaluation", &case["request"]).await.ok();
        (right, all) = (right + usize::from(answer["decision"] == case["expected"]), all + 1);
    }
    for case in list("evaluations") {
        let answer = enforcer.ask("evaluations", &case["request"]).await.ok();
        let bits =
            |list: &Value| list.as_array().unwrap().iter().map(|one| one["decision"].clone()).collect::<Vec<_>>();
        (right, all) = (right + usize::from(bits(&answer["evaluations"]) == bits(&case["expected"])), all + 1);
    }
    (right, all)
}

#[tokio::test]
async fn the_todo_scenario_over_http() {
    let Some(decisions) = decisions("todo-decisions.json") else { return };
    let (_app, enforcer) = scenario().await;
    assert_eq!(score(&enforcer, &decisions).await, (43, 43));
}

#[tokio::test]
async fn the_gateway_scenario_over_http() {
    let Some(decisions) = decisions("gateway-decisions.json") else { return };
    let (_app, enforcer) = scenario().await;
    assert_eq!(score(&enforcer, &decisions).await, (25, 25));
}

fn question() -> Value {
    json!({
        "subject": {"type": "user", "id": "nobody"},
        "action": {"name": "can_read_todos"},
        "resource": {"type": "todo", "id": "todo-1"},
    })
}

#[tokio::test]
async fn an_answer_is_recorded_and_can_be_explained() {
    let (app, enforcer) = scenario().await;
    let answer = enforcer.ask("evaluation", &question()).await.ok();
    assert_eq!(answer["decision"], false);
    let id = answer["context"]["id"].as_str().expect("an id");
    let why = app.admin("GET", &format!("/v1/decisions/{id}"), Value::Null).await.ok();
    assert_eq!(why["outcome"], "denied");
    assert_eq!(why["enforcer"], "todo-app");
    assert_eq!(why["resource"], "todo::\"todo-1\"");
    assert!(!why["would_pass"].as_array().unwrap().is_empty(), "{why}");
}

#[tokio::test]
async fn requests_that_lack_something_are_400() {
    let (_app, enforcer) = scenario().await;
    for missing in ["subject", "action", "resource"] {
        let mut asked = question();
        asked.as_object_mut().unwrap().remove(missing);
        assert_eq!(enforcer.ask("evaluation", &asked).await.problem(400), "C2007", "{missing}");
        assert_eq!(enforcer.ask("evaluations", &asked).await.problem(400), "C2007", "{missing}");
    }
    for (pointer, value) in [("subject", json!("x")), ("action", json!({})), ("resource", json!({"type": "todo"}))] {
        let mut asked = question();
        asked[pointer] = value;
        assert_eq!(enforcer.ask("evaluation", &asked).await.problem(400), "C2007", "{pointer}");
    }
    let resource = enforcer.mcp("").replace("/mcp/", "/access/v1");
    let junk = enforcer.send(&resource, "/evaluation", "POST", &[], b"{\"subject\":").await;
    assert_eq!(junk.problem(400), "C2007");
}

#[tokio::test]
async fn defaults_are_counted_as_often_as_they_are_taken() {
    let (app, enforcer) = scenario().await;
    let mut asked = question();
    enforcer.ask("evaluation", &asked).await.ok();
    let before = app.log().await.len();
    asked["context"] = json!({"note": "x".repeat(900_000)});
    asked["evaluations"] = vec![json!({}); 10].into();
    assert_eq!(enforcer.ask("evaluations", &asked).await.problem(413), "C4008");
    assert_eq!(app.log().await.len(), before, "nothing was kept of it");
    asked["evaluations"] = vec![json!({"context": {}}); 1_000].into();
    let answer = enforcer.ask("evaluations", &asked).await.ok();
    assert_eq!(answer["evaluations"].as_array().map(Vec::len), Some(1_000));
    asked["evaluations"] = vec![json!({}); 9].into();
    assert_eq!(enforcer.ask("evaluations", &asked).await.ok()["evaluations"].as_array().map(Vec::len), Some(9));
}

#[tokio::test]
async fn names_have_a_limit() {
    let (_app, enforcer) = scenario().await;
    for pointer in ["/subject/type", "/subject/id", "/action/name", "/resource/type", "/resource/id"] {
        let mut asked = question();
        *asked.pointer_mut(pointer).unwrap() = "x".repeat(4 * 1024 + 1).into();
        for endpoint in ["evaluation", "evaluations"] {
            assert_eq!(enforcer.ask(endpoint, &asked).await.problem(400), "C2007", "{pointer}");
        }
        *asked.pointer_mut(pointer).unwrap() = "x".repeat(4 * 1024).into();
        assert_eq!(enforcer.ask("evaluation", &asked).await.ok()["decision"], false, "{pointer}");
    }
}

#[tokio::test]
async fn unknown_members_are_ignored_and_the_request_id_comes_back() {
    let (_app, enforcer) = scenario().await;
    let mut asked = question();
    asked["future"] = json!({"x": 1});
    let resource = enforcer.mcp("").replace("/mcp/", "/access/v1");
    let headers = [("x-request-id", "req-42")];
    let answer = enforcer.send(&resource, "/evaluation", "POST", &headers, asked.to_string().as_bytes()).await;
    assert_eq!(answer.ok()["decision"], false);
    assert_eq!(answer.header("x-request-id"), "req-42");
    let refused = enforcer.send(&resource, "/evaluation", "POST", &headers, b"{}").await;
    assert_eq!((refused.status.as_u16(), refused.header("x-request-id")), (400, "req-42".to_owned()));
}

#[tokio::test]
async fn without_the_list_evaluations_answer_as_one() {
    let (_app, enforcer) = scenario().await;
    let answer = enforcer.ask("evaluations", &question()).await.ok();
    assert_eq!(answer["decision"], false);
    assert!(answer.get("evaluations").is_none());
}

#[tokio::test]
async fn semantics_end_the_answers_early() {
    let (_app, enforcer) = scenario().await;
    for (semantic, answers) in [("execute_all", 3), ("deny_on_first_deny", 1), ("permit_on_first_permit", 3)] {
        let mut asked = question();
        asked["evaluations"] = json!([{}, {}, {}]);
        asked["options"] = json!({"evaluations_semantic": semantic});
        let answer = enforcer.ask("evaluations", &asked).await.ok();
        assert_eq!(answer["evaluations"].as_array().unwrap().len(), answers, "{semantic}");
    }
}

#[tokio::test]
async fn only_service_accounts_with_a_token_may_ask() {
    let (app, _enforcer) = scenario().await;
    let bare = app.http().post(&app.at("/access/v1/evaluation"), &[], &question()).await;
    assert_eq!(bare.problem(401), "C1001");
    assert!(bare.header("www-authenticate").contains("resource_metadata="));
    let forged =
        app.http().post(&app.at("/access/v1/evaluation"), &[("authorization", "Bearer x.y.z")], &question()).await;
    assert_eq!(forged.problem(401), "C1002");
    let agent = app.agent("assistant").await;
    assert_eq!(agent.ask("evaluation", &question()).await.problem(403), "C2001");
}

#[tokio::test]
async fn a_quarantined_tool_is_refused_here_too() {
    let upstream = HttpUpstream::start().await;
    let tool = |name: &str, says: &str| json!({"name": name, "description": says, "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": true}});
    upstream.set_tools(json!([tool("echo", "Says it back."), tool("add", "Adds.")]));
    let app = TestApp::builder().http("crm", &upstream).start().await;
    let (agent, enforcer) = (app.agent("assistant").await, app.service_account("enforcer").await);
    app.grant("assistant", "crm").await;
    let asked = |name: &str, action: &str| {
        json!({
            "subject": {"type": "Agent", "id": "assistant"}, "action": {"name": action},
            "resource": {"type": "Tool", "id": format!("crm/{name}")},
            "context": {"session": {"age_seconds": 1}, "args": {}},
        })
    };
    for name in ["echo", "add"] {
        let answer = enforcer.ask("evaluation", &asked(name, "tools/list")).await.ok();
        assert_eq!(answer["decision"], true, "{name}: {answer}");
    }
    upstream.set_tools(json!([tool("echo", "Says it to others."), tool("add", "Adds."), tool("wipe", "New.")]));
    assert_eq!(agent.tools("crm").await, ["add"]);
    for (name, allowed) in [("echo", false), ("add", true), ("wipe", false)] {
        let answer = enforcer.ask("evaluation", &asked(name, "tools/list")).await.ok();
        assert_eq!(answer["decision"], allowed, "{name}: {answer}");
        assert_eq!(answer["context"]["code"] == "C2006", !allowed, "{name}: {answer}");
    }
    let answer = enforcer.ask("evaluation", &asked("add", "crm/echo")).await.ok();
    assert_eq!((&answer["decision"], &answer["context"]["code"]), (&json!(false), &json!("C2006")));
    let answer = enforcer.ask("evaluation", &asked("add", "crm/add")).await.ok();
    assert_eq!(answer["decision"], true, "{answer}");
}
