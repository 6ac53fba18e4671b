//! Incidents of the past on three nodes: whoever revokes everything of somebody is answered when nothing of it is left
//! anywhere, and an agent that does not stop is stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use chancery_it::WallClock;
use chancery_model::Clock;
use serde_json::json;
use tokio::task::JoinSet;

use super::cluster::{Build, Cluster, until};
use super::load::ANN;
use super::upstream::{Recording, Seen};

const AGENTS: usize = 12;

/// I5 (tj-actions, Trivy): one of 77 credentials was left after the rotation, for 18 hours. Here every token that agents of
/// one owner have, from every node, is tried at every node when the call has returned.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i5_after_everything_of_an_owner_is_revoked_no_credential_of_theirs_is_taken_at_any_node() {
    let seen = Seen::default();
    let upstream = Recording::start(&seen, false);
    let Some(cluster) = Cluster::start(3, Build::Shipped, &[("one", upstream.url.clone())]).await else { return };
    let mut credentials = Vec::new();
    for number in 0..AGENTS {
        let agent = cluster.agent(&format!("ci-{number}"), ANN, "zoe@example.com").await;
        for node in &cluster.nodes {
            let at = agent.at_node(node.address);
            at.token(&at.mcp("one")).await;
            credentials.push(at);
        }
    }
    let call = |node: usize| json!({"name": "act", "arguments": {"who": "ci", "node": node}});
    for (at, credential) in credentials.iter().enumerate() {
        let node = (at + 1) % cluster.nodes.len();
        let moved = credential.moved_to(cluster.nodes[node].address);
        let answer = moved.rpc("one", "tools/call", call(node)).await;
        assert!(answer.text().contains("complete"), "{}", answer.text());
    }
    assert_eq!(seen.take().len(), credentials.len());
    cluster.kill(2, "owner", ANN).await.ok();
    let mut refused = 0;
    for credential in &credentials {
        for (node, place) in cluster.nodes.iter().enumerate() {
            let answer = credential.moved_to(place.address).rpc("one", "tools/call", call(node)).await;
            assert!(answer.text().contains("C2050"), "{}: {}", answer.status, answer.text());
            refused += 1;
        }
    }
    assert_eq!(seen.take().len(), 0);
    println!(
        "promise P3 on three nodes, I5: {} tokens, each refused at each of 3 nodes ({refused} of {refused})",
        credentials.len()
    );
}

/// I9 (OpenClaw): it was told to stop, and went on. It loops at all three nodes and looks at no answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i9_an_agent_that_does_not_stop_at_any_node_is_stopped() {
    let seen = Seen::default();
    let upstream = Recording::start(&seen, false);
    let Some(cluster) = Cluster::start(3, Build::Shipped, &[("one", upstream.url.clone())]).await else { return };
    let claw = cluster.agent("claw", ANN, "zoe@example.com").await;
    let (ended, mut loops, mut tried) = (Arc::new(AtomicBool::new(false)), JoinSet::new(), Vec::new());
    for (node, place) in cluster.nodes.iter().enumerate() {
        for _ in 0..3 {
            let (at, ended, count) = (claw.at_node(place.address), Arc::clone(&ended), Arc::new(AtomicUsize::new(0)));
            tried.push(Arc::clone(&count));
            loops.spawn(async move {
                while !ended.load(Ordering::SeqCst) {
                    let call = json!({"name": "act", "arguments": {"who": "claw", "node": node}});
                    at.rpc("one", "tools/call", call).await;
                    count.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    }
    let arrived = |node: usize| seen.count(|arrival| arrival.node == node);
    until("it does something everywhere", async || (0..3).all(|node| arrived(node) >= 5)).await;
    cluster.kill(1, "agent", "claw").await.ok();
    let acknowledged = WallClock.now();
    let before: Vec<usize> = tried.iter().map(|tried| tried.load(Ordering::SeqCst)).collect();
    let again = || tried.iter().zip(&before).all(|(tried, before)| tried.load(Ordering::SeqCst) >= before + 5);
    until("it goes on trying", async || again()).await;
    ended.store(true, Ordering::SeqCst);
    while let Some(ended) = loops.join_next().await {
        ended.unwrap();
    }
    let mut in_doubt = 0;
    let arrivals = seen.take();
    for late in arrivals.iter().filter(|arrival| arrival.at > acknowledged) {
        let (result, detail) = cluster.became(1, &late.intent).await;
        assert!(result == "indeterminate" && detail.starts_with("it was cut"), "{late:?}: {result}, {detail}");
        in_doubt += 1;
    }
    let attempts: usize = tried.iter().zip(&before).map(|(tried, before)| tried.load(Ordering::SeqCst) - before).sum();
    println!(
        "promise P3 on three nodes, I9: {} actions before the acknowledgement, of {attempts} attempts after it 0 ({in_doubt} \
         written before and read after)",
        arrivals.len() - in_doubt
    );
}
