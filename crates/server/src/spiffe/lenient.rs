//! Connections as the C core of gRPC makes them, which most languages' clients stand on.
//!
//! To a unix socket it sends the socket's path as `:authority`, with its slashes as `%2F`. That is no authority (RFC
//! 3986, section 3.2.2, has `%` in registered names, the HTTP library here does not), and the library ends such a call
//! before anybody can look at it. Nothing here reads the authority, so its percent signs become dots on the way in:
//! the length stays, and with it the framing and the compression of the headers.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a client sends before its first frame (RFC 9113, section 3.4).
const PREFACE: usize = 24;
/// A frame's own header (section 4.1).
const HEAD: usize = 9;
/// Types of frames that carry headers: HEADERS and CONTINUATION (sections 6.2 and 6.10).
const HEADERS: [u8; 2] = [1, 9];
/// A literal name with its length (RFC 7541, section 6.2): the C core never sends the indexed one.
const NAME: &[u8] = b"\x0a:authority";

/// A connection whose incoming authorities are ones.
pub(super) struct Lenient<S> {
    stream: S,
    at: At,
    seen: Seen,
}

/// Where in the frames the next byte is.
enum At {
    /// So many bytes are skipped: the preface, or a payload without headers.
    Skip(usize),
    Head([u8; HEAD], usize),
    Headers(usize),
}

/// How much of an authority was seen.
enum Seen {
    Name(usize),
    Value(usize),
}

impl<S> Lenient<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, at: At::Skip(PREFACE), seen: Seen::Name(0) }
    }

    fn pass(&mut self, byte: &mut u8) {
        self.at = match std::mem::replace(&mut self.at, At::Skip(0)) {
            At::Skip(left) => after(left, At::Skip),
            At::Head(mut head, at) => {
                head[at] = *byte;
                if at + 1 == HEAD { payload(&head) } else { At::Head(head, at + 1) }
            }
            At::Headers(left) => {
                self.look(byte);
                after(left, At::Headers)
            }
        };
    }

    fn look(&mut self, byte: &mut u8) {
        self.seen = match self.seen {
            // A length with its first bit set is of a Huffman code, one of 127 goes on: neither is the C core's.
            Seen::Name(matched) if matched == NAME.len() && (1..127).contains(byte) => Seen::Value((*byte).into()),
            Seen::Name(matched) if NAME.get(matched) == Some(byte) => Seen::Name(matched + 1),
            Seen::Name(_) => Seen::Name(usize::from(*byte == NAME[0])),
            Seen::Value(left) => {
                if *byte == b'%' {
                    *byte = b'.';
                }
                if left > 1 { Seen::Value(left - 1) } else { Seen::Name(0) }
            }
        };
    }
}

fn after(left: usize, more: impl Fn(usize) -> At) -> At {
    if left > 1 { more(left - 1) } else { At::Head([0; HEAD], 0) }
}

fn payload(head: &[u8; HEAD]) -> At {
    let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
    match length {
        0 => At::Head([0; HEAD], 0),
        _ if HEADERS.contains(&head[3]) => At::Headers(length),
        _ => At::Skip(length),
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lenient<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        buffer.filled_mut()[before..].iter_mut().for_each(|byte| this.pass(byte));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Lenient<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, 4, 0, 0, 0, 1], payload].concat()
    }

    async fn read(sent: &[u8], step: usize) -> Vec<u8> {
        let (ours, theirs) = tokio::io::duplex(step);
        let mut ours = Lenient::new(ours);
        let sent = sent.to_vec();
        let writer = tokio::spawn(async move {
            let mut theirs = theirs;
            tokio::io::AsyncWriteExt::write_all(&mut theirs, &sent).await.unwrap();
        });
        let mut read = Vec::new();
        ours.read_to_end(&mut read).await.unwrap();
        writer.await.unwrap();
        read
    }

    #[tokio::test]
    async fn only_the_authority_of_headers_is_changed_however_it_comes() {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let authority = b"@\x0a:authority\x0dtmp%2Fsp.sock@\x05:path\x04/a%2";
        let mended = b"@\x0a:authority\x0dtmp.2Fsp.sock@\x05:path\x04/a%2";
        let empty = frame(4, b"");
        let sent = [&preface[..], &empty, &frame(1, authority), &frame(0, authority), &frame(9, authority)].concat();
        let expected = [&preface[..], &empty, &frame(1, mended), &frame(0, authority), &frame(9, mended)].concat();
        for step in [1, 2, 7, 64, 4096] {
            assert_eq!(read(&sent, step).await, expected, "{step} bytes at a time");
        }
    }
}
