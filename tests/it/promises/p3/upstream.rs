//! Upstream servers that write down what arrives, and can keep everybody waiting at the door.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chancery_it::WallClock;
use chancery_model::{Clock, Timestamp};
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;

use super::cluster::until;

/// A call that arrived.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) who: String,
    /// The node that it says it was sent to.
    pub(super) node: usize,
    pub(super) intent: String,
    pub(super) at: Timestamp,
}

/// What arrived, at all of them.
#[derive(Clone, Default)]
pub(super) struct Seen(Arc<Mutex<Vec<Arrival>>>);

impl Seen {
    pub(super) fn take(&self) -> Vec<Arrival> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    pub(super) fn count(&self, such: impl Fn(&Arrival) -> bool) -> usize {
        self.0.lock().unwrap().iter().filter(|arrival| such(arrival)).count()
    }
}

/// A server on a thread of its own, so that it reads at once what comes.
pub(super) struct Recording {
    pub(super) url: String,
    address: SocketAddr,
    open: watch::Sender<bool>,
    crowd: Mutex<Vec<TcpStream>>,
    /// The thread ends with it.
    _end: tokio::sync::oneshot::Sender<()>,
}

impl Recording {
    /// With `anew` each call comes over a connection of its own.
    pub(super) fn start(seen: &Seen, anew: bool) -> Self {
        let (told, address) = std::sync::mpsc::channel();
        let (open, mut is_open) = watch::channel(true);
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let seen = seen.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let socket = TcpSocket::new_v4().unwrap();
                socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
                // Small, so that a crowd fills it.
                let listener = socket.listen(64).unwrap();
                told.send(listener.local_addr().unwrap()).unwrap();
                let serving = async {
                    loop {
                        if is_open.wait_for(|open| *open).await.is_err() {
                            return;
                        }
                        tokio::select! {
                            Ok((stream, _)) = listener.accept() => drop(tokio::spawn(serve(stream, seen.clone(), anew))),
                            _ = is_open.changed() => {}
                        }
                    }
                };
                tokio::select! {
                    () = serving => {}
                    _ = ended => {}
                }
            });
        });
        let address: SocketAddr = address.recv().unwrap();
        Self { url: format!("http://{address}/mcp"), address, open, crowd: Mutex::default(), _end: end }
    }

    /// From now on nobody gets in: the queue at the door is full, and whoever comes is not answered.
    pub(super) async fn shut(&self) {
        self.open.send_replace(false);
        loop {
            match tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(self.address)).await {
                Ok(stream) => self.crowd.lock().unwrap().push(stream.unwrap()),
                Err(_) => return,
            }
        }
    }

    /// Everybody who waits gets in, at the next knock.
    pub(super) fn open(&self) {
        self.crowd.lock().unwrap().clear();
        self.open.send_replace(true);
    }

    /// Waits until somebody knocks in vain, or nobody does any more.
    pub(super) async fn until_knocking(&self, knocking: bool) {
        let port = format!(":{:04X} 02", self.address.port());
        let what = if knocking { "somebody knocks" } else { "nobody knocks any more" };
        // SYN_SENT is state 02.
        until(what, async || std::fs::read_to_string("/proc/net/tcp").unwrap().contains(&port) == knocking).await;
    }
}

async fn serve(stream: TcpStream, seen: Seen, anew: bool) {
    drop(stream.set_nodelay(true));
    let service = service_fn(move |request| {
        let seen = seen.clone();
        async move { answer(request, &seen).await }
    });
    // A client that goes away is no failure.
    let mut server = hyper::server::conn::http1::Builder::new();
    drop(server.keep_alive(!anew).serve_connection(TokioIo::new(stream), service).await);
}

async fn answer(request: Request<Incoming>, seen: &Seen) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let intent = request.headers().get("chancery-intent").map(|intent| intent.to_str().unwrap().to_owned());
    // Only what came whole is a call.
    let body = request.into_body().collect().await?.to_bytes();
    let at = WallClock.now();
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let tool = |name: &str| json!({"name": name, "inputSchema": {"type": "object"}});
    let result = match message["method"].as_str().unwrap_or_default() {
        "initialize" => {
            json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}})
        }
        "tools/list" => json!({"tools": [tool("act"), tool("other")]}),
        "tools/call" => {
            let given = &message["params"]["arguments"];
            let who = given["who"].as_str().unwrap().to_owned();
            let node = given["node"].as_u64().unwrap() as usize;
            seen.0.lock().unwrap().push(Arrival { who, node, intent: intent.unwrap(), at });
            let takes = given["takes_ms"].as_u64().unwrap_or_default();
            tokio::time::sleep(Duration::from_millis(takes)).await;
            json!({"content": [], "resultType": "complete"})
        }
        _ => Value::Null,
    };
    let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string();
    let response = Response::builder().header(header::CONTENT_TYPE, "application/json");
    Ok(response.body(Full::new(Bytes::from(answer))).unwrap())
}
