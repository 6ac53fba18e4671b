//! (c) The server is killed while approved calls are made.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chancery_it::{Seeded, WallClock};
use chancery_model::{ActResult, Kind};
use chancery_server::Approvals;
use chancery_testkit::{Agent, Browser, HttpUpstream, TestApp, hidden};
use serde_json::{Value, json};

use crate::oversee::world::{POLICY, people};
use crate::promises::p1::served::{Installation, lasting_address, wait_until};
use crate::promises::p1::verify;
use crate::promises::{Size, size};

const SEED: u64 = 20_261_123;
/// Callers of each approved call at once.
const CALLERS: usize = 8;

/// An installation in which so many calls were approved and none was made.
fn installed(count: usize) -> Installation {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let address = lasting_address();
    let (home, upstream, agents) = runtime.block_on(async {
        let upstream = HttpUpstream::start().await;
        let builder = TestApp::builder()
            .http("crm", &upstream)
            .clock(Arc::new(WallClock))
            // What is approved before all of the kills is still good after them.
            .policy("approvals.cedar", &POLICY.replace("s/refund", "crm/refund").replace("\"120\"", "\"3600\""))
            .policy("entities.json", &people())
            .config(move |config| {
                config.listen = address;
                config.approvals = Approvals { waiting: 1_000_000, hourly: 1_000_000, hold: 0, decoys: 0 };
            });
        let app = builder.start().await;
        let agent = app.agent("worker").await;
        app.grant("worker", "crm").await;
        assert!(agent.tools("crm").await.contains(&"refund".to_owned()));
        let mut fin = Browser::of_person(&app, "fin").await;
        for number in 0..count {
            approve(&agent, &mut fin, number).await;
        }
        // An approval is for the session in which it was asked for.
        let (sid, mut agents) = (agent.sid("crm").await, Vec::new());
        for _ in 0..CALLERS {
            agents.push(agent.again(&app, "crm", &sid).await);
        }
        (app.stop().await, upstream, agents)
    });
    let data = home.path().join("data");
    Installation { home, data, address, upstream, agents, runtime }
}

fn arguments(number: usize) -> Value {
    json!({"order": order(number), "amount": 300})
}

fn order(number: usize) -> String {
    format!("o-{number}")
}

async fn approve(agent: &Agent, fin: &mut Browser, number: usize) {
    let asked = agent.call("crm", "refund", arguments(number)).await;
    let text = asked["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{asked}"));
    let path = format!("/approvals/{}", &text.split("/approvals/").nth(1).unwrap()[..30]);
    let page = fin.get(&path).await.text();
    let (form, seen) = (hidden(&page, "form"), hidden(&page, "seen"));
    let said = fin.post(&path, &[("form", &form), ("seen", &seen), ("say", "approve"), ("comment", "")]).await;
    assert_eq!(said.status, 200, "{}", said.text());
}

/// How often the upstream was sent each order.
fn arrived(installation: &Installation) -> BTreeMap<String, usize> {
    let mut arrived = BTreeMap::new();
    for call in installation.upstream.calls() {
        let order = call.message["params"]["arguments"]["order"].as_str().unwrap().to_owned();
        *arrived.entry(order).or_default() += 1;
    }
    arrived
}

/// What became of every intent to refund.
fn refunds(installation: &Installation) -> Vec<Option<ActResult>> {
    let mut refunds = BTreeMap::new();
    verify(&installation.data, |entry| match (entry.draft.kind, entry.draft.closes) {
        (Kind::Intent, _) if entry.draft.what.tool.as_deref() == Some("refund") => {
            refunds.insert(entry.header.position, None);
        }
        (Kind::Outcome, Some(intent)) => drop(refunds.get_mut(&intent).map(|result| *result = entry.draft.result)),
        _ => {}
    })
    .unwrap();
    refunds.into_values().collect()
}

/// All agents make a call at once; whatever becomes of it.
fn call_at_once(installation: &Installation, number: usize) -> Vec<tokio::task::JoinHandle<()>> {
    let call = |agent: Agent| async move {
        // A server that has just started takes no assertion of before, so that none is taken twice.
        for _ in 0..100 {
            if agent.call("crm", "refund", arguments(number)).await["error"] != "invalid_client" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    installation.agents.iter().cloned().map(|agent| installation.runtime.spawn(call(agent))).collect()
}

#[test]
fn nothing_runs_twice_whenever_the_server_is_killed() {
    let count = if size() == Size::Full { 200 } else { 25 };
    let installation = installed(count);
    let random = Seeded::new(SEED);
    for number in 0..count {
        let serving = installation.serve(&[]);
        let calls = call_at_once(&installation, number);
        // Every other kill comes when the call has just been made, the rest whenever it comes.
        if number % 2 == 0 {
            wait_until("the call is made", || arrived(&installation).contains_key(&order(number)));
        }
        std::thread::sleep(Duration::from_micros(random.between(0, 60_000 - 1)));
        drop(serving);
        calls.iter().for_each(tokio::task::JoinHandle::abort);
    }
    let killed = arrived(&installation).len();
    // What did not run may still run, and what did may not.
    let serving = installation.serve(&[]);
    for number in 0..count {
        for call in call_at_once(&installation, number) {
            installation.runtime.block_on(call).unwrap();
        }
    }
    serving.end_in_order();
    let arrived = arrived(&installation);
    let twice: Vec<_> = arrived.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    let seen = installation.seen().unwrap();
    assert_eq!(seen.len(), arrived.len(), "each under an intent of its own");
    let used = refunds(&installation);
    assert_eq!(used.len(), count, "each approval was used, once");
    let unknown = used.iter().filter(|result| matches!(result, None | Some(ActResult::Indeterminate))).count();
    assert!(arrived.len() + unknown >= count, "what did not arrive is recorded as what nobody knows");
    println!(
        "promise P2: the server killed at {count} points while approved calls were made: {killed} had run by then, {} in \
         the end, none twice (seed {SEED})",
        arrived.len()
    );
}
