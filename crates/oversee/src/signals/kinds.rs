//! The types of events, by their URIs.

/// What all CAEP 1.0 event types begin with (section 3).
pub const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
/// What all RISC event types begin with.
pub const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";

/// CAEP 1.0, section 3.1.
pub const SESSION_REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
/// CAEP 1.0, section 3.2.
pub const TOKEN_CLAIMS_CHANGE: &str = "https://schemas.openid.net/secevent/caep/event-type/token-claims-change";
/// CAEP 1.0, section 3.3.
pub const CREDENTIAL_CHANGE: &str = "https://schemas.openid.net/secevent/caep/event-type/credential-change";
/// CAEP 1.0, section 3.4.
pub const ASSURANCE_LEVEL_CHANGE: &str = "https://schemas.openid.net/secevent/caep/event-type/assurance-level-change";
/// CAEP 1.0, section 3.6.
pub const SESSION_ESTABLISHED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-established";
/// CAEP 1.0, section 3.7.
pub const SESSION_PRESENTED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-presented";
/// CAEP 1.0, section 3.8.
pub const RISK_LEVEL_CHANGE: &str = "https://schemas.openid.net/secevent/caep/event-type/risk-level-change";

/// Shared Signals Framework 1.0, section 8.1.4.1.
pub const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";
/// Shared Signals Framework 1.0, section 8.1.5.
pub const STREAM_UPDATED: &str = "https://schemas.openid.net/secevent/ssf/event-type/stream-updated";

/// What is sent to those who ask for it.
pub const SUPPORTED: [&str; 7] = [
    SESSION_REVOKED,
    CREDENTIAL_CHANGE,
    TOKEN_CLAIMS_CHANGE,
    RISK_LEVEL_CHANGE,
    ASSURANCE_LEVEL_CHANGE,
    SESSION_ESTABLISHED,
    SESSION_PRESENTED,
];

/// The last part of an event type's URI.
pub fn short(kind: &str) -> &str {
    kind.rsplit('/').next().unwrap_or(kind)
}
