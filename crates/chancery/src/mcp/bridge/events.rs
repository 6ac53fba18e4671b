//! Answers, whole or as a stream of events, turned into lines.

use http::{Response, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::sync::mpsc;

/// The longest message, in bytes.
const LONGEST: usize = 8 << 20;

/// Passes every message of an answer on; `note` sees each first.
pub async fn pass(response: Response<Incoming>, lines: &mpsc::Sender<String>, note: impl Fn(&Value)) {
    let kind = response.headers().get(header::CONTENT_TYPE).map(|v| v.as_bytes().to_vec()).unwrap_or_default();
    let mut body = response.into_body();
    let mut events = Events::default();
    let stream = kind.starts_with(b"text/event-stream");
    while let Some(Ok(frame)) = body.frame().await {
        let Some(data) = frame.data_ref() else { continue };
        events.push(data);
        while let Some(message) = stream.then(|| events.next()).flatten() {
            if !say(&message, lines, &note).await {
                return;
            }
        }
        if events.buffer.len() > LONGEST {
            tracing::warn!("an answer is over {LONGEST} bytes: given up");
            return;
        }
    }
    if !stream && !events.buffer.is_empty() {
        let rest = std::mem::take(&mut events.buffer);
        say(&rest, lines, &note).await;
    }
}

async fn say(message: &[u8], lines: &mpsc::Sender<String>, note: &impl Fn(&Value)) -> bool {
    match serde_json::from_slice::<Value>(message) {
        Ok(value) => {
            note(&value);
            // Written anew, so that a message is one line whatever its sender thought of line breaks.
            lines.send(value.to_string()).await.is_ok()
        }
        Err(_) => true,
    }
}

/// Server-sent events as they arrive.
#[derive(Debug, Default)]
struct Events {
    buffer: Vec<u8>,
    /// How much of it is known to hold no end of an event.
    searched: usize,
}

impl Events {
    fn push(&mut self, data: &[u8]) {
        self.buffer.extend_from_slice(data);
    }

    /// The data of the next event that has any and is complete.
    fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let found = end(&self.buffer[self.searched..]);
            let Some((at, gap)) = found.map(|(at, gap)| (at + self.searched, gap)) else {
                // An end may be cut in two.
                self.searched = self.buffer.len().saturating_sub(3);
                return None;
            };
            self.searched = 0;
            let event: Vec<u8> = self.buffer.drain(..at + gap).collect();
            let data = data(&event[..at]);
            if !data.is_empty() {
                return Some(data);
            }
        }
    }
}

/// Where the first empty line is, and how long the line breaks before and after it are.
fn end(buffer: &[u8]) -> Option<(usize, usize)> {
    let find = |gap: &[u8]| buffer.windows(gap.len()).position(|w| w == gap).map(|at| (at, gap.len()));
    [find(b"\n\n"), find(b"\r\n\r\n"), find(b"\r\r")].into_iter().flatten().min()
}

fn data(event: &[u8]) -> Vec<u8> {
    let lines = event.split(|b| *b == b'\n' || *b == b'\r');
    let values = lines.filter_map(|line| line.strip_prefix(b"data:")).map(|v| v.strip_prefix(b" ").unwrap_or(v));
    values.collect::<Vec<_>>().join(&b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_however_they_are_cut() {
        let text = b"id: 1\nevent: message\ndata: {\"a\":\ndata: 1}\n\n: comment\n\ndata:{}\r\n\r\ndata: x";
        for size in 1..text.len() {
            let mut events = Events::default();
            let mut found = Vec::new();
            for chunk in text.chunks(size) {
                events.push(chunk);
                while let Some(event) = events.next() {
                    found.push(String::from_utf8(event).unwrap());
                }
            }
            assert_eq!(found, ["{\"a\":\n1}", "{}"], "in chunks of {size}");
        }
    }
}
