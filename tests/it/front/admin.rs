//! The admin API: nouns, verbs, and what they refuse.

use chancery_testkit::{HttpUpstream, TestApp};
use serde_json::{Value, json};

#[tokio::test]
async fn registration_wants_people_and_a_purpose_and_sets_an_end() {
    let app = TestApp::start().await;
    let whole = json!({"name": "a-bot", "sponsor": "mara@example.com", "owner": "lee@example.com", "purpose": "x"});
    for missing in ["sponsor", "owner", "purpose"] {
        let mut body = whole.clone();
        body[missing] = json!("  ");
        assert_eq!(app.admin("POST", "/v1/agents", body).await.problem(400), "C6003", "{missing}");
        let mut body = whole.clone();
        body.as_object_mut().unwrap().remove(missing);
        assert_eq!(app.admin("POST", "/v1/agents", body).await.problem(400), "C6003", "{missing}");
    }
    let made = app.admin("POST", "/v1/agents", whole.clone()).await;
    assert_eq!(made.status, 201);
    assert!(made.json()["agent"]["expires_at"].as_str().unwrap().starts_with("2027-02"), "{}", made.json());
    assert_eq!(app.admin("POST", "/v1/agents", whole).await.problem(409), "C6002");
    assert_eq!(app.admin("GET", "/v1/agents/ghost", Value::Null).await.problem(404), "C6001");
}

#[tokio::test]
async fn an_agents_life_by_hand() {
    let app = TestApp::start().await;
    app.agent("assistant").await;
    let step = |verb: &'static str, body: Value| {
        app.admin(
            "POST",
            match verb {
                "suspend" => "/v1/agents/assistant/suspend",
                "resume" => "/v1/agents/assistant/resume",
                _ => "/v1/agents/assistant/extend",
            },
            body,
        )
    };
    assert_eq!(step("suspend", json!({})).await.ok()["state"], "suspended");
    assert_eq!(step("suspend", json!({})).await.problem(409), "C6004");
    assert_eq!(step("resume", json!({})).await.ok()["state"], "active");
    let extended = step("extend", json!({"expires_at": "2027-06-30"})).await.ok();
    assert!(extended["expires_at"].as_str().unwrap().starts_with("2027-06-30"));
    assert_eq!(step("extend", json!({"expires_at": "2020-01-01"})).await.problem(400), "C6003");
    let listed = app.admin("GET", "/v1/agents?state=active", Value::Null).await.ok();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    let code = app.admin("POST", "/v1/enrolments", json!({"agent": "assistant"})).await;
    assert_eq!(code.status, 201);
}

#[tokio::test]
async fn a_grant_must_fit_the_policies() {
    let upstream = HttpUpstream::start().await;
    let app = TestApp::builder().http("crm", &upstream).start().await;
    app.agent("assistant").await;
    let body = |template: &str, resource: &str| {
        json!({"template": template, "principal": "Agent::\"assistant\"", "resource": resource,
               "mode": "autonomous", "justification": "a test"})
    };
    let unknown = app.admin("POST", "/v1/grants", body("use-servr", "Server::\"crm\"")).await;
    assert_eq!(unknown.problem(422), "C6008");
    assert!(unknown.json()["detail"].as_str().unwrap().contains("use-server"), "{}", unknown.text());
    assert_eq!(app.admin("POST", "/v1/grants", body("use-server", "not an entity")).await.problem(422), "C6008");
    let made = app.admin("POST", "/v1/grants", body("use-server", "Server::\"crm\"")).await.ok();
    let id = made["id"].as_str().unwrap();
    let listed = app.admin("GET", "/v1/grants?agent=assistant", Value::Null).await.ok();
    assert_eq!(listed["items"][0]["id"], id);
    let revoked = app.admin("DELETE", &format!("/v1/grants/{id}"), Value::Null).await.ok();
    assert!(revoked["revoked_at"].is_string());
    assert_eq!(app.admin("DELETE", &format!("/v1/grants/{id}"), Value::Null).await.problem(409), "C6004");
    assert!(app.admin("GET", "/v1/grants", Value::Null).await.ok()["items"].as_array().unwrap().is_empty());
    assert_eq!(app.admin("GET", "/v1/grants?all=true", Value::Null).await.ok()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_changed_tool_waits_for_approval() {
    let upstream = HttpUpstream::start().await;
    let app = TestApp::builder().http("crm", &upstream).start().await;
    let agent = app.agent("assistant").await;
    app.grant("assistant", "crm").await;
    assert!(agent.tools("crm").await.contains(&"echo".to_owned()));
    let schema = json!({"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]});
    upstream.set_tools(json!([{"name": "echo", "description": "Now it sends mail, too.", "inputSchema": schema}]));
    assert_eq!(agent.tools("crm").await, Vec::<String>::new());

    let waiting = app.admin("GET", "/v1/tools?state=quarantined", Value::Null).await.ok();
    assert_eq!(waiting["items"][0]["qualified"], "crm/echo");
    let digest = waiting["items"][0]["seen_digest"].as_str().unwrap().to_owned();
    assert!(app.admin("GET", "/v1/findings", Value::Null).await.text().contains("crm/echo"));
    let blind = json!({"server": "crm", "tool": "echo"});
    assert_eq!(app.admin("POST", "/v1/tools/approve", blind).await.problem(400), "C7007");
    let short = json!({"server": "crm", "tool": "echo", "digest": "00"});
    assert_eq!(app.admin("POST", "/v1/tools/approve", short).await.problem(400), "C6003");
    // What is approved is what was looked at, not what came after.
    upstream.set_tools(json!([{"name": "echo", "description": "Now it sends it twice.", "inputSchema": schema}]));
    assert_eq!(agent.tools("crm").await, Vec::<String>::new());
    let stale = json!({"server": "crm", "tool": "echo", "digest": digest});
    assert_eq!(app.admin("POST", "/v1/tools/approve", stale).await.problem(409), "C6004");
    let waiting = app.admin("GET", "/v1/tools?state=quarantined", Value::Null).await.ok();
    let digest = waiting["items"][0]["seen_digest"].as_str().unwrap().to_owned();
    let command = format!("chancery tool approve --digest {digest} -- crm echo");
    assert_eq!(waiting["items"][0]["approve"], command);
    assert!(app.admin("GET", "/v1/findings", Value::Null).await.text().contains(&command));
    let refused = agent.call("crm", "echo", json!({"text": "x"})).await;
    assert!(refused["result"]["content"][0]["text"].as_str().unwrap().contains(&command), "{refused}");
    let right = json!({"server": "crm", "tool": "echo", "digest": digest});
    assert_eq!(app.admin("POST", "/v1/tools/approve", right.clone()).await.ok()["state"], "pinned");
    assert_eq!(app.admin("POST", "/v1/tools/approve", right).await.problem(409), "C6004");
    assert_eq!(agent.tools("crm").await, ["echo"]);
    assert!(!app.admin("GET", "/v1/findings", Value::Null).await.text().contains("crm/echo"));
    let ghost = json!({"server": "crm", "tool": "ghost", "digest": digest});
    assert_eq!(app.admin("POST", "/v1/tools/approve", ghost).await.problem(404), "C6010");
}

#[tokio::test]
async fn secrets_go_in_and_do_not_come_out() {
    let app = TestApp::start().await;
    let value = json!({"value": "canary-52bc"});
    let set = app.admin("PUT", "/v1/secrets/crm", value.clone()).await.ok();
    assert_eq!((&set["name"], &set["version"]), (&json!("crm"), &json!(1)));
    assert_eq!(app.admin("PUT", "/v1/secrets/crm", value).await.ok()["version"], 2);
    let listed = app.admin("GET", "/v1/secrets", Value::Null).await;
    assert!(!listed.text().contains("canary"), "{}", listed.text());
    for bad in ["", "two\nlines"] {
        assert_eq!(app.admin("PUT", "/v1/secrets/crm", json!({"value": bad})).await.problem(400), "C6003", "{bad:?}");
    }
    assert_eq!(app.admin("PUT", "/v1/secrets/a%2Fb", json!({"value": "x"})).await.problem(400), "C6003");
    assert_eq!(app.admin("DELETE", "/v1/secrets/crm", Value::Null).await.status, 204);
    assert_eq!(app.admin("DELETE", "/v1/secrets/crm", Value::Null).await.problem(404), "C6011");
    let data = std::fs::read(app.data().join("chancery.db")).unwrap();
    let wal = std::fs::read(app.data().join("chancery.db-wal")).unwrap_or_default();
    let there = |bytes: &[u8]| bytes.windows(11).any(|window| window == b"canary-52bc");
    assert!(!there(&data) && !there(&wal), "the database holds the secret in clear");
}

#[tokio::test]
async fn the_log_is_searched_proved_and_exported() {
    let app = TestApp::start().await;
    app.agent("assistant").await;
    let log = app.log().await;
    let registered = log.iter().find(|entry| entry["change"] == "register agent").expect("the registration");
    assert!(registered["human"].as_str().unwrap().starts_with("local:"), "{registered}");
    let id = registered["id"].as_str().unwrap();
    let proof = app.admin("GET", &format!("/v1/log/proof/{id}"), Value::Null).await.ok();
    assert!(proof["size"].as_u64() > proof["index"].as_u64(), "{proof}");
    let key = chancery_tlog::VerifierKey::parse(proof["key"].as_str().unwrap()).unwrap();
    let file = chancery_tlog::ProofFile::parse(proof["proof"].as_str().unwrap()).unwrap();
    file.verify(&key).expect("the proof verifies offline");

    let checkpoint = app.admin("GET", "/v1/log/checkpoint", Value::Null).await.ok();
    assert!(checkpoint["note"].as_str().unwrap().starts_with("chancery.local/log\n"));
    let bundle = app.admin("GET", "/v1/log/export", Value::Null).await;
    let options = chancery_verify::Options { checkpoint: None, key: Some(key), without: None };
    let report = chancery_verify::verify(&bundle.body[..], &options).expect("the bundle verifies");
    assert!(report.entries >= checkpoint["size"].as_u64().unwrap());
    let tile = app.admin("GET", "/v1/log/tile/0/0", Value::Null).await;
    assert_eq!(tile.body.len() % 32, 0);

    let kinds = app.admin("GET", "/v1/log?kind=decision", Value::Null).await.ok();
    assert!(kinds["items"].as_array().unwrap().is_empty());
    assert_eq!(app.admin("GET", "/v1/decisions/d-zzzzzz", Value::Null).await.problem(404), "C5003");
    assert_eq!(app.admin("GET", "/v1/decisions/nonsense", Value::Null).await.problem(404), "C5003");
    assert_eq!(app.admin("GET", "/v1/log?since=tomorrowish", Value::Null).await.problem(400), "C7007");
    assert_eq!(app.admin("GET", "/v1/log?unknown=1", Value::Null).await.problem(400), "C7007");
}

#[tokio::test]
async fn a_body_is_erased_and_every_proof_still_holds() {
    let upstream = HttpUpstream::start().await;
    let app = TestApp::builder().http("crm", &upstream).start().await;
    let agent = app.agent("assistant").await;
    app.grant("assistant", "crm").await;
    agent.call("crm", "echo", json!({"text": "personal-8e1f"})).await;
    let intent = upstream.calls().pop().unwrap().header("chancery-intent").unwrap().to_owned();
    let erase = json!({"body": "arguments", "reason": "asked to"});
    let path = format!("/v1/log/{intent}/erase");
    app.admin("POST", &path, erase.clone()).await.ok();
    assert_eq!(app.admin("POST", &path, erase).await.problem(404), "C5006");
    let bundle = app.admin("GET", "/v1/log/export", Value::Null).await;
    let report = chancery_verify::verify(&bundle.body[..], &chancery_verify::Options::default()).expect("verified");
    assert_eq!(report.erased, 1);
}

#[tokio::test]
async fn the_status_counts() {
    let upstream = HttpUpstream::start().await;
    let app = TestApp::builder().http("crm", &upstream).start().await;
    app.agent("assistant").await;
    let status = app.admin("GET", "/v1/status", Value::Null).await.ok();
    assert_eq!((&status["ready"], &status["agents"]), (&json!(true), &json!(1)));
    assert_eq!(status["servers"], json!(["crm"]));
    assert_eq!(status["tools"], 5, "the tools are listed at start");
    let servers = app.admin("GET", "/v1/servers", Value::Null).await.ok();
    assert_eq!(servers["items"][0]["mcp_url"], app.at("/mcp/crm"));
}

#[tokio::test]
async fn what_time_alone_makes_wrong_is_found() {
    let app = TestApp::start().await;
    app.agent("assistant").await;
    app.clock().advance(chancery_model::Span::days(80));
    // The server looks at start, and every ten minutes from then on.
    let app = app.restart().await;
    let looked = async {
        loop {
            let findings = app.admin("GET", "/v1/findings", Value::Null).await.ok();
            if findings["items"].as_array().is_some_and(|items| !items.is_empty()) {
                return findings;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let findings = tokio::time::timeout(chancery_testkit::LONGEST_WAIT, looked).await.expect("found in time");
    assert_eq!(findings["items"][0]["rule"], "agent-expiring");
    assert_eq!(findings["items"][0]["subject"], "assistant");
}

#[tokio::test]
async fn followed_entries_arrive() {
    use http_body_util::BodyExt;
    let app = TestApp::start().await;
    let stream = tokio::net::UnixStream::connect(app.app().admin_socket()).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("/v1/log/follow").header("host", "localhost");
    let request = request.body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
    let mut body = sender.send_request(request).await.unwrap().into_body();
    app.register("assistant", "agent").await;
    let frame = tokio::time::timeout(chancery_testkit::LONGEST_WAIT, body.frame()).await.unwrap().unwrap().unwrap();
    let line: Value = serde_json::from_slice(frame.data_ref().unwrap()).unwrap();
    assert_eq!(line["changed"], "assistant");
    // A follower does not keep the server from stopping.
    tokio::time::timeout(chancery_testkit::LONGEST_WAIT, app.stop()).await.expect("it stops");
}
