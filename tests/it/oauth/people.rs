//! People sign in with one-time links, and out again.

use chancery_model::Span;
use chancery_testkit::{Browser, TestApp};
use serde_json::{Value, json};

const MARA: &str = "mara@example.com";

async fn with_mara() -> TestApp {
    let app = TestApp::start().await;
    app.admin("POST", "/v1/people", json!({"name": MARA, "display": "Mara <K>"})).await.ok();
    app
}

async fn is_signed_in(browser: &mut Browser) -> bool {
    browser.get("/sign-in").await.text().contains("You are signed in")
}

#[tokio::test]
async fn people_are_added_once_and_listed() {
    let app = with_mara().await;
    let again = app.admin("POST", "/v1/people", json!({"name": MARA})).await;
    assert_eq!(again.problem(409), "C6031");
    assert_eq!(app.admin("POST", "/v1/people", json!({"name": "Mara@example.com"})).await.problem(400), "C6003");
    let found = app.admin("GET", "/v1/people", Value::Null).await.ok();
    assert_eq!(found["items"][0]["name"], MARA);
    assert_eq!(app.admin("POST", "/v1/people/ghost/setup-link", json!({})).await.problem(404), "C6030");
    assert_eq!(app.admin("POST", "/v1/people/ghost/suspend", json!({})).await.problem(404), "C6030");
    assert_eq!(app.admin("POST", &format!("/v1/people/{MARA}/resume"), json!({})).await.problem(409), "C6032");
}

#[tokio::test]
async fn a_link_signs_in_once_and_only_by_its_button() {
    let app = with_mara().await;
    let link = app.sign_in_link(MARA).await;
    let mut browser = Browser::new(&app);
    for _ in 0..3 {
        let page = browser.get(&link).await;
        assert_eq!(page.status, 200, "looking at a link used it up");
        assert!(page.text().contains("Mara &lt;K&gt;"), "{}", page.text());
        assert!(page.header("set-cookie").is_empty());
    }
    let answer = browser.post(&link, &[]).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, "/sign-in".into()));
    let cookie = answer.header("set-cookie");
    assert!(cookie.contains("HttpOnly; SameSite=Strict") && cookie.contains("Path=/;"), "{cookie}");
    assert!(!cookie.contains("Secure") && !cookie.starts_with("__Host-"), "plain loopback has no TLS: {cookie}");
    assert!(is_signed_in(&mut browser).await);

    let mut other = Browser::new(&app);
    assert_eq!(other.get(&link).await.status, 403);
    assert_eq!(other.post(&link, &[]).await.status, 403);
    assert!(!is_signed_in(&mut other).await);
}

#[tokio::test]
async fn behind_tls_the_cookie_is_bound_to_the_host() {
    let app = TestApp::builder().config(|c| c.public_url = Some("https://id.example".into())).start().await;
    app.admin("POST", "/v1/people", json!({"name": MARA})).await.ok();
    let made = app.admin("POST", &format!("/v1/people/{MARA}/setup-link"), json!({})).await.ok();
    let path = made["link"].as_str().unwrap().strip_prefix("https://id.example").unwrap().to_owned();
    let at = format!("http://{}{path}", app.app().address());
    let request = http::Request::post(at)
        .header("host", "id.example")
        .header("origin", "https://id.example")
        .header("content-type", "application/x-www-form-urlencoded");
    let answer = app.http().send(request.body(http_body_util::Full::default()).unwrap()).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with("__Host-chancery=") && cookie.ends_with("SameSite=Strict; Secure"), "{cookie}");
}

#[tokio::test]
async fn links_are_replaced_by_newer_ones_and_expire() {
    let app = with_mara().await;
    let (first, second) = (app.sign_in_link(MARA).await, app.sign_in_link(MARA).await);
    let mut browser = Browser::new(&app);
    assert_eq!(browser.get(&first).await.status, 403, "a newer link voids the one before");
    app.clock().advance(Span::minutes(15));
    assert_eq!(browser.get(&second).await.status, 403, "a link lives a quarter of an hour");
    assert_eq!(browser.post(&second, &[]).await.status, 403);
    assert_eq!(browser.get("/sign-in/chy-link-unheard-of").await.status, 403);
}

#[tokio::test]
async fn a_login_is_new_each_time_and_ends_by_time() {
    let app = with_mara().await;
    let mut browser = Browser::of_person(&app, "lee").await;
    let first = browser.clone();
    browser.sign_in(&app, "lee").await;
    assert_ne!(first.cookies(), browser.cookies(), "the cookie is new at every login");
    assert!(!is_signed_in(&mut first.clone()).await, "the login before is over");

    for _ in 0..2 {
        app.clock().advance(Span::minutes(14));
        assert!(is_signed_in(&mut browser).await, "use keeps a login alive");
    }
    app.clock().advance(Span::minutes(15));
    assert!(!is_signed_in(&mut browser).await, "unused for 15 minutes");

    browser.sign_in(&app, "lee").await;
    for _ in 0..48 {
        app.clock().advance(Span::minutes(10));
        is_signed_in(&mut browser).await;
    }
    assert!(!is_signed_in(&mut browser).await, "8 hours are the most");
}

#[tokio::test]
async fn a_login_outlives_a_restart_and_a_suspension_ends_it() {
    let app = with_mara().await;
    let mut browser = Browser::new(&app);
    browser.sign_in(&app, MARA).await;
    let app = app.restart().await;
    let mut browser = browser.at(&app);
    assert!(is_signed_in(&mut browser).await);

    let link = app.sign_in_link(MARA).await;
    app.admin("POST", &format!("/v1/people/{MARA}/suspend"), json!({"reason": "left"})).await.ok();
    assert!(!is_signed_in(&mut browser).await);
    assert_eq!(browser.post(&link, &[]).await.status, 403, "a suspended person signed in");
    assert_eq!(app.admin("POST", &format!("/v1/people/{MARA}/setup-link"), json!({})).await.problem(409), "C6032");
    app.admin("POST", &format!("/v1/people/{MARA}/resume"), json!({})).await.ok();
    assert!(!is_signed_in(&mut browser).await, "what ended stays ended");
    assert_eq!(browser.post(&link, &[]).await.status, 403, "a link from before the suspension");
    let link = app.sign_in_link(MARA).await;
    assert_eq!(browser.post(&link, &[]).await.status, 303);

    let log = app.log().await;
    let changes: Vec<&str> = log.iter().filter_map(|e| e["change"].as_str()).collect();
    for change in ["add person", "make_link person", "sign_in login", "suspend person", "resume person"] {
        assert!(changes.contains(&change), "`{change}` is not in the log: {changes:?}");
    }
}

#[tokio::test]
async fn forms_of_other_sites_are_refused() {
    let app = with_mara().await;
    let mut browser = Browser::new(&app);
    browser.sign_in(&app, MARA).await;
    let key = browser.form_key().await;
    let url = app.url().to_owned();
    let form = [("form", key.as_str())];
    for headers in [
        &[][..],
        &[("origin", "null")],
        &[("origin", "https://evil.example")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "none")],
        &[("origin", url.as_str()), ("sec-fetch-site", "cross-site")],
    ] {
        let answer = browser.post_with("/sign-out", &form, headers).await;
        assert_eq!(answer.status, 403, "{headers:?}");
    }
    for wrong in [&[][..], &[("form", "")], &[("form", "AAAA")], &[("form", &key), ("form", &key)]] {
        assert_eq!(browser.post("/sign-out", wrong).await.status, 403, "{wrong:?}");
    }
    let other = Browser::of_person(&app, "lee").await.form_key().await;
    assert_eq!(browser.post("/sign-out", &[("form", &other)]).await.status, 403, "another login's form");
    assert!(is_signed_in(&mut browser).await);
    assert_eq!(browser.post("/sign-out", &form).await.status, 303);
    assert!(!is_signed_in(&mut browser).await);
}

#[tokio::test]
async fn pages_cannot_be_framed_scripted_or_kept() {
    let app = with_mara().await;
    let mut browser = Browser::new(&app);
    let page = browser.get("/sign-in").await;
    let policy = page.header("content-security-policy");
    for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
    for (name, value) in [
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
        ("cross-origin-opener-policy", "same-origin"),
        ("referrer-policy", "same-origin"),
    ] {
        assert_eq!(page.header(name), value, "{name}");
    }
    let style = browser.get("/page.css").await;
    assert!(style.header("content-type").starts_with("text/css"));
}

#[tokio::test]
async fn a_visit_from_another_site_takes_one_step_more() {
    let app = with_mara().await;
    let mut browser = Browser::new(&app);
    let first = browser.get_with("/sign-in?a=b&c=d", &[("sec-fetch-site", "cross-site")]).await;
    assert!(first.text().contains("content=\"0;url=/sign-in?a=b&amp;c=d\""), "{}", first.text());
    let second = browser.get_with("/sign-in?a=b&c=d", &[("sec-fetch-site", "same-origin")]).await;
    assert!(second.text().contains("Nobody is signed in"), "{}", second.text());
}
