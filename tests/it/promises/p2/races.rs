//! (b) One approval, redeemed by many at once.

use std::sync::atomic::Ordering;

use chancery_server::Approvals;
use chancery_testkit::TestApp;
use tokio::task::JoinSet;

use crate::oversee::world::{POLICY, World, ran};
use crate::promises::{Size, size};

/// Redemptions at once; an agent may have 128 requests in progress, so the rest is refused for that.
const AT_ONCE: usize = 200;

/// For each race, how many of its calls the upstream was sent.
async fn races(count: usize) -> Vec<usize> {
    let builder = TestApp::builder()
        .policy("approvals.cedar", POLICY)
        .config(|config| config.approvals = Approvals { waiting: 1_000_000, hourly: 1_000_000, hold: 0, decoys: 0 });
    let world = World::of(builder).await;
    let client = world.client().await;
    let mut sent = Vec::new();
    for race in 0..count {
        let amount = 300 + i64::try_from(race).unwrap();
        let asked = client.refund(amount).await;
        let text = asked["result"]["content"][0]["text"].as_str().unwrap().to_owned();
        let id = &text.split("/approvals/").nth(1).unwrap()[..30];
        assert_eq!(world.say("fin", id, "approve").await.status, 200);
        let before = world.upstream.calls().len();
        let mut calls = JoinSet::new();
        for _ in 0..AT_ONCE {
            let client = client.clone();
            calls.spawn(async move { ran(&client.refund(amount).await) });
        }
        let ran = calls.join_all().await.into_iter().filter(|ran| *ran).count();
        let arrived = world.upstream.calls().len() - before;
        assert_eq!(ran, arrived, "what ran was sent, and nothing else");
        sent.push(arrived);
    }
    sent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_200_redemptions_at_once_one_runs() {
    let count = if size() == Size::Full { 1_000 } else { 100 };
    let sent = races(count).await;
    assert!(sent.iter().all(|sent| *sent == 1), "{sent:?}");
    println!("promise P2: {count} races of {AT_ONCE} redemptions of one approval at once: one ran in each");
}

/// The negative control: where its use is not looked at, more than one runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_whose_use_is_not_looked_at_is_noticed() {
    chancery_record::faults::REUSED.store(true, Ordering::SeqCst);
    let sent = races(3).await;
    assert!(sent.iter().any(|sent| *sent > 1), "{sent:?}");
}
