//! Sweeps of a large estate: how fast it becomes known, what a second sweep writes when nothing changed and how long it
//! takes, and how long a question takes over HTTP afterwards.

use std::path::Path;
use std::time::Instant;

use chancery_discover::{Discovery, Ended, Opening};
use chancery_model::{CoverageStatus, EdgeKind, Link, NodeKind, Object, ObjectBody, Sweep, Urn};
use chancery_store::{Store, objects};

use crate::graph::Dice;
use crate::load::{self, Plan};
use crate::process::Server;
use crate::product::{self, Filling, Place};
use crate::row::{Bar, Row};
use crate::scale::Scale;
use crate::{Fallible, text, usage, world};

const OBJECTS: usize = 1_000_000;
const ROLES: usize = 10_000;
/// Questions over HTTP.
const ASKED: usize = 5_000;
/// The first question waits until the graph is made.
const LOOKS: usize = 240;

/// Ingest, an unchanged sweep, questions.
pub fn rows(scale: &Scale) -> Fallible<Vec<Row>> {
    let folder = tempfile::tempdir().map_err(text)?;
    let echo = Server::floor("mcp")?;
    let keys = product::keys()?;
    let filling = Filling { agents: 0, keys: &keys, upstream: echo.address };
    let place = Place::fill(folder.path(), &filling)?;
    let count = scale.of(OBJECTS);
    let mut rows = world::runtime()?.block_on(swept(&folder.path().join("data"), count))?;
    let server = place.start()?.through(folder.path().join("data/admin.sock"));
    rows.push(made(&server)?.bar(Bar::AtMost(10.0)));
    rows.push(Row::new(format!("sweep/memory of the server, {count} objects"), usage::resident(server.pid())?, "MiB"));
    let mut dice = Dice(5);
    let requests: Vec<Vec<u8>> = (0..1_000).map(|_| question(dice.roll(count - ROLES))).collect();
    for connections in [1, 16] {
        let plan = Plan {
            server: &server,
            requests: &requests,
            count: scale.of(ASKED),
            connections,
            expect: "\"complete\":true",
        };
        let outcome = plan.run()?;
        let row = Row::new(
            format!("sweep/reach at 3 hops over HTTP, p99/{connections} connections"),
            outcome.p99 / 1e3,
            "ms",
        );
        rows.push(if connections == 1 { row.bar(Bar::AtMost(10.0)) } else { row });
    }
    Ok(rows)
}

fn question(account: usize) -> Vec<u8> {
    let of = format!("bench:acme:service_account:account-{account:07}");
    format!("GET /v1/graph/reach?hops=3&of={of} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

/// Seconds until the first answer: the graph is made from the store.
fn made(server: &Server) -> Fallible<Row> {
    let since = Instant::now();
    for _ in 0..LOOKS {
        let answer = load::once_at(server, &question(0))?;
        if answer.starts_with("HTTP/1.1 200") {
            return Ok(Row::new(
                "sweep/from the start to the first answer of the graph",
                since.elapsed().as_secs_f64(),
                "s",
            ));
        }
    }
    Err("the graph does not answer".to_owned())
}

async fn swept(data: &Path, count: usize) -> Fallible<Vec<Row>> {
    let store = world::store(data).await?;
    let discovery = Discovery::new(&store, world::clock(), world::random()?);
    let since = Instant::now();
    let first = sweep(&discovery, count).await?;
    let rate = first.coverage.iter().map(|kind| kind.seen).sum::<u64>() as f64 / since.elapsed().as_secs_f64();
    let before = objects::newest_observation(&store).await.map_err(text)?;
    let since = Instant::now();
    let again = sweep(&discovery, count).await?;
    let seconds = since.elapsed().as_secs_f64();
    let written = objects::newest_observation(&store).await.map_err(text)? - before;
    let changed: u64 = again.coverage.iter().map(|kind| kind.added + kind.changed + kind.missing + kind.held).sum();
    close(store).await;
    Ok(vec![
        Row::new(format!("sweep/objects that become known, durable, {count} of them"), rate, "1/s")
            .bar(Bar::AtLeast(20_000.0)),
        Row::new(format!("sweep/the same estate again, {count} objects"), seconds, "s").bar(Bar::AtMost(60.0)),
        Row::new("sweep/what that wrote about objects", (written + changed) as f64, "rows").bar(Bar::AtMost(0.0)),
    ])
}

async fn close(store: Store) {
    store.close().await;
}

async fn sweep(discovery: &Discovery, count: usize) -> Fallible<Sweep> {
    let observed_at = world::clock().now();
    let opening = Opening { source: "bench", scope: "acme", observed_at, by: "bench" };
    let mut intake = discovery.begin(opening).await.map_err(text)?;
    let mut dice = Dice(1);
    for role in 0..ROLES {
        let is = ObjectBody { name: format!("role-{role:05}"), ..ObjectBody::default() };
        intake.see(Object { urn: urn(NodeKind::Role, &is.name)?, is }).await.map_err(text)?;
    }
    for account in 0..count - ROLES {
        intake.see(object(account, &mut dice)?).await.map_err(text)?;
    }
    let complete = [NodeKind::Role, NodeKind::ServiceAccount].map(|kind| (kind, CoverageStatus::Complete));
    intake.end(Ended { coverage: complete.into(), ..Ended::default() }).await.map_err(text)
}

fn object(number: usize, dice: &mut Dice) -> Fallible<Object> {
    let mut is = ObjectBody { name: format!("account-{number:07}"), ..ObjectBody::default() };
    is.attributes.insert("created_at".to_owned(), "2026-01-01T00:00:00Z".into());
    is.attributes.insert("email".to_owned(), format!("account-{number}@acme.example").into());
    for _ in 0..2 {
        let to = urn(NodeKind::Role, &format!("role-{:05}", dice.skewed(ROLES)))?;
        is.edges.insert(Link { kind: EdgeKind::HasRole, to });
    }
    Ok(Object { urn: urn(NodeKind::ServiceAccount, &is.name)?, is })
}

fn urn(kind: NodeKind, name: &str) -> Fallible<Urn> {
    Urn::new("bench", "acme", kind, name).map_err(text)
}
