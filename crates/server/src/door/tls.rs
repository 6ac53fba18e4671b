//! The TLS door: TLS 1.3 and nothing older, with our own certificate, and the client's if it shows one.
//!
//! A client certificate is never a reason to refuse a connection: the handshake proves that the client has its key, and
//! whom that makes the client is judged by `authenticate`, for every request anew.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use chancery_authenticate::ShownCertificates;
use chancery_model::problem::{BAD_CONFIG, Problem, UNSAFE_CONFIG};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{
    DigitallySignedStruct, DistinguishedName, Error, ServerConfig, ServerConnection, SignatureScheme,
};

use crate::Tls;

/// How often the files are looked at: whoever renews a certificate only has to replace them.
const LOOK: Duration = Duration::from_secs(30);
/// The one protocol that is spoken inside.
const HTTP: &[u8] = b"http/1.1";

/// Our certificate, as it is in the files now.
#[derive(Debug)]
pub(crate) struct Own {
    config: Tls,
    current: ArcSwap<CertifiedKey>,
}

impl Own {
    /// Reads the files.
    pub(crate) fn read(config: &Tls) -> Result<Arc<Self>, Problem> {
        let current = ArcSwap::new(certified(config)?);
        Ok(Arc::new(Self { config: config.clone(), current }))
    }

    /// What makes TLS of the connections of this door.
    pub(crate) fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, Problem> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&[&TLS13]);
        let config = config.map_err(|e| Problem::new(BAD_CONFIG, format!("tls: {e}")))?;
        let mut config =
            config.with_client_cert_verifier(Arc::new(Possession(provider))).with_cert_resolver(Arc::clone(self) as _);
        config.alpn_protocols = vec![HTTP.to_vec()];
        // Every connection proves the possession of its certificate itself.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Takes the files over whenever they changed. What cannot be used is told, and the certificate before stays.
    pub(crate) async fn keep_up(self: Arc<Self>) {
        let mut told = String::new();
        loop {
            tokio::time::sleep(LOOK).await;
            told = match self.look() {
                Ok(()) => String::new(),
                Err(problem) if problem.detail == told => told,
                Err(problem) => {
                    tracing::warn!(%problem, "the certificate before stays in use");
                    problem.detail
                }
            };
        }
    }

    fn look(&self) -> Result<(), Problem> {
        let found = certified(&self.config)?;
        if found.cert != self.current.load().cert {
            self.current.store(found);
            tracing::info!("a new certificate is in use");
        }
        Ok(())
    }
}

impl ResolvesServerCert for Own {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

/// Takes any certificate, or none, of a client that has its private key.
#[derive(Debug)]
struct Possession(Arc<CryptoProvider>);

impl ClientCertVerifier for Possession {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What the client showed on this connection.
pub(crate) fn shown(connection: &ServerConnection) -> Option<ShownCertificates> {
    ShownCertificates::new(connection.peer_certificates()?.iter().map(|der| der.to_vec()))
}

fn certified(config: &Tls) -> Result<Arc<CertifiedKey>, Problem> {
    let chain = certificates(&config.certificate)?;
    refuse_open(&config.key)?;
    let key = PrivateKeyDer::from_pem_file(&config.key).map_err(|e| unusable(&config.key, &e.to_string()))?;
    let key = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
    Ok(Arc::new(key.map_err(|e| unusable(&config.certificate, &format!("with its key: {e}")))?))
}

/// Every certificate of a PEM file, which has at least one.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.map_err(|e| unusable(path, &e.to_string()))?;
    if found.is_empty() { Err(unusable(path, "there is no certificate in it")) } else { Ok(found) }
}

/// A group may read it, as Debian's `ssl-cert` does; everybody may not.
fn refuse_open(key: &Path) -> Result<(), Problem> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(key).map_err(|e| unusable(key, &e.to_string()))?.permissions().mode();
    if mode & 0o007 == 0 {
        return Ok(());
    }
    let problem = Problem::new(UNSAFE_CONFIG, format!("tls.key: everybody can read {}", key.display()));
    Err(problem.next(format!("run `chmod 600 {}`", key.display())))
}

fn unusable(path: &Path, why: &str) -> Problem {
    Problem::new(BAD_CONFIG, format!("tls: {}: {why}", path.display())).next("name PEM files that belong together")
}
