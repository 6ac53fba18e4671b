//! The doors that are there only where the configuration wants them: TLS, and the Workload API.

use std::path::PathBuf;
use std::sync::Arc;

use chancery_authenticate::ByCertificate;
use chancery_model::problem::{BAD_CONFIG, Problem};
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;

use super::guard::Names;
use super::listen::{self, Closing};
use super::tcp;
use super::tls::{Own, certificates};
use crate::Config;
use crate::rooms::Rooms;
use crate::spiffe;

/// The TLS door before it is opened.
pub(crate) struct Secure {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    own: Arc<Own>,
    hosts: Vec<String>,
    /// What `authenticate` has to know of it.
    pub(crate) clients: ByCertificate,
}

/// The socket of the Workload API before it is served.
pub(crate) struct Workloads {
    pub(crate) path: PathBuf,
    listener: UnixListener,
}

impl Secure {
    /// Reads the certificates and takes the address, if the configuration wants the door.
    pub(crate) async fn bind(config: &Config) -> Result<Option<Self>, Problem> {
        let Some(tls) = &config.tls else { return Ok(None) };
        let own = Own::read(tls)?;
        let acceptor = own.acceptor()?;
        let mut roots = Vec::new();
        for file in &tls.client_roots {
            roots.extend(certificates(file)?.iter().map(|der| der.to_vec()));
        }
        let taken = |e: std::io::Error| Problem::new(BAD_CONFIG, format!("tls.listen: {}: {e}", tls.listen));
        let listener = TcpListener::bind(tls.listen).await.map_err(taken)?;
        let address = listener.local_addr().map_err(taken)?;
        let url = tls.public_url.clone().unwrap_or_else(|| format!("https://{address}"));
        let mut hosts = vec![address.to_string(), url.trim_start_matches("https://").to_owned()];
        if address.ip().is_loopback() {
            hosts.push(format!("localhost:{}", address.port()));
        }
        Ok(Some(Self { listener, acceptor, own, hosts, clients: ByCertificate { url, roots } }))
    }

    /// Opens the door, and follows the files of its certificate.
    pub(crate) fn open(self, rooms: &Arc<Rooms>, names: &Names, doors: &Closing, chores: &Closing) {
        let door = tcp::door(Arc::clone(rooms), names.and(self.hosts));
        doors.tasks.spawn(listen::tls(self.listener, self.acceptor, door, doors.clone()));
        let (own, stop) = (self.own, chores.cancel.clone());
        chores.tasks.spawn(async move {
            tokio::select! {
                () = own.keep_up() => {}
                () = stop.cancelled() => {}
            }
        });
    }
}

impl Workloads {
    /// Takes the socket, if the configuration wants it.
    pub(crate) async fn bind(config: &Config) -> Result<Option<Self>, Problem> {
        let Some(spiffe) = &config.spiffe else { return Ok(None) };
        let Some(path) = spiffe.workload_socket.clone() else { return Ok(None) };
        let listener = spiffe::listen::bind(&path, spiffe.workload_socket_mode.bits()).await?;
        Ok(Some(Self { path, listener }))
    }

    /// Serves the Workload API.
    pub(crate) fn open(self, rooms: &Rooms, doors: &Closing) {
        if let Some(workloads) = rooms.workloads.clone() {
            doors.tasks.spawn(spiffe::listen::serve(self.listener, workloads, doors.clone()));
        }
    }
}
