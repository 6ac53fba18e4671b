//! Why nothing came back.

use std::net::IpAddr;

use crate::BadUrl;

/// Why a fetch gave no answer. The text is for operators: it names hosts and addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The URL breaks a rule.
    #[error(transparent)]
    Url(#[from] BadUrl),
    /// Plain `http` to a place that is not listed.
    #[error("`{0}` is plain http, which is allowed only for a host and port listed in `[fetch] allow`")]
    Plain(String),
    /// The host is, or resolves to, an address that is not public.
    #[error(
        "{host} is at {address}, which is not a public address; if it is meant, list `{host}:{port}` in `[fetch] allow`"
    )]
    NotPublic {
        /// The host of the URL.
        host: String,
        /// The port of the URL.
        port: u16,
        /// The address.
        address: IpAddr,
    },
    /// The host has no address.
    #[error("{host} cannot be resolved: {why}")]
    NotResolved {
        /// The host of the URL.
        host: String,
        /// What the resolver says.
        why: String,
    },
    /// No connection, or one that is not trusted.
    #[error("{host} cannot be reached: {why}")]
    NotReached {
        /// The host of the URL.
        host: String,
        /// What went wrong.
        why: String,
    },
    /// The connection ended, or what came is not HTTP.
    #[error("{host} gave no complete answer: {why}")]
    Broken {
        /// The host of the URL.
        host: String,
        /// What went wrong.
        why: String,
    },
    /// A redirect: where it points to was not checked by anybody.
    #[error("{host} answered with a redirect (status {status}), which is not followed")]
    Redirect {
        /// The host of the URL.
        host: String,
        /// The status.
        status: u16,
    },
    /// The body exceeds the limit.
    #[error("{host} answered with more than {limit} bytes")]
    TooLarge {
        /// The host of the URL.
        host: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// The whole exchange took too long.
    #[error("{host} took longer than {seconds} s")]
    TooSlow {
        /// The host of the URL.
        host: String,
        /// The limit.
        seconds: u64,
    },
}

impl FetchError {
    /// Whether the request may have been carried out: it had gone out when things went wrong.
    pub fn may_have_happened(&self) -> bool {
        matches!(self, Self::Broken { .. } | Self::Redirect { .. } | Self::TooLarge { .. } | Self::TooSlow { .. })
    }
}
