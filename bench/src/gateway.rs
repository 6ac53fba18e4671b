//! A tool call through the gateway (token, proof, policy, injected credential, durable intent before it) against the
//! same call made directly and through nginx.

use std::path::Path;

use chancery_authenticate::client::AgentKey;

use crate::client::{Client, Wanted};
use crate::load::{Outcome, Plan, post};
use crate::process::Server;
use crate::product::{self, Filling, Place};
use crate::row::{Bar, Row};
use crate::scale::{ROUNDS, Scale, median};
use crate::{Fallible, peers, text, world};

const PATH: &str = "/mcp/billing";
/// Connections, and calls in a round.
const CASES: [(usize, usize); 2] = [(1, 2_000), (16, 10_000)];
/// Headers of the stateless wire.
const HEADERS: [(&str, &str); 4] = [
    ("Accept", "application/json, text/event-stream"),
    ("MCP-Protocol-Version", "2026-07-28"),
    ("Mcp-Method", "tools/call"),
    ("Mcp-Name", "echo"),
];
const LIST: [(&str, &str); 3] = [
    ("Accept", "application/json, text/event-stream"),
    ("MCP-Protocol-Version", "2026-07-28"),
    ("Mcp-Method", "tools/list"),
];

/// Rows for 1 and 16 connections, with ES256 and with Ed25519 proofs.
pub fn rows(scale: &Scale) -> Fallible<Vec<Row>> {
    let folder = tempfile::tempdir().map_err(text)?;
    let echo = Server::floor("mcp")?;
    let keys = product::keys()?;
    let filling = Filling { agents: 1_000, keys: &keys, upstream: echo.address };
    let place = Place::fill(&folder.path().join("ours"), &filling)?.prepared()?;
    let ours = place.start()?;
    pinned(&place, &keys[0])?;
    let nginx = if scale.peers { peer(&echo, folder.path()) } else { None };
    let mut rows = Vec::new();
    for (connections, count) in CASES {
        let count = scale.of(count);
        for (number, kind) in [(0, "ES256"), (1, "Ed25519")] {
            let client = Caller { place: &place, key: &keys[number], name: format!("agent-{number}") };
            let sync = world::disk_sync(folder.path())?;
            rows.extend(case(&ours, &client, &echo, nginx.as_ref(), &Case { connections, count, kind, sync })?);
        }
    }
    Ok(rows)
}

struct Caller<'a> {
    place: &'a Place,
    key: &'a AgentKey,
    name: String,
}

struct Case {
    connections: usize,
    count: usize,
    kind: &'static str,
    sync: f64,
}

/// The tool is listed to the first agent: it is pinned, and its policies are in force.
pub fn pinned(place: &Place, key: &AgentKey) -> Fallible {
    let mut client = client(place, key, "agent-0")?;
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;
    let answer = client.refresh(PATH, &LIST, list)?;
    if answer.contains("\"echo\"") { Ok(()) } else { Err(format!("the tool is not listed: {answer}")) }
}

fn client<'a>(place: &Place, key: &'a AgentKey, name: &str) -> Fallible<Client<'a>> {
    let resource = format!("http://{}{PATH}", place.address);
    Client::authenticate(key, place.address, &Wanted { agent: name, resource: &resource, bearer: false })
}

fn call(number: usize) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{number},"method":"tools/call","params":{{"name":"echo","arguments":{{"amount":120,"customer":"c-1042","note":"charged twice"}},"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#
    )
}

fn peer(echo: &Server, folder: &Path) -> Option<Server> {
    peers::nginx(echo.address, folder).inspect_err(|why| eprintln!("skipped: nginx: {why}")).ok()
}

/// Every call of a round is signed just before it, so that no proof is stale.
fn through(ours: &Server, caller: &Caller<'_>, case: &Case) -> Fallible<Outcome> {
    let mut client = client(caller.place, caller.key, &caller.name)?;
    client.refresh(PATH, &HEADERS, &call(0))?;
    let requests: Vec<Vec<u8>> =
        (0..case.count).map(|number| client.signed(PATH, &HEADERS, &call(number))).collect::<Fallible<_>>()?;
    Plan { server: ours, requests: &requests, count: case.count, connections: case.connections, expect: "c-1042" }.run()
}

fn plain(server: &Server, case: &Case) -> Fallible<Outcome> {
    let requests = [post("/mcp", server.address, &HEADERS, &call(1))];
    Plan { server, requests: &requests, count: case.count, connections: case.connections, expect: "c-1042" }.run()
}

fn case(ours: &Server, caller: &Caller<'_>, echo: &Server, nginx: Option<&Server>, case: &Case) -> Fallible<Vec<Row>> {
    let (mut a, mut direct, mut hop) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        direct.push(plain(echo, case)?);
        a.push(through(ours, caller, case)?);
        if let Some(nginx) = nginx {
            hop.push(plain(nginx, case)?);
        }
    }
    let of = |all: &[Outcome], figure: fn(&Outcome) -> f64| median(all.iter().map(figure));
    let named = |what: &str| format!("gateway/{what}/{}/{} connections", case.kind, case.connections);
    let added = of(&a, |o| o.p50) - of(&direct, |o| o.p50);
    let (cpu, rate) = (of(&a, |o| o.cpu), of(&a, |o| o.rate));
    let mut rows =
        vec![
            Row::new(named("processor a call"), cpu, "us")
                .beside("the upstream itself", of(&direct, |o| o.cpu))
                .bar(if case.connections == 16 { Bar::AtMost(100.0) } else { Bar::None }),
            Row::new(named("added p50"), added, "us")
                .beside("one disk sync", case.sync)
                .bar(if case.connections == 1 { Bar::AddedAtMost(250.0) } else { Bar::None }),
            Row::new(named("calls"), rate, "1/s").beside("direct", of(&direct, |o| o.rate)),
        ];
    if nginx.is_some() {
        rows.push(Row::new(named("processor a call, nginx"), cpu, "us").beside("nginx hop", of(&hop, |o| o.cpu)));
        let its = of(&hop, |o| o.p50) - of(&direct, |o| o.p50);
        rows.push(Row::new(named("added p50, nginx"), added, "us").beside("nginx hop", its));
    }
    Ok(rows)
}
