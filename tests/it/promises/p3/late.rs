//! The worst call: it was allowed and recorded, and waits for a connection when its agent is killed at another node. It is
//! written when the upstream opens its door, which is after the acknowledgement; unless its node cut it.

use std::time::Duration;

use chancery_it::WallClock;
use chancery_model::{Clock, Span, Timestamp};
use chancery_testkit::Answer;
use serde_json::json;

use super::cluster::{Build, Cluster, until};
use super::upstream::{Recording, Seen};

/// What happens to the node of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    None,
    Stopped,
    Parted,
}

/// When the upstream opens its door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    AfterTheAnswer,
    /// So long after the switch was thrown.
    After(Duration),
}

/// What came of it.
struct Came {
    thrown: Answer,
    acknowledged: Timestamp,
    /// Calls that arrived after the switch's answer.
    late: usize,
    arrived: usize,
}

/// One call that waits at the second node, and a kill at the first; nothing where there is no PostgreSQL.
async fn run(build: Build, trouble: Trouble, door: Door) -> Option<Came> {
    let seen = Seen::default();
    let upstream = Recording::start(&seen, true);
    let cluster = Cluster::start(2, build, &[("one", upstream.url.clone())]).await?;
    let worker = cluster.agent("worker", "bob@example.com", "zoe@example.com").await.at_node(cluster.nodes[1].address);
    let call = json!({"name": "act", "arguments": {"who": "worker", "node": 1}});
    let first = worker.rpc("one", "tools/call", call.clone()).await;
    assert!(first.text().contains("complete"), "{}", first.text());
    assert_eq!(seen.take().len(), 1);

    upstream.shut().await;
    upstream.until_knocking(false).await;
    let calling = tokio::spawn(async move { worker.rpc("one", "tools/call", call).await });
    upstream.until_knocking(true).await;
    let node = &cluster.nodes[1];
    match trouble {
        Trouble::None => {}
        Trouble::Stopped => node.stop(),
        Trouble::Parted => node.part(),
    }
    let throwing = async {
        let thrown = cluster.kill(0, "agent", "worker").await;
        (thrown, WallClock.now())
    };
    let opening = async {
        if let Door::After(time) = door {
            tokio::time::sleep(time).await;
            upstream.open();
        }
    };
    let ((thrown, acknowledged), ()) = tokio::join!(throwing, opening);
    upstream.open();
    // Whoever still knocks is let in, whether their process runs or not.
    upstream.until_knocking(false).await;
    if trouble == Trouble::Stopped {
        node.go_on();
    }
    // Also one without the database answers, while it is without: it does not know, and says so.
    let answered = tokio::time::timeout(ANSWER, calling).await;
    node.rejoin();
    drop(answered.expect("an answer"));
    until("the node is ready again", async || node.is_ready().await).await;
    let arrived = seen.take();
    let late = arrived.iter().filter(|arrival| arrival.at > acknowledged).count();
    Some(Came { thrown, acknowledged, late, arrived: arrived.len() })
}

/// The longest that anybody waits for an answer.
const ANSWER: Duration = Duration::from_secs(15);
/// A lease, and what a look takes on a machine that does other things, too.
const LEASE_US: i64 = 3_500_000;

fn took(came: &Came) -> i64 {
    came.thrown.ok()["took_us"].as_i64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_waits_at_another_node_is_cut_before_the_acknowledgement() {
    let Some(came) = run(Build::Shipped, Trouble::None, Door::AfterTheAnswer).await else { return };
    assert_eq!(came.arrived, 0, "it was cut while it knocked");
    assert!(took(&came) < 1_000_000, "{}", came.thrown.text());
}

/// A node that cannot cut does not say that it did: the acknowledgement waits for the end of the call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_does_not_cut_does_not_confirm() {
    let door = Door::After(Duration::from_millis(1_500));
    let Some(came) = run(Build::Wrong(&["uncut"]), Trouble::None, door).await else { return };
    assert_eq!((came.arrived, came.late), (1, 0), "acknowledged at {:?}", came.acknowledged);
    assert!(took(&came) > 1_500_000, "{}", came.thrown.text());
}

/// Nobody waits for ever: after five seconds whoever threw the switch is told which node goes on, and that is no
/// acknowledgement.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_does_not_confirm_within_five_seconds_is_named() {
    let seen = Seen::default();
    let upstream = Recording::start(&seen, true);
    let Some(cluster) = Cluster::start(2, Build::Wrong(&["uncut"]), &[("one", upstream.url.clone())]).await else {
        return;
    };
    let worker = cluster.agent("worker", "bob@example.com", "zoe@example.com").await.at_node(cluster.nodes[1].address);
    let call = json!({"name": "act", "arguments": {"who": "worker", "node": 1, "takes_ms": 8_000}});
    let calling = tokio::spawn(async move { worker.rpc("one", "tools/call", call).await });
    until("the call is there", async || seen.count(|_| true) == 1).await;
    let since = WallClock.now();
    let thrown = cluster.kill(0, "agent", "worker").await;
    let took = WallClock.now() - since;
    assert_eq!(thrown.problem(503), "C2053", "{}", thrown.text());
    assert!(thrown.text().contains("node `n1` is there and has not confirmed"), "{}", thrown.text());
    assert!(took >= Span::seconds(5) && took < Span::seconds(7), "{took:?}");
    assert!(!calling.is_finished(), "what it warns of is true");
    let standing = cluster.admin(0, "GET", "/v1/containments", json!(null)).await.ok();
    assert_eq!(standing["items"][0]["in_force"], true, "it is in force all the same");
    // When the call is over the node confirms, and throwing it again says so.
    drop(calling.await);
    let again = cluster.kill(0, "agent", "worker").await.ok();
    assert_eq!((&again["already"], &again["id"]), (&json!(true), &standing["items"][0]["id"]));
}

/// The negative control: one that says so nevertheless is noticed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confirmation_without_a_cut_is_noticed() {
    let faults = Build::Wrong(&["uncut", "hasty"]);
    let Some(came) = run(faults, Trouble::None, Door::AfterTheAnswer).await else { return };
    assert_eq!(came.late, 1, "{}", came.thrown.text());
    println!(
        "promise P3 on several nodes, control of the confirmation: 1 call arrived after an acknowledgement that did not wait for its cut"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_in_a_process_that_was_stopped_is_not_sent_when_it_goes_on() {
    let Some(came) = run(Build::Shipped, Trouble::Stopped, Door::AfterTheAnswer).await else { return };
    assert_eq!(came.arrived, 0);
    assert!(took(&came) <= LEASE_US, "{}", came.thrown.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_in_a_node_that_lost_the_database_is_not_sent() {
    let Some(came) = run(Build::Shipped, Trouble::Parted, Door::AfterTheAnswer).await else { return };
    assert_eq!(came.arrived, 0);
    assert!(took(&came) <= LEASE_US, "{}", came.thrown.text());
}

/// The negative control of the lease: a node that does not look at its lease sends it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_acts_without_a_lease_is_noticed() {
    for trouble in [Trouble::Stopped, Trouble::Parted] {
        let Some(came) = run(Build::Wrong(&["unleased"]), trouble, Door::AfterTheAnswer).await else { return };
        assert_eq!(came.late, 1, "{trouble:?}: {}", came.thrown.text());
        println!(
            "promise P3 on several nodes, control of the lease ({trouble:?}): 1 call arrived after the acknowledgement"
        );
    }
}
