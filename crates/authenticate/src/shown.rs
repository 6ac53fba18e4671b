//! The certificates a client showed when its connection was made.

use std::sync::Arc;

/// The chain of one TLS connection, the leaf first, each in DER. The handshake has proved that the client has the
/// leaf's private key, and nothing else: whom the chain makes it is judged request by request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownCertificates(Arc<[Vec<u8>]>);

impl ShownCertificates {
    /// Nothing if the client showed none.
    pub fn new(chain: impl IntoIterator<Item = Vec<u8>>) -> Option<Self> {
        let chain: Arc<[Vec<u8>]> = chain.into_iter().collect();
        (!chain.is_empty()).then_some(Self(chain))
    }

    /// The client's own certificate.
    pub fn leaf(&self) -> &[u8] {
        self.0.first().map_or(&[], Vec::as_slice)
    }

    /// The whole chain.
    pub fn chain(&self) -> Vec<&[u8]> {
        self.0.iter().map(Vec::as_slice).collect()
    }
}
