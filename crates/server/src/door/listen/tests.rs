use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::*;
use crate::door::guard::{Leave, Names};
use crate::door::time::Times;

const LONGEST_WAIT: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_millis(100);
const NEVER: Times = Times { headers: LONGEST_WAIT, body: LONGEST_WAIT, answer: LONGEST_WAIT };

fn door(router: Router, times: Times) -> Door {
    Door { names: Names::new(["localhost".to_owned()], &[]), router, times, leave: Leave::default() }
}

fn closing() -> Closing {
    Closing { cancel: CancellationToken::new(), tasks: TaskTracker::new() }
}

async fn opened(door: Door) -> (TcpStream, Closing) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let closing = closing();
    closing.tasks.spawn(tcp(listener, door, closing.clone()));
    (client, closing)
}

/// Everything that comes until the other side closes.
async fn rest(client: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    tokio::time::timeout(LONGEST_WAIT / 2, client.read_to_end(&mut answer)).await.expect("it is closed").unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_body_that_does_not_come_is_answered_and_the_connection_closed() {
    let read = Router::new().route("/", post(|body: Bytes| async move { body.len().to_string() }));
    for sent in ["", "a few bytes"] {
        let (mut client, _door) = opened(door(read.clone(), Times { body: SOON, ..NEVER })).await;
        let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n";
        client.write_all(format!("{head}{sent}").as_bytes()).await.unwrap();
        let answer = rest(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(answer.contains("application/problem+json") && answer.contains("C4013"), "{answer}");
    }
}

#[tokio::test]
async fn a_body_that_comes_in_pieces_is_read() {
    let read = Router::new().route("/", post(|body: Bytes| async move { body.len().to_string() }));
    let (mut client, _door) = opened(door(read, NEVER)).await;
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    for piece in [head, "3\r\nabc\r\n", "4\r\ndefg\r\n0\r\n\r\n"] {
        client.write_all(piece.as_bytes()).await.unwrap();
        client.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
    let answer = rest(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n7"), "{answer}");
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed() {
    for sent in ["", "GET / HTTP/1.1\r\nHost: loc"] {
        let (mut client, _door) = opened(door(Router::new(), Times { headers: SOON, ..NEVER })).await;
        client.write_all(sent.as_bytes()).await.unwrap();
        rest(&mut client).await;
    }
}

#[tokio::test]
async fn a_client_that_takes_no_answer_is_left() {
    let long = Router::new().route("/", get(|| async { vec![b'x'; 64 << 20] }));
    let (mut client, door) = opened(door(long, Times { answer: SOON, ..NEVER })).await;
    client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    client.readable().await.unwrap();
    door.cancel.cancel();
    door.tasks.close();
    tokio::time::timeout(LONGEST_WAIT / 2, door.tasks.wait()).await.expect("nobody waits for it");
}

#[tokio::test]
async fn what_an_administrator_began_is_done_when_they_have_left() {
    let (started, go, done) = (Arc::new(Notify::new()), Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begun, wait, end) = (Arc::clone(&started), Arc::clone(&go), Arc::clone(&done));
    let slow = post(move || async move {
        begun.notify_one();
        wait.notified().await;
        end.notify_one();
    });
    let (mut client, ours) = tokio::io::duplex(1024);
    let served =
        connection(ours, door(Router::new().route("/", slow), NEVER), Other::Administrator(Peer::Local(0)), closing());
    let served = tokio::spawn(served);
    client.write_all(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    started.notified().await;
    drop(client);
    served.await.unwrap();
    go.notify_one();
    tokio::time::timeout(LONGEST_WAIT / 2, done.notified()).await.expect("the handler was not dropped");
}
