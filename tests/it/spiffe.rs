//! Our trust domain, as workloads and others see it: with the SPIFFE clients of others, over a real socket.

mod clients;
mod door;
mod login;
mod login_tls;
mod python;

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

use chancery_it::WallClock;
use chancery_server::{SocketMode, Spiffe, Workload};
use chancery_testkit::{Builder, TestApp};

/// The trust domain of these tests.
const DOMAIN: &str = "acme.example";

/// The user id this test runs under: who connects is known by it.
fn own_uid(path: &std::path::Path) -> u32 {
    std::fs::metadata(path).expect("a file of ours").uid()
}

/// A server with a trust domain whose socket takes us for these agents, and agent `billing`.
struct House {
    app: TestApp,
    socket: PathBuf,
    /// Holds the socket.
    _place: tempfile::TempDir,
}

impl House {
    /// On the real clock: clients of others have no other.
    async fn on_real_time() -> Self {
        Self::open(TestApp::builder().clock(Arc::new(WallClock)), "billing", 0).await
    }

    /// On a clock that is moved.
    async fn on_test_time() -> Self {
        Self::open(TestApp::builder(), "billing", 0).await
    }

    /// `offset` makes us somebody else than the configuration maps.
    async fn open(builder: Builder, agent: &str, offset: u32) -> Self {
        let place = tempfile::Builder::new().prefix("spiffe-").tempdir().expect("a directory");
        let uid = own_uid(place.path()) + offset;
        let socket = place.path().join("workload.sock");
        let spiffe = Spiffe {
            trust_domain: DOMAIN.to_owned(),
            workload_socket: Some(socket.clone()),
            workload_socket_mode: SocketMode::Owner,
            workloads: vec![Workload { uid, agent: agent.to_owned(), instance: None }],
        };
        let app = builder.config(|config| config.spiffe = Some(spiffe)).start().await;
        app.agent("billing").await;
        Self { app, socket, _place: place }
    }

    fn endpoint(&self) -> String {
        format!("unix:{}", self.socket.display())
    }

    async fn client(&self) -> spiffe::WorkloadApiClient {
        spiffe::WorkloadApiClient::connect_to(self.endpoint()).await.expect("the socket")
    }

    /// Stops the server in order.
    async fn stop(self) {
        self.app.stop().await;
    }

    /// What the log says of SVIDs, oldest first.
    async fn issued(&self) -> Vec<serde_json::Value> {
        let log = self.app.log().await;
        log.into_iter().filter(|entry| entry["change"] == "issue svid").collect()
    }
}
