//! Tests through the front door: a real server on a free port with a real store, agents with real keys, upstream
//! servers that remember what they were sent, and a clock that tests move. Everything is bounded in time.

#![expect(clippy::expect_used, clippy::panic, reason = "for tests only: what fails here is a failed test")]

mod agent;
mod app;
mod browser;
mod clock;
mod http;
mod passkey;
mod random;
mod upstream;

pub use agent::{Agent, McpSession};
pub use app::{Builder, TestApp};
pub use browser::{Browser, encoded, hidden};
pub use clock::MockClock;
pub use http::{Answer, Http, LONGEST_WAIT, unix};
pub use passkey::Passkey;
pub use random::SeededRandom;
pub use upstream::{HttpUpstream, Seen, StdioUpstream};

/// The policy set that tests start with: one template each for a whole server and for one tool.
pub const POLICIES: &str = r#"// Everybody may connect to every server, and sees nothing there until something is granted.
@id("connect")
permit (principal, action == Action::"mcp/connect", resource is Server);

// Everything at one server, given by a grant.
@id("use-server")
permit (principal == ?principal, action, resource in ?resource);

// One tool, given by a grant.
@id("use-tool")
permit (principal == ?principal, action, resource == ?resource);
"#;
