//! The device flow (RFC 8628).

use chancery_authenticate::client::AgentKey;
use chancery_model::Span;
use chancery_testkit::{Answer, Browser, hidden};
use serde_json::Value;

use super::client::{Flow, MARA};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

async fn begin(flow: &Flow) -> Value {
    let resource = flow.resource();
    flow.post("/oauth/device_authorization", &[("resource", &resource)]).await.ok()
}

async fn poll(flow: &Flow, begun: &Value) -> Answer {
    let code = begun["device_code"].as_str().unwrap();
    flow.post("/oauth/token", &[("grant_type", GRANT), ("device_code", code)]).await
}

async fn enter(browser: &mut Browser, code: &str) -> Answer {
    let form = browser.form_key().await;
    browser.post("/device", &[("form", &form), ("user_code", code)]).await
}

async fn press(browser: &mut Browser, page: &Answer, answer: &str) -> Answer {
    let page = page.text();
    let (form, code, shown) = (hidden(&page, "form"), hidden(&page, "user_code"), hidden(&page, "shown"));
    let fields = [
        ("form", form.as_str()),
        ("user_code", code.as_str()),
        ("shown", shown.as_str()),
        ("lasts", "3600"),
        ("keep", "0"),
        ("answer", answer),
    ];
    browser.post("/device", &fields).await
}

#[tokio::test]
async fn a_device_acts_once_its_person_allowed_it() {
    let mut flow = Flow::start().await;
    let begun = begin(&flow).await;
    assert_eq!((begun["interval"].as_i64(), begun["expires_in"].as_i64()), (Some(5), Some(600)));
    let code = begun["user_code"].as_str().unwrap().to_owned();
    assert_eq!(begun["verification_uri_complete"], format!("{}?user_code={code}", flow.app.at("/device")));
    assert_eq!(poll(&flow, &begun).await.json()["error"], "authorization_pending");
    assert_eq!(poll(&flow, &begun).await.json()["error"], "slow_down");
    flow.app.clock().advance(Span::seconds(10));
    assert_eq!(poll(&flow, &begun).await.json()["error"], "authorization_pending");

    let link = flow.browser.get(&format!("/device?user_code={code}")).await.text();
    assert!(link.contains(&format!("value=\"{code}\"")), "{link}");
    let page = enter(&mut flow.browser, &code.to_lowercase().replace('-', " ")).await;
    for shown in ["Let helper act for you?", "is tested", "every tool", "Nobody who asks you"] {
        assert!(page.text().contains(shown), "{shown}: {}", page.text());
    }
    let answer = press(&mut flow.browser, &page, "allow").await;
    assert!(answer.text().contains("may now act in your name"), "{}", answer.text());
    flow.app.clock().advance(Span::seconds(11));
    let tokens = poll(&flow, &begun).await.ok();
    let access = tokens["access_token"].as_str().unwrap();
    assert!(flow.is_in_force(access).await && tokens["refresh_token"].is_string());

    flow.app.clock().advance(Span::seconds(11));
    assert_eq!(poll(&flow, &begun).await.json()["error"], "invalid_grant", "it is good once");
    assert!(!flow.is_in_force(access).await, "its second use ends the session");
}

#[tokio::test]
async fn a_no_and_a_silence_are_told() {
    let mut flow = Flow::start().await;
    let begun = begin(&flow).await;
    let page = enter(&mut flow.browser, begun["user_code"].as_str().unwrap()).await;
    assert!(press(&mut flow.browser, &page, "deny").await.text().contains("may not act"));
    assert_eq!(poll(&flow, &begun).await.json()["error"], "access_denied");
    assert_eq!(press(&mut flow.browser, &page, "allow").await.status, 403, "it was answered already");

    let begun = begin(&flow).await;
    flow.app.clock().advance(Span::minutes(10));
    assert_eq!(poll(&flow, &begun).await.json()["error"], "expired_token");
    assert_eq!(enter(&mut flow.browser, begun["user_code"].as_str().unwrap()).await.status, 403);
}

#[tokio::test]
async fn codes_cannot_be_guessed_by_trying() {
    let mut flow = Flow::start().await;
    let begun = begin(&flow).await;
    let code = begun["user_code"].as_str().unwrap().to_owned();
    for guess in ["BCDF-GHJK", "BCDF-GHJL", "BCDF-GHJM", "BCDF-GHJN", "BCDF-GHJP"] {
        assert_eq!(enter(&mut flow.browser, guess).await.status, 403, "{guess}");
    }
    assert_eq!(enter(&mut flow.browser, &code).await.status, 429, "the right code, too late");
    flow.app.clock().advance(Span::minutes(9));
    assert_eq!(enter(&mut flow.browser, &code).await.status, 429);
    let mut nobody = Browser::new(&flow.app);
    assert_eq!(nobody.post("/device", &[("user_code", &code)]).await.status, 401, "without a login");
}

#[tokio::test]
async fn a_device_code_is_its_clients_and_its_keys() {
    let mut flow = Flow::start().await;
    let begun = begin(&flow).await;
    let page = enter(&mut flow.browser, begun["user_code"].as_str().unwrap()).await;
    press(&mut flow.browser, &page, "allow").await;
    let form = [("grant_type", GRANT), ("device_code", begun["device_code"].as_str().unwrap())];
    let other = flow.post_by(&AgentKey::generate().unwrap(), "/oauth/token", &form).await;
    assert_eq!(other.json()["error"], "invalid_grant", "another key");
    flow.app.admin("POST", &format!("/v1/people/{MARA}/suspend"), serde_json::json!({})).await.ok();
    assert_eq!(poll(&flow, &begun).await.json()["error"], "invalid_grant", "the person was suspended meanwhile");
}
