//! Server-sent events, cut from a byte stream and written again (HTML standard, section 9.2).

use bytes::{Bytes, BytesMut};

/// One event: its data, and every other line as it was.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// The `data` lines joined by line feeds; `None` if there was no such line.
    pub(crate) data: Option<String>,
    /// `id`, `event`, `retry` and comment lines. Lines of any other name are dropped: no reader gives them a meaning,
    /// and one that reads them differently must not find another event in them.
    pub(crate) others: Vec<String>,
}

/// Why a stream cannot be read on.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum SseError {
    #[error("an event is larger than {0} bytes")]
    TooLarge(usize),
    #[error("an event is not UTF-8")]
    NotText,
}

/// Cuts events from bytes as they come, wherever the chunks are cut.
#[derive(Debug)]
pub(crate) struct Events {
    buffer: BytesMut,
    /// How far `buffer` was searched for an end.
    searched: usize,
    limit: usize,
    /// Nothing was cut off yet: a byte order mark may stand here, and only here.
    at_start: bool,
}

impl Events {
    pub(crate) fn new(limit: usize) -> Self {
        Self { buffer: BytesMut::new(), searched: 0, limit, at_start: true }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole event.
    pub(crate) fn next(&mut self) -> Result<Option<Event>, SseError> {
        match end_of_event(&self.buffer, self.searched) {
            Some(end) if end <= self.limit => {
                let block = self.buffer.split_to(end);
                self.searched = 0;
                let mark = std::mem::replace(&mut self.at_start, false).then_some(BYTE_ORDER_MARK);
                parse(mark.and_then(|mark| block.strip_prefix(mark)).unwrap_or(&block)).map(Some)
            }
            None if self.buffer.len() <= self.limit => {
                // The longest end is four bytes; three of them may be here already.
                self.searched = self.buffer.len().saturating_sub(3);
                Ok(None)
            }
            _ => Err(SseError::TooLarge(self.limit)),
        }
    }
}

/// A stream may begin with it, and readers take it away.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The offset behind the first empty line.
fn end_of_event(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(offset) = bytes[at..].iter().position(|b| matches!(b, b'\n' | b'\r')) {
        let first = line_end(bytes, at + offset);
        let second = line_end(bytes, first);
        if second > first {
            return Some(second);
        }
        at = first;
    }
    None
}

/// The offset behind the line end at `at`; `at` itself if there is none.
fn line_end(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at..) {
        Some([b'\r', b'\n', ..]) => at + 2,
        Some([b'\r' | b'\n', ..]) => at + 1,
        _ => at,
    }
}

fn parse(block: &[u8]) -> Result<Event, SseError> {
    let text = std::str::from_utf8(block).map_err(|_| SseError::NotText)?;
    let mut event = Event::default();
    for line in text.split(['\n', '\r']).filter(|line| !line.is_empty()) {
        match line.strip_prefix("data") {
            Some("") => add(&mut event.data, ""),
            Some(rest) if rest.starts_with(':') => {
                let value = &rest[1..];
                add(&mut event.data, value.strip_prefix(' ').unwrap_or(value));
            }
            _ if passes(line) => event.others.push(line.to_owned()),
            _ => {}
        }
    }
    Ok(event)
}

/// A comment, or a field that is passed on. What some readers take for the end of a line is not.
fn passes(line: &str) -> bool {
    matches!(line.split(':').next(), Some("" | "id" | "event" | "retry")) && !line.contains(ends_line_for_some)
}

/// The standard ends lines with line feeds and carriage returns only; some readers with all that Unicode has.
fn ends_line_for_some(c: char) -> bool {
    matches!(c, '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn add(data: &mut Option<String>, line: &str) {
    match data {
        Some(data) => {
            data.push('\n');
            data.push_str(line);
        }
        None => *data = Some(line.to_owned()),
    }
}

impl Event {
    /// An event that carries one JSON-RPC message.
    pub(crate) fn message(data: String) -> Self {
        Self { data: Some(data), others: Vec::new() }
    }

    /// The event as it is sent. Data is JSON, so that what some readers take for the end of a line stands in texts,
    /// where it can be escaped.
    pub(crate) fn to_bytes(&self) -> Bytes {
        let mut out = String::with_capacity(self.data.as_ref().map_or(0, String::len) + 32);
        for line in &self.others {
            out.push_str(line);
            out.push('\n');
        }
        if let Some(data) = &self.data {
            for line in data.split(['\n', '\r']) {
                out.push_str("data: ");
                push_escaped(&mut out, line);
                out.push('\n');
            }
        }
        out.push('\n');
        out.into()
    }
}

fn push_escaped(out: &mut String, line: &str) {
    let mut rest = line;
    while let Some(at) = rest.find(ends_line_for_some) {
        let (before, behind) = rest.split_at(at);
        out.push_str(before);
        let mut chars = behind.chars();
        out.extend(chars.next().map(|c| format!("\\u{:04x}", u32::from(c))));
        rest = chars.as_str();
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(events: &mut Events) -> Vec<Event> {
        std::iter::from_fn(|| events.next().unwrap()).collect()
    }

    #[test]
    fn events_are_cut_wherever_the_chunks_are() {
        for stream in [
            "id: 1\ndata: {\"a\":1}\n\n: ping\n\ndata: x\ndata: y\n\n",
            "id: 1\r\ndata: {\"a\":1}\r\n\r\n: ping\r\n\r\ndata:x\r\ndata:y\r\n\r\n",
        ] {
            for cut in 0..stream.len() {
                let mut events = Events::new(100);
                let mut seen = Vec::new();
                for part in [&stream[..cut], &stream[cut..]] {
                    events.push(part.as_bytes());
                    seen.extend(all(&mut events));
                }
                let data: Vec<_> = seen.iter().map(|e| e.data.as_deref()).collect();
                assert_eq!(data[0], Some("{\"a\":1}"), "cut at {cut}");
                assert_eq!(data.last(), Some(&Some("x\ny")), "cut at {cut}");
                assert_eq!(seen[0].others, ["id: 1"]);
            }
        }
    }

    #[test]
    fn what_was_read_is_written_again() {
        let mut events = Events::new(100);
        events.push(b"event: message\nid: 7\ndata: {}\n\n");
        assert_eq!(events.next().unwrap().unwrap().to_bytes(), "event: message\nid: 7\ndata: {}\n\n");
    }

    /// Every way to hide a message from this reader and show it to another.
    #[test]
    fn no_line_is_passed_on_that_another_reader_takes_for_data() {
        let mark = "\u{feff}";
        for (stream, data) in [
            (format!("{mark}data: 1\n\n"), Some("1")),
            (format!("{mark}{mark}data: 1\n\n"), None),
            (format!(":\n{mark}data: 1\n\n"), None),
            ("Data: 1\n\n".into(), None),
            (" data: 1\n\n".into(), None),
            ("data : 1\n\n".into(), None),
            ("x\n\n".into(), None),
            (": x\u{2028}data: 1\n\n".into(), None),
            ("id: x\u{85}data: 1\n\n".into(), None),
            ("id: x\u{b}data: 1\n\n".into(), None),
        ] {
            for cut in 0..stream.len() {
                let mut events = Events::new(100);
                let mut seen = Vec::new();
                for part in [&stream.as_bytes()[..cut], &stream.as_bytes()[cut..]] {
                    events.push(part);
                    seen.extend(all(&mut events));
                }
                assert_eq!(seen[0].data.as_deref(), data, "{stream:?}");
                assert!(seen[0].others.is_empty() || seen[0].others == [":"], "{stream:?}: {seen:?}");
            }
        }
        let mut events = Events::new(100);
        events.push(format!("data: 1\n\n{mark}data: 2\n\n").as_bytes());
        let seen: Vec<_> = all(&mut events).into_iter().map(|event| event.data).collect();
        assert_eq!(seen, [Some("1".to_owned()), None], "a mark stands at the start or is none");
    }

    #[test]
    fn what_ends_a_line_for_some_is_escaped_in_data() {
        let event = Event::message("\"a\u{2028}\u{2029}\u{85}b\u{2028}\"".into());
        assert_eq!(event.to_bytes(), "data: \"a\\u2028\\u2029\\u0085b\\u2028\"\n\n");
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut events = Events::new(10);
        events.push(b"data: 0123456789");
        assert_eq!(events.next(), Err(SseError::TooLarge(10)));
    }
}
