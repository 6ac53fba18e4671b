//! A person confirms presence in a session (RFC 9470).

use chancery_model::Span;
use chancery_testkit::Browser;
use serde_json::{Value, json};

use super::client::{Flow, MARA};

async fn presence(flow: &Flow) -> bool {
    let log = flow.app.log().await;
    log.iter().any(|entry| entry["change"] == "confirm_presence session")
}

async fn confirm(browser: &mut Browser, session: &str) -> u16 {
    let form = browser.form_key().await;
    browser.post(&format!("/presence/{session}"), &[("form", &form)]).await.status.as_u16()
}

#[tokio::test]
async fn the_person_in_whose_name_it_runs_confirms() {
    let mut flow = Flow::start().await;
    let tokens = flow.tokens().await;
    let session = tokens["sid"].as_str().unwrap();
    let page = flow.browser.get(&format!("/presence/{session}")).await.text();
    for shown in ["helper", "is tested", session, "mara@example.com → helper"] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    assert!(!presence(&flow).await, "looking confirms nothing");
    let foreign = flow.browser.post(&format!("/presence/{session}"), &[("form", "x")]).await;
    assert_eq!(foreign.status, 403);
    assert_eq!(confirm(&mut flow.browser, session).await, 200);
    assert!(presence(&flow).await);
    let app = flow.app.restart().await;
    let stored = app.admin("GET", "/v1/sessions?agent=helper&all=true", Value::Null).await.ok();
    assert!(stored.to_string().contains(session), "{stored}");
}

#[tokio::test]
async fn nobody_else_confirms_and_nobody_with_an_old_login() {
    let mut flow = Flow::start().await;
    let tokens = flow.tokens().await;
    let session = tokens["sid"].as_str().unwrap();
    let mut stranger = Browser::of_person(&flow.app, "stranger@example.com").await;
    for id in [session, "ses_00000000000000000000000000", "x"] {
        assert_eq!(stranger.get(&format!("/presence/{id}")).await.status, 403, "{id}");
        assert_eq!(confirm(&mut stranger, id).await, 403, "{id}");
    }
    let mut owner = Browser::of_person(&flow.app, "lee@example.com").await;
    flow.app.clock().advance(Span::minutes(6));
    assert_eq!(confirm(&mut flow.browser, session).await, 401, "the login is too old");
    assert!(!presence(&flow).await);
    assert_eq!(confirm(&mut owner, session).await, 401);
    owner.sign_in(&flow.app, "lee@example.com").await;
    assert_eq!(confirm(&mut owner, session).await, 200, "the agent's owner");
    assert!(presence(&flow).await);

    flow.app.admin("POST", &format!("/v1/sessions/{session}/end"), json!({})).await.ok();
    flow.browser.sign_in(&flow.app, MARA).await;
    assert_eq!(confirm(&mut flow.browser, session).await, 403, "it is over");
}
