//! Clients by their ids: adopted documents, registered addresses, and what is neither.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chancery_model::{Client, ClientKind, Span, Timestamp};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::{World, config};

/// Serves one document, with a header of its own, and counts.
pub(super) async fn serve(header: &'static str) -> (String, String, Arc<AtomicUsize>) {
    serve_when(header, Arc::new(Semaphore::new(Semaphore::MAX_PERMITS))).await
}

/// The same, each answer only when it is let through.
async fn serve_when(header: &'static str, gate: Arc<Semaphore>) -> (String, String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = listener.local_addr().unwrap().to_string();
    let (url, asked) = (format!("http://{place}/client.json"), Arc::new(AtomicUsize::new(0)));
    let body = json!({"client_id": url, "client_name": "App", "redirect_uris": ["http://127.0.0.1/cb"]}).to_string();
    let counter = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            let _ = socket.read(&mut [0; 2048]).await;
            gate.acquire().await.unwrap().forget();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{header}\r\n\r\n");
            let _ = socket.write_all(format!("{head}{body}").as_bytes()).await;
        }
    });
    (place, url, asked)
}

impl World {
    async fn adopt(&self, id: &str, kind: ClientKind, redirect_uris: &[&str], removed: bool) {
        self.adopt_for("crm", id, kind, redirect_uris, removed).await;
    }

    pub(super) async fn adopt_for(&self, of: &str, id: &str, kind: ClientKind, redirect_uris: &[&str], removed: bool) {
        let client = Client {
            id: id.to_owned(),
            agent: self.auth.agent(of).unwrap().id.clone(),
            kind,
            redirect_uris: redirect_uris.iter().map(|uri| (*uri).to_owned()).collect(),
            claimed_name: None,
            created_at: Timestamp(0),
            removed_at: None,
        };
        let write = self.store.write(self.draft(), move |tx| {
            Box::pin(async move {
                match removed {
                    true => chancery_store::clients::remove(tx, &client, Timestamp(1)).await,
                    false => chancery_store::clients::put(tx, &client).await,
                }
            })
        });
        write.await.unwrap();
    }
}

#[tokio::test]
async fn a_document_is_fetched_once_adopted_and_kept_as_long_as_it_says() {
    let (place, url, asked) = serve("cache-control: max-age=600").await;
    let world = World::reaching(config(), &[place]).await;
    let stranger = world.auth.client_of(&url).await.unwrap_err();
    assert_eq!(stranger.row.code, "C1046");
    assert!(stranger.description.contains("chancery agent client NAME --metadata"), "{stranger}");
    assert_eq!(asked.load(Ordering::SeqCst), 0, "what nobody adopted is not fetched");

    world.adopt(&url, ClientKind::MetadataDocument, &[], false).await;
    for _ in 0..3 {
        let client = world.auth.client_of(&url).await.unwrap();
        assert!(client.may_redirect_to("http://127.0.0.1:51004/cb") && client.is_local());
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    world.clock.advance(Span::minutes(11));
    world.auth.client_of(&url).await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 2);

    world.adopt(&url, ClientKind::MetadataDocument, &[], true).await;
    assert_eq!(world.auth.client_of(&url).await.unwrap_err().row.code, "C1046");
}

#[tokio::test]
async fn a_document_is_kept_for_a_minute_at_least() {
    let (place, url, asked) = serve("cache-control: no-store").await;
    let world = World::reaching(config(), &[place]).await;
    world.adopt(&url, ClientKind::MetadataDocument, &[], false).await;
    for _ in 0..3 {
        world.auth.client_of(&url).await.unwrap();
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_adopted_document_out_of_reach_is_not_asked_for_again_and_again() {
    let (_, url, asked) = serve("x: y").await;
    let world = World::new().await;
    world.adopt(&url, ClientKind::MetadataDocument, &[], false).await;
    for _ in 0..3 {
        assert_eq!(world.auth.client_of(&url).await.unwrap_err().row.code, "C1047");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0, "the place is not listed");
}

#[tokio::test]
async fn a_registered_client_goes_by_its_agents_name_or_id() {
    let world = World::new().await;
    let without = world.auth.client_of("crm").await.unwrap_err();
    assert!(without.description.contains("--redirect-uri"), "{without}");
    let id = world.auth.agent("crm").unwrap().id.to_string();
    world.adopt(&id, ClientKind::Registered, &["https://app.example/cb"], false).await;
    for name in ["crm", &id] {
        assert!(world.auth.client_of(name).await.unwrap().may_redirect_to("https://app.example/cb"), "{name}");
    }
    for unknown in ["", "ghost", "CRM", "agt_00000000000000000000000000", "javascript:alert(1)"] {
        assert_eq!(world.auth.client_of(unknown).await.unwrap_err().row.code, "C1046", "{unknown}");
    }
}

#[tokio::test]
async fn whose_a_document_is_follows_from_its_adoption_at_this_moment() {
    let gate = Arc::new(Semaphore::new(0));
    let (place, url, asked) = serve_when("x: y", gate.clone()).await;
    let world = World::reaching(config(), &[place]).await;
    let other = world.register("other").await;
    world.adopt(&url, ClientKind::MetadataDocument, &[], false).await;
    let (auth, id) = (world.auth.clone(), url.clone());
    let lookup = tokio::spawn(async move { auth.client_of(&id).await });
    while asked.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    // While its document is on the way it becomes another agent's.
    world.adopt(&url, ClientKind::MetadataDocument, &[], true).await;
    world.adopt_for("other", &url, ClientKind::MetadataDocument, &[], false).await;
    gate.add_permits(2);
    assert_eq!(lookup.await.unwrap().unwrap().agent, other.id);
    assert_eq!(world.auth.client_of(&url).await.unwrap().agent, other.id);
}
