//! The identity graph at a million nodes and ten million edges with skewed targets: how long it takes to make, what a node
//! takes, and how long each question takes at three hops; beside the same question as recursive SQL in SQLite and
//! PostgreSQL, in the same run and with the same answer.

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Instant;

use chancery_graph::{Edge, Graph, Limits, Node};
use chancery_model::{EdgeKind, NodeKind};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection, Row as _};

use crate::row::{Bar, Row};
use crate::scale::{Scale, median};
use crate::{Fallible, text, world};

const NODES: usize = 1_000_000;
/// Out of each node.
const DEGREE: usize = 10;
/// Questions of a kind; fewer of those that take long.
const ASKED: usize = 1_000;
const ASKED_SQL: usize = 100;
/// What an answer holds at the most, as in the product.
const MOST: usize = 1_000;
const HOPS: u32 = 3;
const ROWS: usize = 10_000;

/// Numbers that are the same in every run.
pub struct Dice(pub u64);

impl Dice {
    /// In `0..below`.
    pub fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize * below) >> 31
    }

    /// In `0..below`, the small ones more often: the third power of an even number.
    pub fn skewed(&mut self, below: usize) -> usize {
        let even = self.roll(1 << 20) as f64 / f64::from(1 << 20);
        ((even.powi(3) * below as f64) as usize).min(below - 1)
    }
}

struct World {
    graph: Graph,
    nodes: Vec<Node>,
    /// Sorted, each once.
    pairs: Vec<(u32, u32)>,
    seconds: f64,
}

/// Everything of it.
pub fn rows(scale: &Scale) -> Fallible<Vec<Row>> {
    let count = scale.of(NODES);
    let mut world = make(count)?;
    let memory = world.graph.memory();
    let of = |what: &str| format!("graph/{what}, {count} nodes, {} edges", world.pairs.len());
    let mut rows = vec![
        Row::new(of("build"), world.seconds, "s"),
        Row::new(of("memory of a node, all in"), (memory.nodes + memory.edges) as f64 / count as f64, "B")
            .bar(Bar::AtMost(250.0)),
        Row::new(of("memory of an edge"), memory.edges as f64 / world.pairs.len() as f64, "B"),
    ];
    rows.push(added(&mut world)?);
    rows.extend(questions(&world, scale));
    let starts: Vec<usize> = starts(scale.of(ASKED_SQL).max(20), count);
    let ours = asked(&world, &starts);
    let runtime = world::runtime()?;
    let (sqlite, postgres) = runtime.block_on(async {
        let sqlite = in_sqlite(&world, &starts).await?;
        Fallible::Ok((sqlite, in_postgres(&world, &starts).await?))
    })?;
    for (engine, theirs) in [("SQLite", Some(sqlite)), ("PostgreSQL", postgres)] {
        let Some(theirs) = theirs else { continue };
        let same = ours.iter().zip(&theirs).all(|((ours, _), (theirs, _))| ours == theirs);
        if !same {
            return Err(format!("{engine} reaches something else than the graph does"));
        }
        let middle = |all: &[(usize, f64)]| median(all.iter().map(|(_, micros)| *micros));
        let name = format!("graph/reach at {HOPS} hops, middle, questions a second");
        let (ours, theirs) = (1e6 / middle(&ours), 1e6 / middle(&theirs));
        rows.push(
            Row::new(name, ours, "1/s").beside(format!("{engine}, recursive SQL"), theirs).bar(Bar::RatioAtLeast(10.0)),
        );
    }
    Ok(rows)
}

fn starts(count: usize, nodes: usize) -> Vec<usize> {
    let mut dice = Dice(7);
    (0..count).map(|_| dice.roll(nodes)).collect()
}

fn make(count: usize) -> Fallible<World> {
    let mut dice = Dice(20_261_124);
    let mut pairs: Vec<(u32, u32)> = Vec::with_capacity(count * DEGREE);
    for from in 0..count {
        for _ in 0..DEGREE {
            pairs.push((from as u32, dice.skewed(count) as u32));
        }
    }
    pairs.retain(|(from, to)| from != to);
    pairs.sort_unstable();
    pairs.dedup();
    let names: Vec<String> = (0..count).map(|n| format!("bench:acme:service_account:account-{n:07}")).collect();
    let since = Instant::now();
    let mut graph = Graph::default();
    let add = |name: &String| graph.add_node(name, NodeKind::ServiceAccount).map_err(text);
    let nodes: Vec<Node> = names.iter().map(add).collect::<Fallible<_>>()?;
    let edge = |(from, to): &(u32, u32)| (nodes[*from as usize], EdgeKind::CanAssume, nodes[*to as usize]);
    let edges: Vec<Edge> = pairs.iter().map(edge).collect();
    graph.extend(edges).map_err(text)?;
    Ok(World { graph, nodes, pairs, seconds: since.elapsed().as_secs_f64() })
}

/// From adding an edge to the answer that has it.
fn added(world: &mut World) -> Fallible<Row> {
    let (mut dice, count) = (Dice(3), world.nodes.len());
    let mut taken = Vec::new();
    for n in 0..ASKED {
        let from = world.nodes[dice.roll(count)];
        let since = Instant::now();
        let new = world.graph.add_node(&format!("bench:acme:role:new-{n}"), NodeKind::Role).map_err(text)?;
        world.graph.add_edge((from, EdgeKind::HasRole, new));
        let seen = world.graph.reach(from, Limits::hops(1)).found().any(|(node, _)| node == new);
        taken.push(since.elapsed().as_secs_f64() * 1e6);
        if !seen {
            return Err("an added edge is not seen".to_owned());
        }
    }
    Ok(Row::new("graph/an added edge is in the answer, p99", p99(&mut taken), "us").bar(Bar::AtMost(1_000.0)))
}

fn questions(world: &World, scale: &Scale) -> Vec<Row> {
    let (graph, count) = (&world.graph, world.nodes.len());
    let limits = Limits { hops: HOPS, nodes: MOST };
    let starts = starts(scale.of(ASKED), count);
    let mut dice = Dice(11);
    let ends: Vec<usize> = starts.iter().map(|_| dice.roll(count)).collect();
    let time = |name: &str, question: &dyn Fn(usize)| {
        let once = |at: usize| {
            let since = Instant::now();
            question(at);
            since.elapsed().as_secs_f64() * 1e6
        };
        let mut taken: Vec<f64> = (0..starts.len()).map(once).collect();
        Row::new(format!("graph/{name}, p99"), p99(&mut taken), "us")
    };
    let node = |at: usize| world.nodes[starts[at]];
    let bar = Bar::AtMost(200.0);
    vec![
        time("reach, 3 hops", &|at| _ = black_box(graph.reach(node(at), Limits::hops(HOPS)))).bar(bar),
        time("reach, 3 hops, at most 1000", &|at| _ = black_box(graph.reach(node(at), limits))).bar(bar),
        time("who reaches, 3 hops, at most 1000", &|at| _ = black_box(graph.who_reaches(node(at), limits))).bar(bar),
        time("who acts as, 3 hops, at most 1000", &|at| _ = black_box(graph.who_acts_as(node(at), limits))).bar(bar),
        time("a shortest path", &|at| _ = black_box(graph.path(node(at), world.nodes[ends[at]]))),
        time("what breaks, 3 hops, at most 1000", &|at| _ = black_box(graph.breaks(node(at), limits))),
        time("who gains, 3 hops, at most 1000", &|at| _ = black_box(graph.gains(node(at), limits))),
    ]
}

fn p99(taken: &mut [f64]) -> f64 {
    taken.sort_by(f64::total_cmp);
    taken[(taken.len() * 99 / 100).min(taken.len() - 1)]
}

/// What each start reaches, and in how many microseconds.
fn asked(world: &World, starts: &[usize]) -> Vec<(usize, f64)> {
    let one = |start: &usize| {
        let since = Instant::now();
        let reach = world.graph.reach(world.nodes[*start], Limits::hops(HOPS));
        (reach.len(), since.elapsed().as_secs_f64() * 1e6)
    };
    // The first round warms up.
    starts.iter().for_each(|start| _ = black_box(one(start)));
    // What `added` put in is no part of what the databases hold, and is not counted.
    let without = |start: &usize| {
        let (found, micros) = one(start);
        (found - extra(world, *start), micros)
    };
    starts.iter().map(without).collect()
}

fn extra(world: &World, start: usize) -> usize {
    let reach = world.graph.reach(world.nodes[start], Limits::hops(HOPS));
    reach.found().filter(|(node, _)| world.graph.kind(*node) == Some(NodeKind::Role)).count()
}

const QUESTION: &str = "WITH RECURSIVE reached (node, hops) AS (SELECT CAST($1 AS INTEGER), 0 UNION \
     SELECT e.target, r.hops + 1 FROM reached r JOIN edges e ON e.source = r.node WHERE r.hops < 3) \
     SELECT COUNT(DISTINCT node) - 1 AS found FROM reached";

async fn in_sqlite(world: &World, starts: &[usize]) -> Fallible<Vec<(usize, f64)>> {
    let folder = tempfile::tempdir().map_err(text)?;
    let options = SqliteConnectOptions::new().filename(folder.path().join("graph.db")).create_if_missing(true);
    let options = options.pragma("journal_mode", "OFF").pragma("synchronous", "OFF").pragma("cache_size", "-2000000");
    let mut link = SqliteConnection::connect_with(&options).await.map_err(text)?;
    let table = "CREATE TABLE edges (source INTEGER, target INTEGER, PRIMARY KEY (source, target)) WITHOUT ROWID";
    sqlx::query(table).execute(&mut link).await.map_err(text)?;
    let mut all = link.begin().await.map_err(text)?;
    for some in world.pairs.chunks(ROWS) {
        sqlx::query("INSERT INTO edges SELECT value ->> 0, value ->> 1 FROM json_each($1)")
            .bind(serde_json::to_string(some).map_err(text)?)
            .execute(&mut *all)
            .await
            .map_err(text)?;
    }
    all.commit().await.map_err(text)?;
    let mut taken = Vec::new();
    for _ in 0..2 {
        taken.clear();
        for start in starts {
            let since = Instant::now();
            let row = sqlx::query(QUESTION).bind(*start as i64).fetch_one(&mut link).await.map_err(text)?;
            let found: i64 = row.try_get("found").map_err(text)?;
            taken.push((found as usize, since.elapsed().as_secs_f64() * 1e6));
        }
    }
    Ok(taken)
}

/// Nothing where PostgreSQL is not installed.
async fn in_postgres(world: &World, starts: &[usize]) -> Fallible<Option<Vec<(usize, f64)>>> {
    let Some(server) = tokio::task::block_in_place(chancery_lend::Postgres::start) else { return Ok(None) };
    let address = tokio::task::block_in_place(|| server.database());
    let options: PgConnectOptions = address.parse().map_err(text)?;
    let mut link = PgConnection::connect_with(&options).await.map_err(text)?;
    let table = "CREATE UNLOGGED TABLE edges (source INTEGER NOT NULL, target INTEGER NOT NULL)";
    sqlx::query(table).execute(&mut link).await.map_err(text)?;
    let mut copy = link.copy_in_raw("COPY edges FROM STDIN").await.map_err(text)?;
    for some in world.pairs.chunks(ROWS) {
        let lines = some.iter().fold(String::new(), |mut lines, (from, to)| {
            let _ = writeln!(lines, "{from}\t{to}");
            lines
        });
        copy.send(lines.into_bytes()).await.map_err(text)?;
    }
    copy.finish().await.map_err(text)?;
    for statement in ["CREATE INDEX edges_by_source ON edges (source) INCLUDE (target)", "VACUUM ANALYZE edges"] {
        sqlx::query(statement).execute(&mut link).await.map_err(text)?;
    }
    let mut taken = Vec::new();
    for _ in 0..2 {
        taken.clear();
        for start in starts {
            let since = Instant::now();
            let row = sqlx::query(QUESTION).bind(*start as i64).fetch_one(&mut link).await.map_err(text)?;
            let found: i64 = row.try_get("found").map_err(text)?;
            taken.push((found as usize, since.elapsed().as_secs_f64() * 1e6));
        }
    }
    Ok(Some(taken))
}
