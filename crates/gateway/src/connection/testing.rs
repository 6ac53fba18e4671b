//! A web of a few documents, for tests.

use std::collections::HashMap;
use std::sync::Mutex;

use futures_util::future::BoxFuture;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::exchange::{Ask, Exchange, Reply};
use crate::lock;

#[derive(Default)]
pub(crate) struct Scripted {
    documents: HashMap<String, (StatusCode, String)>,
    seen: Mutex<Vec<Ask>>,
}

impl Scripted {
    pub(crate) fn document(self, url: &str, body: &Value) -> Self {
        self.answer(url, StatusCode::OK, body)
    }

    pub(crate) fn answer(mut self, url: &str, status: StatusCode, body: &Value) -> Self {
        self.documents.insert(url.to_owned(), (status, body.to_string()));
        self
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        lock(&self.seen).iter().map(|ask| ask.url.clone()).collect()
    }
}

impl Exchange for Scripted {
    fn send(&self, ask: Ask) -> BoxFuture<'_, Result<Reply, String>> {
        let known = self.documents.get(&ask.url).cloned();
        lock(&self.seen).push(ask);
        let (status, body) = known.unwrap_or((StatusCode::NOT_FOUND, String::new()));
        Box::pin(async move { Ok(Reply { status, headers: HeaderMap::new(), body: body.into() }) })
    }
}

/// A clock that stands still, and bytes that differ.
#[derive(Default)]
pub(crate) struct Still(std::sync::atomic::AtomicU64);

impl chancery_model::Clock for Still {
    fn now(&self) -> chancery_model::Timestamp {
        chancery_model::Timestamp(1_795_000_000_000_000)
    }

    fn monotonic(&self) -> chancery_model::Timestamp {
        self.now()
    }
}

impl chancery_model::Random for Still {
    fn fill(&self, out: &mut [u8]) {
        let next = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        for (at, byte) in out.iter_mut().enumerate() {
            *byte = (next >> (8 * (at % 4))) as u8;
        }
    }
}

pub(crate) fn means() -> super::Means {
    over(std::sync::Arc::new(Scripted::default()))
}

pub(crate) fn over(web: std::sync::Arc<Scripted>) -> super::Means {
    let still = std::sync::Arc::new(Still::default());
    super::Means { exchange: web, clock: still.clone(), random: still }
}
