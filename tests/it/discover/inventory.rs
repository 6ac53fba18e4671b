//! What scans hand to the server: the inventory and its questions, through the command line.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

use super::scan::place;
use crate::cli::Desk;

fn names(rows: &Value) -> Vec<&str> {
    rows.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap_or_default()).collect()
}

async fn token(desk: &Desk, client: &str) -> Value {
    let resource = desk.app.at("/mcp/crm");
    let form = format!("grant_type=client_credentials&client_id={client}&client_secret=wrong&resource={resource}");
    let request =
        Request::post(desk.app.at("/oauth/token")).header("content-type", "application/x-www-form-urlencoded");
    desk.app.http().send(request.body(Full::new(Bytes::from(form))).unwrap()).await.json()
}

async fn submit(desk: &Desk, place: &Path) -> Value {
    desk.json(&format!("discover scan --submit --host build-1 {}", place.display())).await[0].clone()
}

/// A key that leaked into a file of a repository, the agent that was given it, and what was revoked when.
#[tokio::test]
async fn a_leaked_key_leads_from_its_file_to_the_agent_that_is_given_it() {
    let desk = Desk::open().await;
    let secret = format!("ghp_{}", "c3D4".repeat(9));
    let client =
        |token: &str| json!({"mcpServers": {"billing": {"command": "billing-mcp", "env": {"BILLING_TOKEN": token}}}});
    let place = place(&[
        ("agent/mcp.json", &client(&secret).to_string()),
        ("old/deploy.env", &format!("BILLING_TOKEN={secret}\n")),
        ("crew/agents.yaml", "clerk:\n  role: Clerk\n  goal: pays\n"),
    ]);
    let sweep = submit(&desk, place.path()).await;
    assert_eq!((&sweep["status"], &sweep["held"]), (&json!("complete"), &json!(0)), "{sweep}");
    assert_eq!(sweep["source"], "files");
    assert!(sweep["scope"].as_str().unwrap().starts_with("build-1:/"), "{sweep}");

    let agents = desk.json("inventory list --kind ai_agent").await;
    assert_eq!(names(&agents), ["clerk"]);
    assert_eq!(agents[0]["attributes"]["framework"], "crewai");
    let all = desk.ok("inventory list -o json").await;
    assert!(!all.contains(&secret), "a secret is in the inventory");

    // Whoever reads the old file has the key that the server of the other file is given.
    let way = desk.run("reach path old/deploy.env BILLING_TOKEN").await;
    assert!(way.err.contains("C2905"), "{}", way.err);
    let credentials = desk.json("inventory list --kind credential").await;
    let urn = |within: &str| {
        let found = credentials.as_array().unwrap().iter().find(|one| one["within"] == within).unwrap();
        found["urn"].as_str().unwrap().to_owned()
    };
    let (leaked, used) = (urn("old/deploy.env"), urn("agent/mcp.json"));
    let way = desk.json(&format!("reach path old/deploy.env {used}")).await;
    let hops: Vec<&str> =
        way["way"]["hops"].as_array().unwrap().iter().map(|hop| hop["kind"].as_str().unwrap()).collect();
    assert_eq!(hops, ["found_in", "same_as"], "{way}");
    let impact = desk.json(&format!("reach impact {leaked}")).await;
    assert!(names(&impact["items"]).contains(&"billing"), "{impact}");
    let to = desk.ok(&format!("reach to {leaked}")).await;
    assert!(to.contains("billing") && to.contains("old/deploy.env"), "{to}");

    // The same again writes nothing; a file that went is missing, then gone, and its history stays.
    let again = submit(&desk, place.path()).await;
    assert_eq!((&again["added"], &again["changed"]), (&json!(0), &json!(0)), "{again}");
    fs::remove_file(place.path().join("crew/agents.yaml")).unwrap();
    let missed = submit(&desk, place.path()).await;
    assert_eq!((&missed["missing"], &missed["gone"]), (&json!(1), &json!(0)), "{missed}");
    assert_eq!(names(&desk.json("inventory list --state missing").await), ["clerk"]);
    let gone = submit(&desk, place.path()).await;
    assert_eq!((&gone["missing"], &gone["gone"]), (&json!(0), &json!(1)), "{gone}");
    let clerk = agents[0]["urn"].as_str().unwrap();
    let history = desk.json(&format!("inventory history {clerk}")).await;
    let states: Vec<&str> = history.as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["present", "missing", "gone"]);
    assert_eq!(desk.json(&format!("inventory show {clerk}")).await["state"], "gone");
    assert_eq!(desk.json("discover sweeps").await.as_array().unwrap().len(), 1);
    assert_eq!(desk.json("discover sweeps --all").await.as_array().unwrap().len(), 4);
}

/// What cannot be read is no reason to call anything missing, and so much at once is not called missing without asking.
#[tokio::test]
async fn a_file_that_cannot_be_read_hides_what_was_in_it_and_a_mass_disappearance_waits_for_a_human() {
    let desk = Desk::open().await;
    let agent = |name: &str| format!("{name}:\n  role: R\n  goal: G\n");
    let files: Vec<(String, String)> =
        (0..6).map(|n| (format!("crew{n}/agents.yaml"), agent(&format!("agent{n}")))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let place = place(&files);
    submit(&desk, place.path()).await;
    fs::write(place.path().join("crew0/agents.yaml"), "agent0: {role: [\n").unwrap();
    let hidden = submit(&desk, place.path()).await;
    assert_eq!((&hidden["missing"], &hidden["held"]), (&json!(0), &json!(0)), "{hidden}");
    assert_eq!(hidden["gaps"][0]["path"], "crew0/agents.yaml");
    for n in 1..5 {
        fs::remove_dir_all(place.path().join(format!("crew{n}"))).unwrap();
    }
    let held = submit(&desk, place.path()).await;
    assert_eq!((&held["missing"], &held["held"]), (&json!(0), &json!(4)), "{held}");
    assert!(desk.ok("finding list").await.contains("mass-disappearance"));
    let id = held["id"].as_str().unwrap();
    let accepted = desk.json(&format!("discover accept {id} --reason moved")).await;
    assert_eq!((&accepted["missing"], &accepted["held"]), (&json!(4), &json!(0)), "{accepted}");
    assert_eq!(desk.json("inventory list --state missing").await.as_array().unwrap().len(), 4);
    let again = desk.run(&format!("discover accept {id}")).await;
    assert!(again.exit != 0 && again.err.contains("C2903"), "{}", again.err);
}

/// Our own nouns are in the graph, and follow what is granted and revoked.
#[tokio::test]
async fn grants_are_hops_as_long_as_they_last() {
    let desk = Desk::open().await;
    desk.enrolled("bot").await;
    let grant = desk.json("grant create --template use-server --agent bot --server crm --why test").await;
    let reached = desk.json("reach from chancery::ai_agent:bot").await;
    assert_eq!(names(&reached["items"]), ["crm"], "{reached}");
    let before = desk.app.time().now().rfc3339();
    desk.ok(&format!("grant revoke {} --reason over", grant["id"].as_str().unwrap())).await;
    assert!(names(&desk.json("reach from bot").await["items"]).is_empty());
    let then = desk.json(&format!("reach from bot --at {before}")).await;
    assert_eq!(names(&then["items"]), ["crm"], "what held then is answered: {then}");
    let nobody = desk.run("reach from nobody").await;
    assert!(nobody.err.contains("C2904"), "{}", nobody.err);
}

/// What is handed over half is known, and proves nothing about the rest.
#[tokio::test]
async fn a_sweep_that_breaks_off_says_so_and_what_is_malformed_is_refused_with_its_line() {
    let desk = Desk::open().await;
    let half = desk.app.admin("POST", "/v1/sweeps", json!({"source": "crm", "scope": "acme"})).await.ok();
    assert_eq!((&half["status"], &half["why"]), (&json!("partial"), &json!("it broke off before its end")));
    let bad = desk.app.admin("POST", "/v1/sweeps", json!({"source": "crm", "dragon": 1})).await.json();
    assert_eq!(bad["status"], 400, "{bad}");
    assert!(bad["detail"].as_str().unwrap().contains("line 1"), "{}", bad);
    let future = json!({"source": "crm", "observed_at": "2999-01-01"});
    assert_eq!(desk.app.admin("POST", "/v1/sweeps", future).await.json()["code"], "C2901");
    let unknown = desk.app.admin("GET", "/v1/objects?kind=dragon", Value::Null).await.json();
    assert!(unknown["detail"].as_str().unwrap().contains("ai_agent"), "{}", unknown);
}

/// What was discovered can do nothing until a person answers for it.
#[tokio::test]
async fn a_discovered_agent_is_a_shadow_without_credentials_until_somebody_adopts_it() {
    let desk = Desk::open().await;
    let place = place(&[("crew/agents.yaml", "clerk:\n  role: Clerk\n  goal: pays\n  tools: [pay]\n")]);
    submit(&desk, place.path()).await;
    let found = desk.json("inventory list --kind ai_agent").await[0].clone();
    let urn = found["urn"].as_str().unwrap();
    assert!(found["adopted_by"].is_null(), "{found}");
    let findings = desk.ok("finding list").await;
    assert!(findings.contains("LIF-7") && findings.contains(urn), "{findings}");
    // There is nothing that it could be given: no code, no grant, no token.
    assert_ne!(desk.run("agent code clerk").await.exit, 0);
    let refused = token(&desk, "clerk").await;
    assert_eq!(refused["error"], "invalid_client", "{refused}");

    let people = "--sponsor m@example.com --owner l@example.com --purpose x";
    let tool = desk.json("inventory list --kind tool").await[0]["urn"].as_str().unwrap().to_owned();
    for wrong in [tool.as_str(), "files:nowhere:ai_agent:x"] {
        let wrong = desk.run(&format!("agent adopt {wrong} clerk {people}")).await;
        assert!(wrong.exit != 0 && wrong.err.contains("C2906"), "{}", wrong.err);
    }
    desk.ok(&format!("agent adopt {urn} clerk {people} --enrol")).await;
    assert_eq!(desk.json(&format!("inventory show {urn}")).await["adopted_by"], "clerk");
    assert!(!desk.ok("finding list").await.contains("LIF-7"));
    assert_eq!(desk.json("agent get clerk").await["state"], "active");
    // They are one: what the file says it uses, the registered agent reaches.
    let reached = desk.json("reach from chancery::ai_agent:clerk").await;
    assert!(names(&reached["items"]).contains(&"pay"), "{reached}");
    let again = desk.run(&format!("agent adopt {urn} clerk-2 {people}")).await;
    assert!(again.err.contains("is `clerk` already"), "{}", again.err);
    // A sweep does not make a shadow of it again.
    submit(&desk, place.path()).await;
    assert!(!desk.ok("finding list").await.contains("LIF-7"));
}

/// Whoever comes to our own doors and is nobody here becomes known, and nothing more.
#[tokio::test]
async fn an_unknown_caller_becomes_an_object_that_can_do_nothing() {
    let desk = Desk::open().await;
    desk.enrolled("bot").await;
    for _ in 0..3 {
        let refused = token(&desk, "shadow-bot").await;
        assert_eq!(refused["error"], "invalid_client", "{refused}");
    }
    // Somebody who is known and has the wrong secret is no stranger.
    token(&desk, "bot").await;
    let claims = URL_SAFE_NO_PAD.encode(json!({"iss": "https://idp.example", "client_id": "crm-copilot"}).to_string());
    let shown = format!("Bearer {}.{claims}.c2ln", URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256"}"#));
    let (url, call) = (desk.app.at("/mcp/crm"), json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}));
    let headers = [("authorization", shown.as_str()), ("accept", "application/json, text/event-stream")];
    assert_eq!(desk.app.http().post(&url, &headers, &call).await.status.as_u16(), 401);
    let mut known = Value::Null;
    for _ in 0..100 {
        known = desk.json("inventory list --source edge").await;
        if known.as_array().unwrap().len() == 2 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let found: std::collections::BTreeSet<_> = names(&known).into_iter().collect();
    assert_eq!(found, std::collections::BTreeSet::from(["crm-copilot", "shadow-bot"]), "{known}");
    let copilot = known.as_array().unwrap().iter().find(|one| one["name"] == "crm-copilot").unwrap();
    assert_eq!(copilot["kind"], "oauth_client");
    assert_eq!(copilot["attributes"]["issuer"], "https://idp.example");
    assert_eq!(
        (&copilot["attributes"]["door"], &copilot["attributes"]["verified"]),
        (&json!("gateway"), &json!(false))
    );
    assert!(copilot["adopted_by"].is_null());
}

/// What is wrong is a finding as long as it is: what a sweep saw and did not complain of any more is closed.
#[tokio::test]
async fn findings_of_a_scan_open_with_it_and_close_when_they_are_mended() {
    let desk = Desk::open().await;
    let trust = |subject: &str| {
        json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity",
            "Principal": {"Federated": "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com"},
            "Condition": {"StringLike": {"token.actions.githubusercontent.com:sub": subject}}}]})
        .to_string()
    };
    let place = place(&[("deploy.json", &trust("repo:acme/*")), ("other.json", &trust("repo:acme/*"))]);
    submit(&desk, place.path()).await;
    let open = desk.json("finding list").await;
    assert_eq!(open.as_array().unwrap().len(), 2, "{open}");
    assert!(open[0]["rule"] == "CLD-1" && open[0]["owasp"] == "NHI6" && open[0]["severity"] == "high", "{open}");
    // The outside identity is in the graph, and reaches the role.
    let way = desk.json("reach path token.actions.githubusercontent.com#repo:acme/* deploy").await;
    assert_eq!(way["way"]["hops"][0]["kind"], "federates_to", "{way}");

    // One is mended; the other cannot be read, which mends nothing.
    fs::write(place.path().join("deploy.json"), trust("repo:acme/deploy:ref:refs/heads/main")).unwrap();
    fs::write(place.path().join("other.json"), "{").unwrap();
    submit(&desk, place.path()).await;
    let open = desk.json("finding list").await;
    assert_eq!(open.as_array().unwrap().len(), 1, "{open}");
    assert!(open[0]["subject"].as_str().unwrap().contains("other.json"), "{open}");
}
