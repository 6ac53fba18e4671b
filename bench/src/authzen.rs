//! AuthZEN over HTTP with the durable record on: against a bare endpoint of the same framework that reads the same
//! request and answers the same shape, against Cerbos without its audit log, and against ourselves without the record.

use std::net::SocketAddr;
use std::path::Path;

use chancery_authenticate::client::AgentKey;

use crate::client::{Client, Wanted};
use crate::load::{Outcome, Plan, post};
use crate::process::Server;
use crate::product::{self, Filling, Place};
use crate::row::{Bar, Row};
use crate::scale::{ROUNDS, Scale, median};
use crate::{Fallible, peers, text, usage};

const AGENTS: usize = 1_000;
const PATH: &str = "/access/v1/evaluation";
/// Connections, and requests in a round.
const CASES: [(usize, usize); 3] = [(1, 3_000), (16, 30_000), (256, 60_000)];

/// Somebody who answers, with the requests prepared for it.
struct Subject {
    server: Server,
    requests: Vec<Vec<u8>>,
    expect: &'static str,
}

impl Subject {
    fn run(&self, connections: usize, count: usize) -> Fallible<Outcome> {
        let plan = Plan { server: &self.server, requests: &self.requests, count, connections, expect: self.expect };
        plan.run()
    }
}

/// Rows for 1, 16 and 256 connections.
pub fn rows(scale: &Scale) -> Fallible<Vec<Row>> {
    let folder = tempfile::tempdir().map_err(text)?;
    let echo = Server::floor("mcp")?;
    let keys = product::keys()?;
    let filling = Filling { agents: AGENTS, keys: &keys, upstream: echo.address };
    let place = Place::fill(&folder.path().join("ours"), &filling)?.prepared()?;
    let ours = ours(&place, &keys)?;
    let floor = floor()?;
    let cerbos = if scale.peers { peer(folder.path()) } else { None };
    let mut rows = Vec::new();
    for (connections, count) in CASES {
        rows.extend(case(&ours, &floor, cerbos.as_ref(), connections, scale.of(count))?);
    }
    rows.extend(price_of_the_record(&ours, folder.path(), &filling, scale)?);
    let memory = Row::new("authzen/memory after the load", usage::resident(ours.server.pid())?, "MiB");
    let floor = usage::resident(floor.server.pid())?;
    rows.push(memory.beside("bare axum endpoint", floor));
    Ok(rows)
}

fn ours(place: &Place, keys: &[AgentKey]) -> Fallible<Subject> {
    let server = place.start()?;
    crate::gateway::pinned(place, &keys[0])?;
    let requests = questions(place.address, &keys[product::ENFORCER])?;
    Ok(Subject { server, requests, expect: "\"decision\":true" })
}

/// Throughput with the record on beside throughput with the record off, with many in flight.
fn price_of_the_record(ours: &Subject, folder: &Path, filling: &Filling<'_>, scale: &Scale) -> Fallible<[Row; 2]> {
    let (connections, count) = (256, scale.of(60_000));
    let place = folder.join("unrecorded");
    Place::fill(&place, filling)?;
    let server = Server::unrecorded(&place)?;
    let requests = questions(server.address, &filling.keys[product::ENFORCER])?;
    let off = Subject { server, requests, expect: "\"decision\":true" };
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        without.push(off.run(connections, count)?);
        with.push(ours.run(connections, count)?);
    }
    let of = |all: &[Outcome], figure: fn(&Outcome) -> f64| median(all.iter().map(figure));
    let named = |what: &str| format!("authzen/{what}, the price of the record/{connections} connections");
    let off = "the same rooms without the record";
    let rate = Row::new(named("requests"), of(&with, |o| o.rate), "1/s").beside(off, of(&without, |o| o.rate));
    let cpu = Row::new(named("processor a request"), of(&with, |o| o.cpu), "us").beside(off, of(&without, |o| o.cpu));
    Ok([rate.bar(Bar::RatioAtLeast(0.85)), cpu])
}

/// Questions about every agent, asked by the enforcer with a bearer token.
fn questions(address: SocketAddr, key: &AgentKey) -> Fallible<Vec<Vec<u8>>> {
    let agent = format!("agent-{}", product::ENFORCER);
    let resource = format!("http://{address}/access/v1");
    let token =
        Client::authenticate(key, address, &Wanted { agent: &agent, resource: &resource, bearer: true })?.bearer();
    let headers = [("Authorization", token.as_str())];
    Ok((0..AGENTS).map(|number| post(PATH, address, &headers, &question(number))).collect())
}

fn floor() -> Fallible<Subject> {
    let server = Server::floor("authzen")?;
    let requests = (0..AGENTS).map(|number| post(PATH, server.address, &[], &question(number))).collect();
    Ok(Subject { server, requests, expect: "\"decision\":true" })
}

fn peer(folder: &Path) -> Option<Subject> {
    let server = match peers::cerbos(AGENTS, folder) {
        Ok(server) => server,
        Err(why) => {
            eprintln!("skipped: Cerbos: {why}");
            return None;
        }
    };
    eprintln!("Cerbos was ready after {:.1} s", server.ready_after.as_secs_f64());
    let requests = (0..AGENTS).map(|number| post("/api/check/resources", server.address, &[], &check(number)));
    Some(Subject { requests: requests.collect(), server, expect: "EFFECT_ALLOW" })
}

fn question(number: usize) -> String {
    format!(
        r#"{{"subject":{{"type":"Agent","id":"agent-{number}"}},"action":{{"name":"billing/echo"}},"resource":{{"type":"Tool","id":"billing/echo"}},"context":{{"args":{{"amount":120,"customer":"c-1042","note":"charged twice"}},"session":{{"age_seconds":12}},"reason":"the customer was charged twice"}}}}"#
    )
}

/// The same question as Cerbos wants it.
fn check(number: usize) -> String {
    format!(
        r#"{{"requestId":"1","principal":{{"id":"agent-{number}","roles":["agent"],"attr":{{"session_age":12,"human":"ana@acme.example"}}}},"resources":[{{"actions":["billing/refund"],"resource":{{"kind":"tool","id":"billing/refund","attr":{{"amount":120,"purpose":"support"}}}}}}]}}"#
    )
}

fn case(
    ours: &Subject,
    floor: &Subject,
    cerbos: Option<&Subject>,
    connections: usize,
    count: usize,
) -> Fallible<Vec<Row>> {
    let (mut a, mut b, mut c) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        b.push(floor.run(connections, count)?);
        a.push(ours.run(connections, count)?);
        if let Some(cerbos) = cerbos {
            c.push(cerbos.run(connections, count / 10)?);
        }
    }
    let of = |all: &[Outcome], figure: fn(&Outcome) -> f64| median(all.iter().map(figure));
    let named = |what: &str| format!("authzen/{what}/{connections} connections");
    let cpu =
        Row::new(named("processor a request"), of(&a, |o| o.cpu), "us").beside("bare axum endpoint", of(&b, |o| o.cpu));
    let wait = Row::new(named("p50"), of(&a, |o| o.p50), "us").beside("bare axum endpoint", of(&b, |o| o.p50));
    let slow = Row::new(named("p99"), of(&a, |o| o.p99), "us").beside("bare axum endpoint", of(&b, |o| o.p99));
    let rate = Row::new(named("requests"), of(&a, |o| o.rate), "1/s").beside("bare axum endpoint", of(&b, |o| o.rate));
    let mut rows = vec![cpu.bar(if connections == 16 { Bar::RatioAtMost(2.5) } else { Bar::None }), wait, slow, rate];
    if cerbos.is_some() {
        let rate = Row::new(named("requests, peer"), of(&a, |o| o.rate), "1/s")
            .beside("Cerbos 0.55, audit off", of(&c, |o| o.rate));
        rows.push(rate.bar(if connections == 16 { Bar::RatioAtLeast(10.0) } else { Bar::None }));
        let cpu = Row::new(named("processor a request, peer"), of(&a, |o| o.cpu), "us");
        rows.push(cpu.beside("Cerbos 0.55, audit off", of(&c, |o| o.cpu)));
    }
    Ok(rows)
}
