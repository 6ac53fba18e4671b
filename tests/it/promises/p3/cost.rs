//! What a kill costs on several nodes, for ten agents and for ten thousand.

use serde_json::json;

use super::cluster::{Build, Cluster};

/// How many agents answer to one owner.
const FEW: usize = 10;
const MANY: usize = 10_000;
/// In one request.
const BATCH: usize = 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_of_ten_thousand_agents_costs_what_one_of_ten_costs() {
    let Some(cluster) = Cluster::start(3, Build::Shipped, &[]).await else { return };
    for (name, count) in [("few", FEW), ("many", MANY)] {
        let owner = format!("{name}@example.com");
        let body = json!({"name": name, "sponsor": "zoe@example.com", "owner": owner, "purpose": "is tested"});
        cluster.admin(0, "POST", "/v1/blueprints", body).await.ok();
        for batch in 0..count.div_ceil(BATCH) {
            let body = json!({"count": count.min(BATCH), "prefix": format!("{name}-{batch}")});
            cluster.admin(0, "POST", &format!("/v1/blueprints/{name}/instances"), body).await.ok();
        }
    }
    let counts = || {
        ["SELECT COUNT(*) FROM feed", "SELECT COUNT(*) FROM containments", "SELECT SUM(count) FROM log_segments"]
            .map(|sql| cluster.count(sql))
    };
    let mut costs = Vec::new();
    // By turns, so that what else goes on at this moment is the same for both.
    for _ in 0..5 {
        for name in ["few", "many"] {
            let before = counts();
            let thrown = cluster.kill(0, "owner", &format!("{name}@example.com")).await.ok();
            let after = counts();
            let rows: [i64; 3] = std::array::from_fn(|at| after[at] - before[at]);
            costs.push((name, rows, thrown["took_us"].as_i64().unwrap()));
            cluster.lift(0, thrown["id"].as_str().unwrap()).await;
        }
    }
    let of = |wanted: &str| {
        let mut times: Vec<i64> = costs.iter().filter(|(name, ..)| *name == wanted).map(|(.., took)| *took).collect();
        times.sort_unstable();
        times[times.len() / 2]
    };
    // Two entries: the kill, and how it was acknowledged.
    assert!(costs.iter().all(|(_, rows, _)| *rows == [1, 1, 2]), "{costs:?}");
    let (few, many) = (of("few"), of("many"));
    assert!(many < 2 * few + 50_000, "{costs:?}");
    println!(
        "promise P3 on three nodes, cost: a kill of {FEW} agents and one of {MANY} are 1 row, 2 entries and 1 message each; \
         acknowledged after {few} and {many} us (medians of 5, by turns), {:.2} times as long",
        many as f64 / few as f64
    );
}
