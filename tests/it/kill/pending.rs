//! What was pending when the switch was thrown comes to nothing, while it is in force and afterwards: codes, requests,
//! refresh tokens, exchanges under way. And the switch holds over a restart.

use chancery_model::Span;
use chancery_testkit::{Answer, TestApp};
use serde_json::{Value, json};

use super::{code, kill, unkill};
use crate::oauth::chain::{Chain, token_of};
use crate::oauth::client::{Flow, Pairs, with};

const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// Refused, with the containment's name.
fn names(answer: &Answer, thrown: &Value) {
    let id = thrown["id"].as_str().unwrap();
    assert!(answer.status.is_client_error() && answer.text().contains(id), "{} {}", answer.status, answer.text());
}

fn by_reference(uri: &str) -> Pairs {
    with(&[], &[("client_id", "helper"), ("request_uri", uri)])
}

async fn push(flow: &Flow) -> String {
    let request = flow.request();
    let form: Vec<(&str, &str)> = request.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let pushed = flow.post("/oauth/par", &form).await;
    pushed.json()["request_uri"].as_str().unwrap_or_else(|| panic!("{}", pushed.text())).to_owned()
}

async fn poll(flow: &Flow, device: &Value) -> Answer {
    let code = device["device_code"].as_str().unwrap();
    flow.post("/oauth/token", &[("grant_type", DEVICE), ("device_code", code)]).await
}

#[tokio::test]
async fn what_was_pending_comes_to_nothing_and_stays_so() {
    let mut flow = Flow::start().await;
    let resource = flow.resource();
    let device = flow.post("/oauth/device_authorization", &[("resource", &resource)]).await.ok();
    let tokens = flow.tokens().await;
    let access = tokens["access_token"].as_str().unwrap().to_owned();
    let refresh = tokens["refresh_token"].as_str().unwrap().to_owned();
    let request = flow.request();
    let code = flow.code(&request).await;
    let (pushed, asked) = (push(&flow).await, flow.ask(&request).await);
    assert!(flow.is_in_force(&access).await);

    let thrown = kill(&flow.app, "agent", "helper").await;
    assert!(!flow.is_in_force(&access).await);
    for refused in [flow.redeem(&code).await, flow.refresh(&refresh).await, poll(&flow, &device).await] {
        names(&refused, &thrown);
    }
    // Nothing new becomes pending either, and nobody can say yes to what is.
    names(&flow.post("/oauth/device_authorization", &[("resource", &resource)]).await, &thrown);
    let back = |answer: &Answer| format!("{}{}", answer.header("location"), answer.text());
    let said = [flow.press(&asked, "allow").await, flow.ask(&request).await, flow.ask(&by_reference(&pushed)).await];
    for said in &said {
        assert!(!back(said).contains("code="), "{}", back(said));
        assert!(back(said).contains(thrown["id"].as_str().unwrap()), "{}", back(said));
    }

    unkill(&flow.app, &thrown).await;
    flow.app.clock().advance(Span::seconds(1));
    for refused in [flow.redeem(&code).await, flow.refresh(&refresh).await] {
        names(&refused, &thrown);
    }
    assert!(!flow.is_in_force(&access).await, "the session does not come back");
    let said = flow.ask(&by_reference(&pushed)).await;
    assert!(back(&said).contains(thrown["id"].as_str().unwrap()), "{}", back(&said));
    let again = flow.tokens().await;
    assert!(flow.is_in_force(again["access_token"].as_str().unwrap()).await, "what is asked for anew is granted");
    flow.refresh(again["refresh_token"].as_str().unwrap()).await.ok();
}

/// A device's question from before is not answered by a yes from after.
#[tokio::test]
async fn a_device_asks_anew_after_the_switch() {
    let mut flow = Flow::start().await;
    let resource = flow.resource();
    let device = flow.post("/oauth/device_authorization", &[("resource", &resource)]).await.ok();
    let thrown = kill(&flow.app, "owner", "lee@example.com").await;
    unkill(&flow.app, &thrown).await;
    flow.app.clock().advance(Span::seconds(1));
    allow(&mut flow, &device).await;
    names(&poll(&flow, &device).await, &thrown);
    let device = flow.post("/oauth/device_authorization", &[("resource", &resource)]).await.ok();
    allow(&mut flow, &device).await;
    let tokens = poll(&flow, &device).await.ok();
    assert!(flow.is_in_force(tokens["access_token"].as_str().unwrap()).await);
}

async fn allow(flow: &mut Flow, device: &Value) {
    use chancery_testkit::hidden;
    let form = flow.browser.form_key().await;
    let code = device["user_code"].as_str().unwrap();
    let page = flow.browser.post("/device", &[("form", &form), ("user_code", code)]).await.text();
    let (form, code, shown) = (hidden(&page, "form"), hidden(&page, "user_code"), hidden(&page, "shown"));
    let fields = [
        ("form", form.as_str()),
        ("user_code", code.as_str()),
        ("shown", shown.as_str()),
        ("lasts", "3600"),
        ("keep", "0"),
        ("answer", "allow"),
    ];
    flow.browser.post("/device", &fields).await;
}

/// Whatever an exchange or a refresh that runs at the same moment gives out, it is worth nothing, then and afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_issued_in_the_same_moment_is_worth_nothing() {
    const RACES: usize = 25;
    let mut chain = Chain::start().await;
    let (mut issued, worker) = (0, chain.worker.clone());
    for race in 0..RACES {
        let request = chain.flow.request();
        let code = chain.flow.code(&request).await;
        let tokens = chain.flow.redeem(&code).await.ok();
        let (root, refresh) = (token_of(&tokens), tokens["refresh_token"].as_str().unwrap().to_owned());
        let handed = token_of(&chain.exchange(chain.helper(), &root, &[("may_act", "worker")]).await.ok());
        let resource = chain.flow.resource();
        let wanted = [("resource", resource.as_str()), ("purpose", "work")];
        let taken = chain.exchange(&worker, &handed, &wanted);
        let (thrown, taken, refreshed) =
            tokio::join!(kill(&chain.flow.app, "agent", "helper"), taken, chain.flow.refresh(&refresh));
        let tokens = [&taken, &refreshed].map(|answer| answer.json()["access_token"].as_str().map(str::to_owned));
        issued += tokens.iter().flatten().count();
        let call = async |token: &Option<String>, by| {
            let Some(token) = token else { return };
            let refused = chain.call(by, token, ("crm", "echo"), json!({"text": "x"})).await;
            assert!([401, 403].contains(&refused.status.as_u16()), "race {race}: {}", refused.text());
        };
        let helper = chain.helper().clone();
        call(&tokens[0], &worker).await;
        call(&tokens[1], &helper).await;
        unkill(&chain.flow.app, &thrown).await;
        chain.flow.app.clock().advance(Span::seconds(1));
        call(&tokens[0], &worker).await;
        call(&tokens[1], &helper).await;
    }
    println!(
        "kill against exchange and refresh: {RACES} races, {issued} tokens issued in them, 0 of them worth anything"
    );
}

/// It is in force before the first request is served, and what it ended stays over when it is lifted later.
#[tokio::test]
async fn a_kill_holds_over_a_restart() {
    let app = TestApp::builder().policy("all.cedar", super::RULES).start().await;
    let (worker, other, enforcer) =
        (app.agent("worker").await, app.agent("other").await, app.service_account("e").await);
    let (access, question) = (
        app.at("/access/v1"),
        json!({
            "subject": {"type": "Agent", "id": "worker"}, "action": {"name": "delegate"},
            "resource": {"type": "Agent", "id": "other"}, "context": {"depth": 1},
        }),
    );
    worker.token(&access).await;
    let thrown = kill(&app, "agent", "worker").await;
    let app = app.restart().await;
    let (worker, other, enforcer) = (worker.at(&app), other.at(&app), enforcer.at(&app));
    let refused = worker.try_token(&app.at("/access/v1")).await.expect("no token");
    names(&refused, &thrown);
    assert!(other.try_token(&app.at("/access/v1")).await.is_none(), "others go on");
    assert_eq!(enforcer.ask("evaluation", &question).await.ok()["decision"], false);
    assert_eq!(kill(&app, "agent", "worker").await["already"], true);
    unkill(&app, &thrown).await;
    let app = app.restart().await;
    assert!(worker.at(&app).try_token(&app.at("/access/v1")).await.is_none());
    assert_eq!(enforcer.at(&app).ask("evaluation", &question).await.ok()["decision"], true);
}

/// The MCP session of whoever is stopped is gone, and is not found again by the one who comes back.
#[tokio::test]
async fn an_mcp_session_does_not_come_back() {
    let flow = Flow::start().await;
    let app = &flow.app;
    let agent = app.agent("worker").await;
    app.grant("worker", "crm").await;
    let session = agent.session("crm").await;
    let thrown = kill(app, "agent", "worker").await;
    assert_eq!(super::stopped(&thrown, "connections"), 1, "{thrown}");
    unkill(app, &thrown).await;
    app.clock().advance(Span::seconds(1));
    let answer = session.send("tools/list", Value::Null).await;
    assert_eq!(code(&answer), "C4007", "{}", answer.text());
    assert!(agent.session("crm").await.hello()["result"].is_object());
}
