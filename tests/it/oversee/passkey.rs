//! A yes on which much hangs is signed by a passkey, for exactly what was shown.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chancery_it::{Seeded, WallClock};
use chancery_model::DecisionId;
use chancery_store::{Config, Store, bodies};
use chancery_testkit::{Answer, Browser, Passkey, TestApp, hidden};
use serde_json::{Value, json};

use super::world::{Client, World, ask, ran, refused};

const POLICY: &str = r#"
@id("big-refund") @approvers("ap-finance") @approve_within("600") @risk("high")
forbid (principal, action == Action::"s/refund", resource)
when { context.args.amount > 200 }
unless { context.approval.granted };
"#;

async fn world() -> World {
    World::of(TestApp::builder().policy("approvals.cedar", POLICY)).await
}

async fn path(world: &World, client: &Client, amount: i64) -> String {
    format!("/approvals/{}", ask(world, client, amount).await)
}

type Fields = Vec<(&'static str, String)>;

/// What a page sends for a yes.
async fn signed(browser: &mut Browser, passkey: &mut Passkey, path: &str) -> Fields {
    let mut fields = browser.shown(path, passkey).await;
    fields.push(("seen", hidden(&browser.get(path).await.text(), "seen")));
    fields.push(("say", "approve".into()));
    fields
}

async fn unsigned(browser: &mut Browser, path: &str) -> Answer {
    let page = browser.get(path).await.text();
    let (form, seen) = (hidden(&page, "form"), hidden(&page, "seen"));
    browser.post(path, &[("form", &form), ("seen", &seen), ("say", "approve")]).await
}

/// The same fields, some of them taken from others.
fn with(mut fields: Fields, other: &Fields, names: &[&str]) -> Fields {
    for (name, value) in &mut fields {
        if names.contains(name) {
            *value = other.iter().find(|(other, _)| other == name).expect("a field").1.clone();
        }
    }
    fields
}

#[tokio::test]
async fn a_yes_to_what_is_risky_is_signed_for_that_alone() {
    let world = world().await;
    let client = world.client().await;
    let (mut fin, mut passkey) = Browser::with_roles(&world.app, "fin", &[]).await;
    let (first, second) = (path(&world, &client, 340).await, path(&world, &client, 900).await);
    let without = unsigned(&mut fin, &first).await;
    assert!(without.status == 403 && without.text().contains("C2045"), "{}", without.text());

    let of_second = signed(&mut fin, &mut passkey, &second).await;
    let names = ["credential", "client_data", "authenticator_data", "signature", "user"];
    let of_first = signed(&mut fin, &mut passkey, &first).await;
    let moved = with(of_first.clone(), &of_second, &names);
    let refused_there = fin.send(&first, &moved).await;
    assert!(refused_there.status == 403 && refused_there.text().contains("C1085"), "{}", refused_there.text());
    let step_up = fin.shown("/step-up", &mut passkey).await;
    assert_eq!(fin.send(&first, &with(of_first.clone(), &step_up, &names)).await.status, 403, "for another purpose");
    assert!(!ran(&client.refund(340).await));

    let fresh = signed(&mut fin, &mut passkey, &first).await;
    let said = fin.send(&first, &fresh).await;
    assert_eq!(said.status, 200, "{}", said.text());
    assert!(ran(&client.refund(340).await) && !ran(&client.refund(900).await));
    evidence(world, &first, &fresh).await;
}

/// The record has what was signed, by which key, and the challenge begins with the digest of what was shown.
async fn evidence(world: World, path: &str, sent: &Fields) {
    let id = path.rsplit('/').next().unwrap();
    let asked = world.app.admin("GET", &format!("/v1/approvals/{id}"), Value::Null).await.ok();
    let vote = &asked["votes"][0];
    assert!(vote["proved"] == true && vote["passkey"].as_str().unwrap().starts_with("pky_"), "{vote}");
    let field = |name: &str| &sent.iter().find(|(field, _)| *field == name).unwrap().1;
    let client_data = URL_SAFE_NO_PAD.decode(field("client_data")).unwrap();
    let client_data: Value = serde_json::from_slice(&client_data).unwrap();
    let challenge = URL_SAFE_NO_PAD.decode(client_data["challenge"].as_str().unwrap()).unwrap();
    let begins: String = challenge[..32].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(asked["digest"], json!(format!("sha256:{begins}")));
    let log = world.app.log().await;
    let entry = log.iter().find(|entry| entry["change"] == "approve approval").expect("an entry");
    let position = entry["id"].as_str().unwrap().parse::<DecisionId>().unwrap().0;
    let directory = world.app.stop().await;
    let config = Config::at(directory.path().join("data"));
    let store = Store::open(&config, Arc::new(WallClock), Arc::new(Seeded::new(1))).await.unwrap();
    let kept = bodies::get(&store, position).await.unwrap();
    let kept =
        kept.into_iter().find(|body| body.name == "passkey").and_then(|body| body.kept).expect("what was signed");
    let kept: Value = serde_json::from_slice(&kept.content).unwrap();
    for part in ["client_data", "authenticator_data", "signature"] {
        assert_eq!(kept[part], json!(field(part)), "{part}");
    }
    assert!(kept["public_key"].as_str().is_some_and(|key| key.len() > 40), "{kept}");
}

#[tokio::test]
async fn a_passkey_counts_once_and_only_for_its_person() {
    let world = world().await;
    let client = world.client().await;
    let (mut fin, mut passkey) = Browser::with_roles(&world.app, "fin", &[]).await;
    let (mut ann, mut other) = Browser::with_roles(&world.app, "ann", &[]).await;
    let path = path(&world, &client, 340).await;
    let of_fin = signed(&mut fin, &mut passkey, &path).await;
    let of_ann = signed(&mut ann, &mut other, &path).await;
    let names = ["credential", "client_data", "authenticator_data", "signature", "user"];
    let mixed = with(of_fin.clone(), &of_ann, &names);
    assert_eq!(fin.send(&path, &mixed).await.status, 403, "somebody else's passkey, in another login");
    assert_eq!(fin.send(&path, &of_fin).await.status, 200);
    let again = fin.send(&path, &of_fin).await;
    assert!(again.status == 403 && again.text().contains("C1085"), "{}", again.text());
}

#[tokio::test]
async fn who_has_no_passkey_can_still_say_no() {
    let world = world().await;
    let client = world.client().await;
    let path = path(&world, &client, 340).await;
    let mut fin = world.browser("fin").await;
    let page = fin.get(&path).await.text();
    assert!(page.contains("register one") && page.contains("value=\"approve\" disabled"), "{page}");
    let nobody = Browser::new(&world.app).get(&path).await;
    assert!(nobody.status == 401 && nobody.text().contains("data-passkey=\"get\""), "{}", nobody.text());
    assert!(!nobody.text().contains("refund"), "nothing is told before somebody signs in");
    let policy = nobody.header("content-security-policy");
    assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(world.say("fin", path.rsplit('/').next().unwrap(), "deny").await.status, 200);
    assert_eq!(refused(&client.refund(340).await).0, "C2046");
}
