//! Other enforcers are told of a kill over a stream, and whoever may not listen is not.

use chancery_testkit::TestApp;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpStream, UnixStream};

use super::{kill, unkill};

type Stream = Lines<BufReader<Box<dyn AsyncRead + Unpin + Send>>>;

async fn begin(mut stream: impl AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static, head: &str) -> Stream {
    stream.write_all(head.as_bytes()).await.unwrap();
    let stream: Box<dyn AsyncRead + Unpin + Send> = Box::new(stream);
    BufReader::new(stream).lines()
}

/// The next event and its data; nothing at the end.
async fn next(stream: &mut Stream) -> Option<(String, Value)> {
    let reading = async {
        let mut event = String::new();
        while let Some(line) = stream.next_line().await.unwrap() {
            if let Some(name) = line.strip_prefix("event: ") {
                name.clone_into(&mut event);
            } else if let Some(data) = line.strip_prefix("data: ") {
                return Some((event, serde_json::from_str(data).unwrap()));
            }
        }
        None
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), reading).await.expect("an event in time")
}

/// The next event that is no beat.
async fn told(stream: &mut Stream) -> Option<(String, Value)> {
    loop {
        match next(stream).await? {
            (name, data) if name == "beat" => assert!(data["good_for_ms"].as_i64().unwrap() > 0),
            event => return Some(event),
        }
    }
}

#[tokio::test]
async fn whoever_listens_is_told_what_is_in_force_and_then_what_changes() {
    let app = TestApp::start().await;
    app.agent("one").await;
    app.agent("two").await;
    let enforcer = app.service_account("enforcer").await;
    let first = kill(&app, "agent", "one").await;

    let host = app.url().strip_prefix("http://").unwrap();
    enforcer.ask("evaluation", &json!({})).await;
    let carried = enforcer.credentials(&app.at("/access/v1"), "/containments", "GET").await;
    let carried: String = carried.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!("GET /access/v1/containments HTTP/1.1\r\nhost: {host}\r\n{carried}\r\n");
    let mut enforcing = begin(TcpStream::connect(app.app().address()).await.unwrap(), &head).await;
    let socket = UnixStream::connect(app.app().admin_socket()).await.unwrap();
    let mut local = begin(socket, "GET /v1/containments/events HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    for stream in [&mut enforcing, &mut local] {
        let (name, standing) = told(stream).await.unwrap();
        assert_eq!((name.as_str(), &standing["items"][0]["id"]), ("standing", &first["id"]), "{standing}");
        assert_eq!(standing["items"].as_array().unwrap().len(), 1);
        assert_eq!(next(stream).await.unwrap().0, "beat", "and that it is so still");
    }
    let second = kill(&app, "agent", "two").await;
    unkill(&app, &first).await;
    for stream in [&mut enforcing, &mut local] {
        let (name, contained) = told(stream).await.unwrap();
        assert_eq!(
            (name.as_str(), &contained["id"], &contained["scope"]),
            ("contained", &second["id"], &json!("agent"))
        );
        let (name, lifted) = told(stream).await.unwrap();
        assert_eq!((name.as_str(), &lifted["id"]), ("lifted", &first["id"]));
        assert!(lifted["number"].as_u64().unwrap() > contained["number"].as_u64().unwrap());
    }
    // Whoever is stopped hears that, if at all, as the last thing.
    kill(&app, "everything", "").await;
    while told(&mut enforcing).await.is_some() {}
    assert_eq!(told(&mut local).await.unwrap().1["scope"], "everything", "the administration goes on");
}

#[tokio::test]
async fn whoever_is_no_enforcer_does_not_listen() {
    let app = TestApp::start().await;
    let agent = app.agent("worker").await;
    let refused = agent.send(&app.at("/access/v1"), "/containments", "GET", &[], b"").await;
    assert_eq!(refused.problem(403), "C2001");
    let nobody = app.http().get(&app.at("/access/v1/containments")).await;
    assert_eq!(nobody.status, 401, "{}", nobody.text());
    let stranger = app.http().get(&app.at("/v1/containments/events")).await;
    assert_eq!(stranger.status, 401, "{}", stranger.text());
}
