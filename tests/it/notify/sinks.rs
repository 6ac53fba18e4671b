//! Where messages arrive: a web server and a mail server that remember everything, and answer as they are told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use bytes::Bytes;
use chancery_testkit::{LONGEST_WAIT, TestApp};
use http::{HeaderMap, StatusCode, Uri};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Came {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Came {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

/// What is answered: status, one more header, body.
pub type Reply = (u16, Option<(&'static str, &'static str)>, String);

#[derive(Default)]
struct Memory {
    came: Vec<Came>,
    replies: VecDeque<Reply>,
}

/// A web server that answers 200 unless it was told something else.
pub struct WebSink {
    pub url: String,
    memory: Arc<Mutex<Memory>>,
    task: JoinHandle<()>,
}

impl WebSink {
    pub async fn start() -> Self {
        let memory = Arc::new(Mutex::new(Memory::default()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(take).with_state(Arc::clone(&memory));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, memory, task }
    }

    /// The next answers, in order.
    pub fn answers(&self, replies: impl IntoIterator<Item = Reply>) {
        self.memory.lock().unwrap().replies.extend(replies);
    }

    pub fn came(&self) -> Vec<Came> {
        self.memory.lock().unwrap().came.clone()
    }

    /// The first requests, once there are so many.
    pub async fn until(&self, count: usize) -> Vec<Came> {
        eventually(&format!("{count} requests"), async || self.came().len() >= count).await;
        self.came()
    }
}

impl Drop for WebSink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(
    State(memory): State<Arc<Mutex<Memory>>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, HeaderMap, String) {
    let mut memory = memory.lock().unwrap();
    memory.came.push(Came { path: uri.path().to_owned(), headers, body });
    let (status, header, body) = memory.replies.pop_front().unwrap_or((200, None, String::new()));
    let headers = header.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    (StatusCode::from_u16(status).unwrap(), headers.into_iter().collect(), body)
}

/// A mail server without TLS that takes everything.
pub struct MailSink {
    pub server: String,
    mails: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl MailSink {
    pub async fn start() -> Self {
        let mails = Arc::new(Mutex::new(Vec::new()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap().to_string();
        let kept = Arc::clone(&mails);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, Arc::clone(&kept)));
            }
        });
        Self { server, mails, task }
    }

    pub fn mails(&self) -> Vec<String> {
        self.mails.lock().unwrap().clone()
    }

    pub async fn until(&self, count: usize) -> Vec<String> {
        eventually(&format!("{count} mails"), async || self.mails().len() >= count).await;
        self.mails()
    }
}

impl Drop for MailSink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// RFC 5321, as far as one client speaks it: each mail is kept with its recipients.
async fn converse(stream: TcpStream, mails: Arc<Mutex<Vec<String>>>) -> Option<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let mut mail = String::new();
    write.write_all(b"220 sink\r\n").await.ok()?;
    while let Some(line) = lines.next_line().await.ok()? {
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "QUIT" => return write.write_all(b"221 bye\r\n").await.ok(),
            "DATA" => {
                write.write_all(b"354 go on\r\n").await.ok()?;
                while let Some(line) = lines.next_line().await.ok()?.filter(|line| line != ".") {
                    mail.push_str(line.strip_prefix('.').unwrap_or(&line));
                    mail.push('\n');
                }
                mails.lock().unwrap().push(std::mem::take(&mut mail));
            }
            "RCPT" => mail.push_str(&format!("{line}\n")),
            _ => {}
        }
        write.write_all(b"250 ok\r\n").await.ok()?;
    }
    None
}

/// Until it is so.
pub async fn eventually(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONGEST_WAIT, waiting).await.unwrap_or_else(|_| panic!("{what}: not in time"));
}

/// The delivery log of a channel, oldest first, once it holds what is wanted.
pub async fn delivered(app: &TestApp, channel: &str, enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let path = format!("/v1/deliveries?channel={channel}");
    let mut found = Vec::new();
    eventually("deliveries", async || {
        found = app.admin("GET", &path, Value::Null).await.ok()["items"].as_array().unwrap().clone();
        found.reverse();
        enough(&found)
    })
    .await;
    found
}

/// Something that is told.
pub async fn suspend(app: &TestApp, agent: &str) {
    app.admin("POST", &format!("/v1/agents/{agent}/suspend"), json!({"reason": "it misbehaves"})).await.ok();
}

/// And what comes after it.
pub async fn resume(app: &TestApp, agent: &str) {
    app.admin("POST", &format!("/v1/agents/{agent}/resume"), json!({"reason": "it was a mistake"})).await.ok();
}
