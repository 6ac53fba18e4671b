//! The transmitter, driven by an independent client through the modules of the OpenID conformance suite.

use std::path::Path;
use std::sync::Arc;

use chancery_it::WallClock;
use chancery_server::SignalReceiver;
use chancery_testkit::TestApp;
use serde_json::{Value, json};

use crate::gateway::peers::{command, directory, output};

/// As many as the suite's plans have for transmitters and for the CAEP Interoperability Profile.
const MODULES: [(&str, usize); 2] = [("transmitter", 21), ("caep", 9)];

/// A service account that authenticates with a shared secret and uses bearer tokens, as the suite's client does.
async fn client(app: &TestApp, name: &str) -> String {
    app.register(name, "service_account").await;
    let made = app.admin("POST", &format!("/v1/agents/{name}/secrets"), json!({"reason": "a test"})).await.ok();
    let allow = json!({"allow": true, "reason": "the suite cannot sign proofs"});
    app.admin("POST", &format!("/v1/agents/{name}/bearer"), allow).await.ok();
    made["secret"].as_str().unwrap().to_owned()
}

async fn drive(peers: &Path, given: &Value) -> Vec<Value> {
    let mut command = command(&peers.join("venv/bin/python"), peers, &["ssf.py"]);
    command.env("GIVEN", given.to_string());
    let output = output(command).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_str(text.trim()).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_independent_client_passes_every_module_of_the_suite() {
    let Some(peers) = directory("joserfc as a receiver of signals") else { return };
    let receiver = |name: &str| SignalReceiver { receiver: name.to_owned(), audience: None };
    let app = TestApp::builder()
        .clock(Arc::new(WallClock))
        .config(|config| {
            config.fetch.allow = vec!["127.0.0.1:*".to_owned()];
            config.signals.transmit = vec![receiver("suite"), receiver("other")];
        })
        .start()
        .await;
    let given = json!({
        "issuer": app.url(), "admin": app.app().admin_socket(),
        "client": "suite", "secret": client(&app, "suite").await,
        "other": "other", "other_secret": client(&app, "other").await,
        "stranger": "stranger", "stranger_secret": client(&app, "stranger").await,
    });
    let found = drive(&peers, &given).await;
    let failed: Vec<&Value> = found.iter().filter(|check| check["ok"] != true).collect();
    println!("signals: {} of {} modules pass", found.len() - failed.len(), found.len());
    assert!(failed.is_empty(), "{failed:#?}");
    for (plan, count) in MODULES {
        assert_eq!(found.iter().filter(|check| check["plan"] == plan).count(), count, "{plan}");
    }
}
