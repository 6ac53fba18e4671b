//! A connection to an upstream that can be cut: what was not written to it by then never is. Nor is anything while this
//! node has no lease: that is looked at where the bytes are handed over, however long ago the request was looked at.
//!
//! The HTTP client hands a request to the task of its connection, which writes it when it gets to it. Dropping the request
//! does not take back what lies there. So the writing itself is what is cut.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use chancery_store::Lease;
use http::{Extensions, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{CaptureConnection, Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::http::Guarded;
use crate::lock;

/// Why nothing is written.
pub(super) const UNLEASED: &str = "this node has not heard from the database in time";

/// Makes connections that can be cut.
#[derive(Clone)]
pub(super) struct Wires {
    pub(super) connector: HttpConnector<Guarded>,
    pub(super) lease: Arc<Lease>,
}

/// One connection.
pub(super) struct Wire {
    stream: TokioIo<TcpStream>,
    line: Line,
    lease: Arc<Lease>,
}

/// Whether it may be written to. It is held while something is written, which never waits for the network.
#[derive(Clone, Default)]
struct Line(Arc<Mutex<bool>>);

/// A request that is on its way until its answer begins. Dropped before, nothing more of it is written.
pub(super) struct Underway {
    connection: CaptureConnection,
    answered: bool,
}

impl Underway {
    pub(super) fn new(connection: CaptureConnection) -> Self {
        Self { connection, answered: false }
    }

    /// Its answer began: it was taken.
    pub(super) fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        let mut extras = Extensions::new();
        if let Some(connected) = self.connection.connection_metadata().as_ref() {
            connected.get_extras(&mut extras);
            // Its answer may be there, unread, so that the connection is free: nobody else is to get it.
            connected.poison();
        }
        // Without a connection nothing of it was written, and nothing will be.
        if let Some(Line(cut)) = extras.get::<Line>() {
            *lock(cut) = true;
        }
    }
}

impl Wire {
    /// Writes, unless it was cut or the lease is over. Nothing stands between the last look and the system call: a
    /// process that is stopped there, and nowhere else, writes once more when it goes on.
    fn unless_cut<T>(
        &mut self,
        write: impl FnOnce(Pin<&mut TokioIo<TcpStream>>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let cut = lock(&self.line.0);
        if *cut {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::BrokenPipe, "the request was taken back")));
        }
        if !self.lease.is_fresh() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::BrokenPipe, UNLEASED)));
        }
        write(Pin::new(&mut self.stream))
    }
}

impl Read for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl Write for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().unless_cut(|stream| stream.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().unless_cut(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().unless_cut(|stream| stream.poll_write_vectored(cx, bufs))
    }
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        self.stream.connected().extra(self.line.clone())
    }
}

type Connecting<E> = Pin<Box<dyn Future<Output = Result<Wire, E>> + Send>>;

impl Service<Uri> for Wires {
    type Response = Wire;
    type Error = <HttpConnector<Guarded> as Service<Uri>>::Error;
    type Future = Connecting<Self::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.connector.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connecting, lease) = (self.connector.call(uri), Arc::clone(&self.lease));
        Box::pin(async move { Ok(Wire { stream: connecting.await?, line: Line::default(), lease }) })
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;
    use crate::connection::testing::Still;

    async fn wire(lease: Lease) -> (Wire, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (peer, _) = listener.accept().await.unwrap();
        (Wire { stream: TokioIo::new(stream), line: Line::default(), lease: Arc::new(lease) }, peer)
    }

    async fn write(wire: &mut Wire, text: &'static [u8]) -> io::Result<usize> {
        poll_fn(|cx| Pin::new(&mut *wire).poll_write(cx, text)).await
    }

    #[tokio::test]
    async fn nothing_is_written_without_a_lease() {
        let (mut wire, mut peer) = wire(Lease::none_yet(Arc::new(Still::default()))).await;
        assert_eq!(write(&mut wire, b"after").await.unwrap_err().to_string(), UNLEASED);
        drop(wire);
        assert_eq!(peer.read(&mut [0; 8]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn what_is_not_written_when_a_line_is_cut_never_is() {
        let (mut wire, mut peer) = wire(Lease::for_ever(Arc::new(Still::default()))).await;
        let line = wire.line.clone();
        assert_eq!(write(&mut wire, b"before").await.unwrap(), 6);
        *lock(&line.0) = true;
        assert_eq!(write(&mut wire, b"after").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        drop(wire);
        let mut seen = Vec::new();
        peer.read_to_end(&mut seen).await.unwrap();
        assert_eq!(seen, b"before");
    }
}
