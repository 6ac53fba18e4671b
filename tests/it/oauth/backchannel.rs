//! People who are somewhere else (OpenID CIBA Core 1.0, poll mode).

use chancery_authenticate::client::AgentKey;
use chancery_model::Span;
use chancery_testkit::{Answer, Browser, Passkey, hidden};
use serde_json::{Value, json};

use super::client::{Flow, MARA};

const GRANT: &str = "urn:openid:params:grant-type:ciba";

/// A flow whose person has a passkey, shown just now.
async fn flow() -> (Flow, Passkey) {
    let mut flow = Flow::start().await;
    let passkey = flow.browser.register_passkey().await;
    (flow, passkey)
}

async fn begin(flow: &Flow, changes: &[(&str, &str)]) -> Answer {
    let resource = flow.resource();
    let mut form = vec![("resource", resource.as_str()), ("login_hint", MARA), ("binding_message", "W4SCT – 12.50 €")];
    form.retain(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    form.extend(changes.iter().copied().filter(|(_, value)| !value.is_empty()));
    flow.post("/oauth/bc-authorize", &form).await
}

async fn poll(flow: &Flow, begun: &Value) -> Answer {
    flow.post("/oauth/token", &[("grant_type", GRANT), ("auth_req_id", begun["auth_req_id"].as_str().unwrap())]).await
}

/// The address of the one question that waits for whoever sits at this browser.
async fn waiting(browser: &mut Browser) -> Option<String> {
    let page = browser.get("/asked").await.text();
    let at = page.find("/asked/ask_")?;
    Some(page[at..].split('"').next().unwrap().to_owned())
}

/// Says yes to the one question that waits.
pub async fn allow(browser: &mut Browser) -> Answer {
    let path = waiting(browser).await.expect("a question");
    let page = browser.get(&path).await;
    press(browser, &path, &page, "allow").await
}

async fn press(browser: &mut Browser, path: &str, page: &Answer, answer: &str) -> Answer {
    let page = page.text();
    let (form, shown) = (hidden(&page, "form"), hidden(&page, "shown"));
    let kept: Vec<String> = (0..page.matches("name=\"keep\"").count()).map(|at| at.to_string()).collect();
    let mut fields = vec![("form", form.as_str()), ("shown", shown.as_str()), ("lasts", "3600"), ("answer", answer)];
    fields.extend(kept.iter().map(|at| ("keep", at.as_str())));
    browser.post(path, &fields).await
}

fn error(answer: &Answer, status: u16) -> String {
    assert_eq!(answer.status, status, "{}", answer.text());
    answer.json()["error"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_agent_acts_once_the_person_it_named_said_yes_somewhere_else() {
    let (mut flow, _passkey) = flow().await;
    let metadata = flow.app.http().get(&flow.app.at("/.well-known/oauth-authorization-server")).await.ok();
    assert_eq!(metadata["backchannel_authentication_endpoint"], flow.app.at("/oauth/bc-authorize"));
    assert_eq!(metadata["backchannel_token_delivery_modes_supported"], json!(["poll"]));
    assert!(metadata["grant_types_supported"].as_array().unwrap().contains(&json!(GRANT)));

    let begun = begin(&flow, &[]).await.ok();
    assert_eq!((begun["interval"].as_i64(), begun["expires_in"].as_i64()), (Some(5), Some(600)));
    assert_eq!(error(&poll(&flow, &begun).await, 400), "authorization_pending");
    assert_eq!(error(&poll(&flow, &begun).await, 400), "slow_down");

    let path = waiting(&mut flow.browser).await.expect("a question");
    let page = flow.browser.get(&path).await;
    for shown in ["Let helper act for you?", "W4SCT – 12.50 €", "every tool", "started somewhere else"] {
        assert!(page.text().contains(shown), "{shown}: {}", page.text());
    }
    let answer = press(&mut flow.browser, &path, &page, "allow").await;
    assert!(answer.text().contains("may now act in your name"), "{}", answer.text());
    assert_eq!(waiting(&mut flow.browser).await, None);
    assert_eq!(press(&mut flow.browser, &path, &page, "allow").await.status, 404, "it was answered already");

    flow.app.clock().advance(Span::seconds(11));
    let tokens = poll(&flow, &begun).await.ok();
    let access = tokens["access_token"].as_str().unwrap();
    assert_eq!((&tokens["token_type"], tokens["refresh_token"].is_string()), (&json!("DPoP"), true));
    let people = flow.app.admin("GET", "/v1/people", Value::Null).await.ok();
    assert_eq!(super::client::claims(access)["sub"], people["items"][0]["id"], "in the person's name");
    assert!(flow.is_in_force(access).await);
    let log = flow.app.log().await;
    for change in ["ask_elsewhere consent", "allow consent"] {
        assert!(log.iter().any(|entry| entry["change"] == change), "{change}: {log:#?}");
    }

    flow.app.clock().advance(Span::seconds(11));
    assert_eq!(error(&poll(&flow, &begun).await, 400), "invalid_grant", "it is good once");
    assert!(!flow.is_in_force(access).await, "its second use ends the session");
}

#[tokio::test]
async fn a_yes_takes_a_passkey_and_is_the_persons_own() {
    let (mut flow, mut passkey) = flow().await;
    let begun = begin(&flow, &[]).await.ok();
    let path = waiting(&mut flow.browser).await.unwrap();
    let page = flow.browser.get(&path).await;

    let mut bob = Browser::of_person(&flow.app, "bob@example.com").await;
    assert_eq!(waiting(&mut bob).await, None);
    assert_eq!(bob.get(&path).await.status, 404);
    let form = bob.form_key().await;
    let forged = bob
        .post(
            &path,
            &[
                ("form", &form),
                ("shown", &hidden(&page.text(), "shown")),
                ("lasts", "60"),
                ("keep", "0"),
                ("answer", "allow"),
            ],
        )
        .await;
    assert_eq!(forged.status, 404);

    flow.app.clock().advance(Span::minutes(6));
    let late = press(&mut flow.browser, &path, &page, "allow").await;
    assert!(late.status == 403 && late.text().contains("C2045"), "no passkey of these five minutes: {}", late.text());
    let lead = flow.browser.get(&path).await;
    assert_eq!((lead.status.as_u16(), lead.header("location")), (303, format!("/step-up?to={path}")));
    assert_eq!(error(&poll(&flow, &begun).await, 400), "authorization_pending");
    flow.browser.step_up(&mut passkey).await;
    let page = flow.browser.get(&path).await;
    assert_eq!(press(&mut flow.browser, &path, &page, "allow").await.status, 200);
    flow.app.clock().advance(Span::seconds(6));
    assert!(poll(&flow, &begun).await.ok()["access_token"].is_string());
}

#[tokio::test]
async fn a_no_and_a_silence_of_somebody_elsewhere_are_told() {
    let (mut flow, _passkey) = flow().await;
    let begun = begin(&flow, &[]).await.ok();
    let path = waiting(&mut flow.browser).await.unwrap();
    let page = flow.browser.get(&path).await;
    assert!(press(&mut flow.browser, &path, &page, "deny").await.text().contains("may not act"));
    assert_eq!(error(&poll(&flow, &begun).await, 400), "access_denied");

    let begun = begin(&flow, &[("requested_expiry", "60")]).await.ok();
    assert_eq!(begun["expires_in"], 60);
    flow.app.clock().advance(Span::seconds(60));
    assert_eq!(error(&poll(&flow, &begun).await, 400), "expired_token");
    assert_eq!(waiting(&mut flow.browser).await, None);
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_as_the_specification_says() {
    let (flow, _passkey) = flow().await;
    for (changes, status, expected) in [
        (&[("login_hint", "nobody@example.com")][..], 400, "unknown_user_id"),
        (&[("login_hint", "")], 400, "invalid_request"),
        (&[("id_token_hint", "x.y.z")], 400, "invalid_request"),
        (&[("login_hint_token", "x")], 400, "invalid_request"),
        (&[("binding_message", "a\u{202e}b")], 400, "invalid_binding_message"),
        (&[("requested_expiry", "0")], 400, "invalid_request"),
        (&[("scope", "openid")], 400, "invalid_scope"),
        (&[("resource", "https://elsewhere.example")], 400, "invalid_target"),
        (&[("authorization_details", "[{}]")], 400, "invalid_authorization_details"),
    ] {
        assert_eq!(error(&begin(&flow, changes).await, status), expected, "{changes:?}");
    }
    let form = [("client_id".to_owned(), "helper".to_owned()), ("login_hint".to_owned(), MARA.to_owned())];
    let unsigned = flow.send(Some(flow.agent.key()), "/oauth/bc-authorize", &form).await;
    assert_eq!(error(&unsigned, 401), "invalid_client");
    for _ in 0..5 {
        begin(&flow, &[]).await.ok();
    }
    assert_eq!(error(&begin(&flow, &[]).await, 503), "temporarily_unavailable", "nobody reads more");
}

#[tokio::test]
async fn a_person_who_may_not_let_it_act_is_not_asked() {
    let (mut flow, _passkey) = flow().await;
    flow.app.write_policy(
        "people.cedar",
        "@id(\"nothing\") forbid (principal is Human, action == Action::\"delegate\", resource is Agent);",
    );
    flow.app.admin("POST", "/v1/policies/reload", json!({})).await.ok();
    assert_eq!(error(&begin(&flow, &[]).await, 403), "access_denied");
    assert_eq!(waiting(&mut flow.browser).await, None);
}

#[tokio::test]
async fn an_auth_req_id_is_its_clients_and_its_keys() {
    let (mut flow, _passkey) = flow().await;
    let begun = begin(&flow, &[]).await.ok();
    let path = waiting(&mut flow.browser).await.unwrap();
    let page = flow.browser.get(&path).await;
    press(&mut flow.browser, &path, &page, "allow").await;
    let form = [("grant_type", GRANT), ("auth_req_id", begun["auth_req_id"].as_str().unwrap())];
    let other = flow.post_by(&AgentKey::generate().unwrap(), "/oauth/token", &form).await;
    assert_eq!(error(&other, 400), "invalid_grant", "another key");
    let stranger = flow.app.agent("stranger").await;
    assert_eq!(error(&flow.post_as(&stranger, "/oauth/token", &form).await, 400), "invalid_grant", "another client");
    flow.app.admin("POST", &format!("/v1/people/{MARA}/suspend"), json!({})).await.ok();
    assert_eq!(error(&poll(&flow, &begun).await, 400), "invalid_grant", "the person was suspended meanwhile");
}
