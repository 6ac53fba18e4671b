//! P6: what was decided and recorded is what Python and Node saw, for every file of JSONTestSuite, or nothing was seen.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chancery_it::{Seeded, WallClock};
use chancery_model::Kind;
use chancery_server::Transport;
use chancery_store::{Config, Store, bodies, log};
use chancery_testkit::{Agent, TestApp};
use serde_json::{Value, json};

use super::peers::{Running, command, directory, node};

/// The files of the suite, from the first parent directory that has it.
fn suite() -> Option<Vec<PathBuf>> {
    let mut at = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = loop {
        let folder = at.join("shared/data/json-test-suite");
        if folder.exists() {
            break folder;
        }
        at = at.parent()?;
    };
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|kind| kind == "json"));
    files.sort();
    Some(files)
}

/// The text by which the fixtures tell what they saw; two values share it exactly if they are the same.
fn shown(value: &Value) -> String {
    match value {
        Value::Null | Value::Bool(_) => value.to_string(),
        Value::Number(number) => {
            let number = number.as_f64().unwrap() + 0.0;
            format!("n{:016x}", number.to_bits())
        }
        Value::String(text) => format!("s{}", text.bytes().map(|b| format!("{b:02x}")).collect::<String>()),
        Value::Array(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(",")),
        Value::Object(members) => {
            let name = |name: &String| shown(&Value::String(name.clone()));
            let mut members: Vec<_> =
                members.iter().map(|(key, value)| format!("{}:{}", name(key), shown(value))).collect();
            members.sort();
            format!("{{{}}}", members.join(","))
        }
    }
}

/// Sends a file as an argument and as the arguments; gives how often it was let through.
async fn send(agent: &Agent, server: &str, file: &[u8]) -> usize {
    let mut passed = 0;
    for (before, after) in [(&br#"{"value":"#[..], &b"}"[..]), (b"", b"")] {
        let head = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"see","arguments":"#;
        let body = [head, before, file, after, b"}}"].concat();
        let answer = agent.send(&agent.mcp(server), "", "POST", &[], &body).await;
        let message: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let answered = message["result"]["content"][0]["text"].is_string() && message["result"]["isError"] != true;
        assert!(answered || answer.status.is_client_error() || message.get("error").is_some(), "{}", answer.text());
        passed += usize::from(answered);
    }
    passed
}

/// The arguments of every call at a server that was recorded as allowed, in order.
async fn recorded(data: &Path, server: &str) -> Vec<String> {
    let store = Store::open(&Config::at(data), Arc::new(WallClock), Arc::new(Seeded::new(1))).await.unwrap();
    let mut seen = Vec::new();
    let mut scan = log::forward(&store, chancery_model::Position { writer: store.writer(), seq: 0 });
    let mut intents = Vec::new();
    while let Some(segment) = scan.next().await.unwrap() {
        for (position, bytes) in segment.entries() {
            let draft = chancery_model::Entry::decode(bytes).unwrap().draft;
            let call = draft.kind == Kind::Intent && draft.what.tool.is_some();
            if call && draft.what.server.as_deref() == Some(server) {
                intents.push(position);
            }
        }
    }
    for position in intents {
        let kept = bodies::get(&store, position).await.unwrap();
        let arguments = kept.iter().find(|body| body.name == "arguments");
        let content = arguments.map_or(&b"null"[..], |body| &body.kept.as_ref().unwrap().content);
        seen.push(shown(&serde_json::from_slice(content).unwrap()));
    }
    store.close().await;
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_reader_sees_anything_but_what_was_recorded() {
    let Some(files) = suite() else {
        println!(
            "skipped: 318 files of JSONTestSuite, for there is no `shared/data/json-test-suite` in any parent directory"
        );
        return;
    };
    let Some(peers) = directory("JSONTestSuite against Python and Node") else { return };
    assert_eq!(files.len(), 318);
    let python = Running::start(command(&peers.join("venv/bin/python"), &peers, &["upstream.py"]));
    let javascript = Running::start(command(&node(&peers), &peers, &["upstream.mjs"]));
    let app = TestApp::builder()
        .server("python", Transport::Http(python.url.clone()), None)
        .server("node", Transport::Http(javascript.url.clone()), None)
        .start()
        .await;
    let agent = app.agent("fuzzer").await;
    let mut passed = 0;
    for server in ["python", "node"] {
        app.grant("fuzzer", server).await;
        for file in &files {
            let bytes = std::fs::read(file).unwrap();
            passed += send(&agent, server, &bytes).await;
        }
    }
    let mut seen = Vec::new();
    for upstream in [&python, &javascript] {
        let calls = app.http().get(&format!("{}/calls", upstream.url)).await.json();
        seen.push(serde_json::from_value::<Vec<String>>(calls["calls"].clone()).unwrap());
    }
    let data = app.data();
    let _directory = app.stop().await;
    let mut differences = 0;
    for (server, seen) in ["python", "node"].iter().zip(&seen) {
        let recorded = recorded(&data, server).await;
        assert_eq!(recorded.len(), seen.len(), "{server} saw as many calls as were recorded");
        differences += recorded.iter().zip(seen).filter(|(recorded, seen)| recorded != seen).count();
    }
    println!(
        "JSONTestSuite: {} files x 2 places x 2 readers, {passed} let through, {differences} differences",
        files.len()
    );
    assert_eq!(differences, 0);
    assert!(passed > 2 * 95, "most files that must parse are let through");
    assert_eq!(json!(seen[0]), json!(seen[1]), "both readers saw the same");
}
