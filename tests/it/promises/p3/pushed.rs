//! A thousand enforcers elsewhere listen at one node, and the switch is thrown at another: when each of them hears of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chancery_it::WallClock;
use chancery_model::{Clock, Timestamp};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::cluster::{Build, Cluster, until};
use super::percentile;
use crate::promises::{Size, size};

const LISTENERS: usize = 1_000;

/// An event that somebody was told.
struct Told {
    id: String,
    at: Timestamp,
}

/// Listens until the server or the test ends it.
async fn listen(node: SocketAddr, head: String, ready: Arc<AtomicUsize>, told: mpsc::UnboundedSender<Told>) {
    let mut stream = TcpStream::connect(node).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next_line().await.unwrap().unwrap();
    assert_eq!(first, "HTTP/1.1 200 OK", "{head}");
    let mut event = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(name) = line.strip_prefix("event: ") {
            name.clone_into(&mut event);
        }
        let Some(data) = line.strip_prefix("data: ") else { continue };
        let data: Value = serde_json::from_str(data).unwrap();
        match event.as_str() {
            "standing" => drop(ready.fetch_add(1, Ordering::SeqCst)),
            "contained" => {
                let told = told.send(Told { id: data["id"].as_str().unwrap().to_owned(), at: WallClock.now() });
                if told.is_err() {
                    return;
                }
            }
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_listeners_at_another_node_hear_of_a_kill() {
    let Some(cluster) = Cluster::start(2, Build::Shipped, &[]).await else { return };
    let body = json!({
        "name": "enforcer", "kind": "service_account", "sponsor": "zoe@example.com", "owner": "bob@example.com",
        "purpose": "is tested",
    });
    let made = cluster.admin(0, "POST", "/v1/agents", body).await.ok();
    let enforcer = cluster.enrol("enforcer", made["enrolment"]["code"].as_str().unwrap()).await;
    cluster.agent("worker", "ann@example.com", "zoe@example.com").await;
    let node = cluster.nodes[1].address;
    let enforcer = enforcer.at_node(node);
    let resource = format!("{}/access/v1", cluster.url);
    // For the nonce of that node.
    enforcer.ask("evaluation", &json!({})).await;

    let (ready, mut listening) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
    let (sender, mut told) = mpsc::unbounded_channel();
    let host = cluster.url.strip_prefix("http://").unwrap();
    for _ in 0..LISTENERS {
        let carried = enforcer.credentials(&resource, "/containments", "GET").await;
        let carried: String = carried.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("GET /access/v1/containments HTTP/1.1\r\nhost: {host}\r\n{carried}\r\n");
        listening.spawn(listen(node, head, Arc::clone(&ready), sender.clone()));
    }
    until("everybody listens", async || ready.load(Ordering::SeqCst) == LISTENERS).await;

    let kills = if size() == Size::Full { 50 } else { 3 };
    let mut took = Vec::new();
    for _ in 0..kills {
        let begun = WallClock.now();
        let thrown = cluster.kill(0, "agent", "worker").await.ok();
        for _ in 0..LISTENERS {
            let heard = told.recv().await.unwrap();
            assert_eq!(thrown["id"], heard.id.as_str());
            took.push((heard.at - begun).0);
        }
        cluster.lift(0, thrown["id"].as_str().unwrap()).await;
    }
    assert!(listening.try_join_next().is_none(), "everybody listens still");
    listening.abort_all();
    took.sort_unstable();
    let [p50, p99] = [50, 99].map(|share| percentile(&took, share));
    println!(
        "promise P3 on several nodes, listeners: {LISTENERS} at one node, {kills} kills at another; told {p50} / {p99} / {} us \
         after the call began (p50, p99, longest)",
        took[took.len() - 1]
    );
    let bound = if size() == Size::Full { 250_000 } else { 1_500_000 };
    assert!(p99 <= bound, "p99 {p99} us");
}
