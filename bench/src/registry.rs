//! The registry at scale, through the admin door: ten thousand instances of one blueprint made through the API, and
//! lists of them with filters, beside the same list of a registry that holds no more than it answers with.

use crate::load::{self, Outcome, Plan};
use crate::process::Server;
use crate::product::{self, Filling, Place};
use crate::row::Row;
use crate::scale::{ROUNDS, Scale, median};
use crate::{Fallible, text};

const INSTANCES: usize = 10_000;
/// Made by one request, and given by one list.
const AT_ONCE: usize = 1_000;
const GIVEN: usize = 100;
/// Connections, and requests in a round.
const CASES: [(usize, usize); 2] = [(1, 2_000), (16, 8_000)];

/// What is asked for, and how the row is called.
const LISTS: [(&str, &str); 3] = [
    ("of a blueprint", "blueprint=crm"),
    ("in one state", "blueprint=crm&state=registered"),
    ("with a text", "text=instance"),
];

/// Time to make them, and the lists.
pub fn rows(scale: &Scale) -> Fallible<Vec<Row>> {
    let folder = tempfile::tempdir().map_err(text)?;
    let echo = Server::floor("mcp")?;
    let keys = product::keys()?;
    let filling = Filling { agents: 0, keys: &keys, upstream: echo.address };
    let (many, few) = (Registry::open(&folder.path().join("many"), &filling)?, scale.of(INSTANCES));
    let seconds = many.make(few)?;
    let small = Registry::open(&folder.path().join("few"), &filling)?;
    small.make(GIVEN)?;
    let mut rows = vec![Row::new(format!("registry/make {few} instances through the API"), seconds, "s")];
    for (connections, count) in CASES {
        for (what, query) in LISTS {
            rows.extend(case(&many, &small, (what, query), connections, scale.of(count))?);
        }
    }
    Ok(rows)
}

fn case(
    many: &Registry,
    small: &Registry,
    (what, query): (&str, &str),
    connections: usize,
    count: usize,
) -> Fallible<[Row; 2]> {
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        floor.push(small.list(query, connections, count)?);
        ours.push(many.list(query, connections, count)?);
    }
    let of = |all: &[Outcome], figure: fn(&Outcome) -> f64| median(all.iter().map(figure));
    let row = |name: &str, figure: fn(&Outcome) -> f64| {
        Row::new(format!("registry/{GIVEN} {what}, {name}/{connections} connections"), of(&ours, figure), "us")
            .beside(format!("of {GIVEN} in all"), of(&floor, figure))
    };
    Ok([row("p99", |outcome| outcome.p99), row("processor", |outcome| outcome.cpu)])
}

/// A server with a blueprint `crm`, reached through its socket.
struct Registry {
    server: Server,
}

impl Registry {
    fn open(folder: &std::path::Path, filling: &Filling<'_>) -> Fallible<Self> {
        let server = Place::fill(folder, filling)?.start()?.through(folder.join("data/admin.sock"));
        let registry = Self { server };
        let blueprint = r#"{"name":"crm","sponsor":"a@example.com","owner":"b@example.com","purpose":"an instance"}"#;
        registry.post("/v1/blueprints", blueprint)?;
        Ok(registry)
    }

    /// Seconds it took.
    fn make(&self, count: usize) -> Fallible<f64> {
        let since = std::time::Instant::now();
        for _ in 0..count.div_ceil(AT_ONCE) {
            let body = format!(r#"{{"count":{}}}"#, count.min(AT_ONCE));
            self.post("/v1/blueprints/crm/instances", &body)?;
        }
        Ok(since.elapsed().as_secs_f64())
    }

    fn post(&self, path: &str, body: &str) -> Fallible {
        let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n");
        let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        let answer = load::once_at(&self.server, request.as_bytes())?;
        if answer.starts_with("HTTP/1.1 201") { Ok(()) } else { Err(format!("unexpected answer: {answer}")) }
    }

    fn list(&self, query: &str, connections: usize, count: usize) -> Fallible<Outcome> {
        let request = format!("GET /v1/agents?limit={GIVEN}&{query} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let requests = [request.into_bytes()];
        Plan { server: &self.server, requests: &requests, count, connections, expect: "crm-00100" }.run()
    }
}
