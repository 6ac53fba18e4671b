//! Exercises of the switch that meet an emergency, or are interrupted.

use std::path::Path;
use std::sync::Arc;

use chancery_it::{Seeded, WallClock};
use chancery_model::{Clock, Containment, Random, Scope, Span};
use chancery_oversee::containment::{Means, Wanted, contain, lift_drill};
use chancery_store::{Config, Store};
use chancery_testkit::TestApp;
use serde_json::{Value, json};

const DRILL: &str = "drill:local:0";

fn wanted<'a>(subject: &'a str, by: &'a str, reason: &'a str) -> Wanted<'a> {
    Wanted { scope: Scope::Agent, subject, known: true, reason, by }
}

/// Whoever kills what a drill has stopped must not be let down by the end of the drill.
#[tokio::test]
async fn a_kill_during_a_drill_outlives_it() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, random): (Arc<dyn Clock>, Arc<dyn Random>) = (Arc::new(WallClock), Arc::new(Seeded::new(1)));
    let store = Store::open(&Config::at(dir.path()), Arc::clone(&clock), Arc::clone(&random)).await.unwrap();
    let means = Means { store: &store, clock: &*clock, random: &*random };
    let drilled = contain(means, wanted("crm", DRILL, "a drill")).await.unwrap().containment;
    let again = contain(means, wanted("crm", "drill:ada", "another drill")).await.unwrap();
    assert!(again.entry.is_none() && again.containment.by == DRILL, "a drill does not take a drill over");
    let killed = contain(means, wanted("crm", "ada", "it pays strangers")).await.unwrap();
    assert!(killed.entry.is_some(), "it is on the record");
    let Containment { id, by, reason, .. } = &killed.containment;
    assert_eq!((id, by.as_str(), reason.as_str()), (&drilled.id, "ada", "it pays strangers"));
    assert!(lift_drill(means, id.as_str(), DRILL, "the drill is over").await.unwrap().already);
    let stands = chancery_store::containments::standing(&store).await.unwrap();
    assert_eq!(stands, std::slice::from_ref(&killed.containment));
    // The same without anybody who means it.
    contain(means, wanted("pay", DRILL, "a drill")).await.unwrap();
    let other = chancery_store::containments::in_force(&store, Scope::Agent, "pay").await.unwrap().unwrap();
    assert!(!lift_drill(means, other.id.as_str(), DRILL, "the drill is over").await.unwrap().already);
    store.close().await;
}

/// A process that went away in the middle of a drill leaves nobody stopped.
#[tokio::test]
async fn a_drill_that_was_interrupted_is_ended_and_says_so() {
    let app = TestApp::start().await;
    app.agent("crm").await;
    app.agent("pay").await;
    let kill = json!({"scope": "agent", "subject": "pay", "reason": "in earnest"});
    app.admin("POST", "/v1/containments", kill).await.ok();
    let (clock, random) = (app.time(), app.random());
    // As a crash would leave it: contained by a drill, and nobody there who lets it go.
    let crashed = async |data: &Path| {
        let store = Store::open(&Config::at(data), Arc::clone(&clock), random).await.unwrap();
        let means = Means { store: &store, clock: &*clock, random: &Seeded::new(2) };
        contain(means, wanted("crm", DRILL, "a drill")).await.unwrap();
        store.close().await;
    };
    let app = app.restart_after(crashed).await;
    let standing = async || {
        let found = app.admin("GET", "/v1/containments", Value::Null).await.ok();
        let subjects = found["items"].as_array().unwrap().iter();
        let mut subjects: Vec<String> = subjects.map(|item| item["subject"].as_str().unwrap().to_owned()).collect();
        subjects.sort();
        subjects
    };
    assert_eq!(standing().await, ["crm", "pay"], "it may be under way still");
    app.clock().advance(Span::seconds(61));
    for _ in 0..1_000 {
        if standing().await == ["pay"] {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(standing().await, ["pay"]);
    let log = app.log().await;
    let ended = log.iter().find(|entry| entry["change"] == "end drill").unwrap_or_else(|| panic!("{log:#?}"));
    assert!(ended["after"].as_str().unwrap().contains("\"interrupted\":true"), "{ended:#}");
}
