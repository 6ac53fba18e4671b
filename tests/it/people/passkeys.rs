//! Passkeys: registered at the one-time link, shown to sign in and to step up. The authenticator is one in software; the
//! real browser is in `browser.rs`.

use chancery_model::Span;
use chancery_testkit::{Browser, Passkey, TestApp};
use serde_json::{Value, json};

const MARA: &str = "mara@example.com";

async fn mara(app: &TestApp) -> (Browser, Passkey) {
    Browser::with_roles(app, MARA, &["admin"]).await
}

async fn is_signed_in(browser: &mut Browser) -> bool {
    browser.get("/sign-in").await.text().contains("You are signed in")
}

async fn proved(browser: &mut Browser) -> Value {
    browser.api("GET", "/v1/me", Value::Null).await.ok()["proved_at"].clone()
}

#[tokio::test]
async fn a_passkey_is_registered_at_the_link_and_signs_in_from_then_on() {
    let app = TestApp::start().await;
    let made = app.admin("POST", "/v1/admin/setup-link", json!({"name": MARA})).await.ok();
    assert!(made["link"].as_str().unwrap().starts_with(app.app().people_url()), "{made}");
    let mut browser = Browser::new(&app);
    browser.sign_in(&app, MARA).await;
    let page = browser.get("/sign-in").await;
    assert!(page.text().contains("data-passkey=\"create\""), "the link leads to a passkey: {}", page.text());
    let before = browser.cookies();
    let mut passkey = browser.register_passkey().await;
    assert_ne!(browser.cookies(), before, "the cookie is rotated");
    assert!(browser.get("/passkeys").await.text().contains("a test&#39;s"));

    let key = browser.form_key().await;
    assert_eq!(browser.post("/sign-out", &[("form", &key)]).await.status, 303);
    assert!(!is_signed_in(&mut browser).await);
    for _ in 0..2 {
        let before = browser.cookies();
        let answer = browser.enter(&mut passkey).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (303, "/sign-in".into()), "{}", answer.text());
        assert!(is_signed_in(&mut browser).await);
        assert_ne!(browser.cookies(), before);
        browser.forget();
    }
    let log = app.log().await;
    let changes: Vec<&str> = log.iter().filter_map(|e| e["change"].as_str()).collect();
    for change in ["add passkey", "sign_in login", "sign_out login"] {
        assert!(changes.contains(&change), "`{change}` is not in the log: {changes:?}");
    }
}

#[tokio::test]
async fn what_a_passkey_signed_counts_once_and_for_one_thing() {
    let app = TestApp::start().await;
    let (browser, mut passkey) = mara(&app).await;
    let mut other = Browser::new(&app);
    let fields = other.shown("/sign-in", &mut passkey).await;
    assert_eq!(other.send("/sign-in", &fields).await.status, 303);
    other.forget();
    assert_eq!(other.send("/sign-in", &fields).await.status, 403, "the same answer a second time");

    let fields = other.shown("/sign-in", &mut passkey).await;
    app.clock().advance(Span::minutes(5));
    assert_eq!(other.send("/sign-in", &fields).await.status, 403, "five minutes later");

    let fields = browser.clone().shown("/sign-in?x", &mut passkey).await;
    assert!(fields.is_empty(), "who is signed in is asked at `/step-up`");
    let mut stepping = browser.clone();
    let fields = stepping.shown("/step-up", &mut passkey).await;
    assert_eq!(other.send("/sign-in", &fields).await.status, 403, "an answer to step up with signs nobody in");
}

#[tokio::test]
async fn a_copied_or_unverified_passkey_is_refused() {
    let app = TestApp::start().await;
    let (_, mut passkey) = mara(&app).await;
    let mut browser = Browser::new(&app);
    assert_eq!(browser.enter(&mut passkey).await.status, 303);
    browser.forget();
    passkey.count -= 1;
    assert_eq!(browser.enter(&mut passkey).await.status, 403, "the device counted backwards");
    assert_eq!(browser.enter(&mut passkey).await.status, 303);
    browser.forget();
    for flags in [0x00, 0x01, 0x04] {
        passkey.flags = flags;
        assert_eq!(browser.enter(&mut passkey).await.status, 403, "{flags:#x}");
    }
}

#[tokio::test]
async fn a_passkey_of_nobody_here_signs_nobody_in() {
    let app = TestApp::start().await;
    let (mut browser, mut passkey) = mara(&app).await;
    app.admin("POST", &format!("/v1/people/{MARA}/suspend"), json!({"reason": "left"})).await.ok();
    assert!(!is_signed_in(&mut browser).await);
    assert_eq!(browser.enter(&mut passkey).await.status, 404, "a suspended person");
    app.admin("POST", &format!("/v1/people/{MARA}/resume"), json!({})).await.ok();
    assert_eq!(browser.enter(&mut passkey).await.status, 303);

    let other = TestApp::start().await;
    let (_, mut foreign) = Browser::with_roles(&other, MARA, &[]).await;
    browser.forget();
    assert_eq!(browser.enter(&mut foreign).await.status, 404, "another server's passkey");
}

#[tokio::test]
async fn stepping_up_rotates_the_cookie_and_counts_for_five_minutes() {
    let app = TestApp::start().await;
    let (mut browser, mut passkey) = mara(&app).await;
    let first = proved(&mut browser).await;
    assert!(first.is_string());
    app.clock().advance(Span::minutes(6));
    let rotate = json!({});
    assert_eq!(browser.api("POST", "/v1/keys/rotate", rotate.clone()).await.problem(401), "C1084");
    let before = browser.clone();
    assert_eq!(browser.step_up(&mut passkey).await.status, 303);
    assert_ne!(browser.cookies(), before.cookies());
    assert!(!is_signed_in(&mut before.clone()).await, "the cookie before is worth nothing");
    assert_ne!(proved(&mut browser).await, first);
    browser.api("POST", "/v1/keys/rotate", rotate.clone()).await.ok();

    let (mut lee, mut theirs) = Browser::with_roles(&app, "lee", &[]).await;
    assert_eq!(lee.step_up(&mut passkey).await.status, 404, "another person's passkey");
    assert_eq!(lee.step_up(&mut theirs).await.status, 303);
}

#[tokio::test]
async fn passkeys_are_renamed_and_removed() {
    let app = TestApp::start().await;
    let (mut browser, mut passkey) = mara(&app).await;
    let mut elsewhere = Browser::new(&app);
    assert_eq!(elsewhere.enter(&mut passkey).await.status, 303);
    let page = browser.get("/passkeys").await.text();
    let path = page.split("action=\"").find(|part| part.starts_with("/passkeys/pky_")).unwrap();
    let path = path.split('"').next().unwrap().to_owned();
    let key = browser.form_key().await;
    let renamed = browser.post(&path, &[("form", &key), ("do", "rename"), ("name", "<phone>")]).await;
    assert_eq!(renamed.status, 303);
    assert!(browser.get("/passkeys").await.text().contains("&lt;phone&gt;"));

    let (mut lee, _) = Browser::with_roles(&app, "lee", &[]).await;
    let theirs = lee.form_key().await;
    for verb in ["rename", "remove"] {
        let form = [("form", theirs.as_str()), ("do", verb), ("name", "mine")];
        assert_eq!(lee.post(&path, &form).await.status, 404, "another person's: {verb}");
    }
    app.clock().advance(Span::minutes(6));
    let remove = [("form", key.as_str()), ("do", "remove")];
    assert_eq!(browser.post(&path, &remove).await.header("location"), "/step-up?to=/passkeys");
    assert_eq!(browser.step_up(&mut passkey).await.status, 303);
    let key = browser.form_key().await;
    assert_eq!(browser.post(&path, &[("form", &key), ("do", "remove")]).await.header("location"), "/passkeys");
    assert!(is_signed_in(&mut browser).await && !is_signed_in(&mut elsewhere).await, "other logins end with it");
    browser.forget();
    assert_eq!(browser.enter(&mut passkey).await.status, 404, "it is gone");
}

#[tokio::test]
async fn an_old_login_registers_no_passkey() {
    let app = TestApp::start().await;
    let mut browser = Browser::of_person(&app, MARA).await;
    let page = browser.get("/passkeys").await.text();
    assert!(page.contains("data-passkey=\"create\""));
    app.clock().advance(Span::minutes(6));
    let page = browser.get("/passkeys").await.text();
    assert!(!page.contains("data-passkey=\"create\"") && page.contains("/step-up"), "{page}");
}

#[tokio::test]
async fn the_first_link_opens_on_the_host_only() {
    let app = TestApp::start().await;
    let link = app.admin("POST", "/v1/admin/setup-link", json!({"name": MARA})).await.ok();
    let path = link["link"].as_str().unwrap().strip_prefix(app.app().people_url()).unwrap().to_owned();
    let elsewhere = [("x-forwarded-for", "192.0.2.7")];
    let mut browser = Browser::new(&app);
    assert_eq!(browser.get_with(&path, &elsewhere).await.status, 403);
    let origin = app.app().people_url().to_owned();
    let posted = [("origin", origin.as_str()), ("x-forwarded-for", "192.0.2.7")];
    let answer = browser.post_with(&path, &[], &posted).await;
    assert!(answer.status == 403 && answer.text().contains("C1086"), "{}", answer.text());
    assert_eq!(browser.get(&path).await.status, 200, "a refused visit does not use it up");
    assert_eq!(browser.post(&path, &[]).await.status, 303);
    assert_eq!(browser.post(&path, &[]).await.status, 403, "twice");
    browser.register_passkey().await;

    // From now on the server is somebody's: the next one's link opens anywhere.
    let link = app.admin("POST", "/v1/admin/setup-link", json!({"name": "lee"})).await.ok();
    let path = link["link"].as_str().unwrap().strip_prefix(app.app().people_url()).unwrap().to_owned();
    assert_eq!(Browser::new(&app).get_with(&path, &elsewhere).await.status, 200);
    app.clock().advance(Span::minutes(15));
    assert_eq!(Browser::new(&app).get(&path).await.status, 403, "late");
}

#[tokio::test]
async fn pages_are_under_one_name_and_programs_where_they_were() {
    let app = TestApp::start().await;
    let answer = app.http().get(&app.at("/device?user_code=BCDF-GHJK")).await;
    let home = app.app().people_url();
    assert!(home.starts_with("http://localhost:") && app.url().starts_with("http://127.0.0.1:"), "{home}");
    assert_eq!(answer.header("location"), format!("{home}/device?user_code=BCDF-GHJK"));
    let metadata = app.http().get(&app.at("/.well-known/oauth-authorization-server")).await.ok();
    assert_eq!(metadata["issuer"], app.url());

    let app = TestApp::builder().config(|c| c.people.url = Some("https://people.example".into())).start().await;
    let answer = app.http().get(&format!("http://{}/sign-in", app.app().address())).await;
    assert_eq!(answer.header("location"), "https://people.example/sign-in");
}

#[tokio::test]
async fn only_pages_with_passkeys_have_a_script() {
    let app = TestApp::start().await;
    let mut browser = Browser::of_person(&app, MARA).await;
    for (path, scripted) in [("/passkeys", true), ("/device", false), ("/proposals", false)] {
        let page = browser.get(path).await;
        let policy = page.header("content-security-policy");
        assert_eq!(policy.contains("script-src 'self'"), scripted, "{path}: {policy}");
        assert!(!policy.contains("unsafe") && !page.text().contains("<script>"), "{path}");
        assert_eq!(page.text().contains("<script src=\"/passkey.js\" defer>"), scripted, "{path}");
    }
    let script = browser.get("/passkey.js").await;
    assert!(script.header("content-type").starts_with("text/javascript"));
}
