//! The Python client (package `spiffe`) at our socket.

use serde_json::Value;

use super::House;
use crate::gateway::peers;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_client_fetches_svids_and_bundles_and_verifies_them() {
    let Some(directory) = peers::directory("the Python client of the SPIFFE Workload API") else { return };
    let house = House::on_real_time().await;
    let socket = format!("unix://{}", house.socket.display());
    let program = directory.join("venv/bin/python");
    let output = peers::output(peers::command(&program, &directory, &["spiffe_client.py", &socket])).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said: Value = serde_json::from_str(text.trim()).unwrap_or_else(|e| panic!("{e}: {text}"));
    let id = "spiffe://acme.example/agent/billing";
    assert_eq!(said["x509"], id, "{said:#}");
    assert_eq!(said["source"], id, "{said:#}");
    assert_eq!(said["signed_by_the_bundle"], true, "{said:#}");
    assert_eq!(said["jwt"], id, "{said:#}");
    assert_eq!(said["audience"], serde_json::json!(["one", "two"]), "{said:#}");
    assert_eq!(said["validated"], id, "{said:#}");
    assert_eq!(said["other_audience"], "INVALID_ARGUMENT", "{said:#}");
    assert_eq!(said["other_identity"], "PERMISSION_DENIED", "{said:#}");
}
