//! `chancery mcp bridge`: MCP on standard input and output, over either wire.

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

use super::{Desk, PATIENCE};

/// A started bridge.
struct Bridge {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Bridge {
    fn start(desk: &Desk, agent: &str, server: &str) -> Self {
        let mut child = desk.command(&["mcp", "bridge", "--as", agent, "--server", server]).spawn().expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        Self { stdin: child.stdin.take(), child, lines }
    }

    async fn say(&mut self, message: Value) {
        let line = message.to_string() + "\n";
        self.stdin.as_mut().expect("open").write_all(line.as_bytes()).await.expect("it reads");
    }

    /// The next message that has this id.
    async fn answer(&mut self, id: u64) -> Value {
        let next = async {
            while let Some(line) = self.lines.next_line().await.expect("lines") {
                let message: Value = serde_json::from_str(&line).expect("JSON");
                if message["id"] == id {
                    return message;
                }
            }
            panic!("the bridge ended without an answer to {id}");
        };
        tokio::time::timeout(PATIENCE, next).await.expect("an answer in time")
    }

    async fn ask(&mut self, id: u64, method: &str, params: Value) -> Value {
        self.say(json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await;
        self.answer(id).await
    }

    async fn leave(mut self) -> i32 {
        drop(self.stdin.take());
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it ends in time");
        ended.expect("it ends").code().unwrap_or(-1)
    }
}

/// Opens a session, lists, calls `echo`, and leaves.
pub async fn conversation(desk: &Desk, agent: &str, server: &str) {
    let mut bridge = Bridge::start(desk, agent, server);
    let hello =
        json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    let hello = bridge.ask(0, "initialize", hello).await;
    assert_eq!(hello["result"]["protocolVersion"], "2025-11-25", "{hello}");
    bridge.say(json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
    let listed = bridge.ask(1, "tools/list", json!({})).await;
    assert!(listed["result"]["tools"].as_array().is_some_and(|tools| !tools.is_empty()), "{listed}");
    let said = bridge.ask(2, "tools/call", json!({"name": "echo", "arguments": {"text": "hello"}})).await;
    assert_eq!(said["result"]["content"][0]["text"], "hello", "{said}");
    assert_eq!(bridge.leave().await, 0);
}

/// A bridge of an agent that may use the server, and what its messages on the stateless wire carry.
async fn stateless() -> (Desk, Bridge, Value) {
    let desk = Desk::open().await;
    desk.enrolled("bot").await;
    desk.app.grant("bot", "crm").await;
    let bridge = Bridge::start(&desk, "bot", "crm");
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {},
    });
    (desk, bridge, meta)
}

#[tokio::test]
async fn the_stateless_wire_goes_through_too() {
    let (_desk, mut bridge, meta) = stateless().await;
    let call = json!({"name": "add", "arguments": {"a": 2, "b": 3}, "_meta": meta});
    // Side by side: answers come back under their own ids.
    for id in 1..=5 {
        bridge.say(json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": call})).await;
    }
    let mut answered = std::collections::BTreeSet::new();
    for _ in 1..=5 {
        let line = tokio::time::timeout(PATIENCE, bridge.lines.next_line()).await.expect("in time").expect("a line");
        let message: Value = serde_json::from_str(&line.expect("not the end")).expect("JSON");
        assert_eq!(message["result"]["content"][0]["text"], "5", "{message}");
        answered.insert(message["id"].as_u64());
    }
    assert_eq!(answered.len(), 5);
    bridge.say(json!("not a message")).await;
    assert_eq!(bridge.leave().await, 0);
}

#[tokio::test]
async fn a_suspension_is_told_and_the_bridge_goes_on_after_it() {
    let (desk, mut bridge, meta) = stateless().await;
    let call = json!({"name": "echo", "arguments": {"text": "x"}, "_meta": meta});
    assert_eq!(bridge.ask(1, "tools/call", call.clone()).await["result"]["content"][0]["text"], "x");
    desk.ok("agent suspend bot --reason test").await;
    let refused = bridge.ask(2, "tools/call", call.clone()).await;
    assert!(refused["error"]["message"].as_str().is_some_and(|text| text.contains("suspended")), "{refused}");
    desk.ok("agent resume bot").await;
    assert_eq!(bridge.ask(3, "tools/call", call).await["result"]["content"][0]["text"], "x");
    assert_eq!(bridge.leave().await, 0);
}

#[tokio::test]
async fn without_a_key_the_bridge_says_so_and_ends() {
    let desk = Desk::open().await;
    let done = desk.run("mcp bridge --as ghost --server crm").await;
    assert_eq!(done.out, "");
    assert!(done.exit != 0 && done.err.contains("chancery agent enrol ghost"), "{}", done.err);
    desk.enrolled("bot").await;
    let wrong = desk.run("mcp bridge --as bot --server ghost").await;
    assert!(wrong.exit != 0 && wrong.err.contains("resource"), "{}", wrong.err);
}
