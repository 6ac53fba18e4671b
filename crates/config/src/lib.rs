//! What the server is told by its file: read, checked, and never guessed.

mod config;

pub use config::{
    Approvals, Command, Config, ConfigError, Delegation, Delivered, Fetch, Inject, Log, Node, Oauth, Partner, People,
    Pin, Places, Provider, Registration, Role, SignalReceiver, SignalTransmitter, Signals, SocketMode, Spiffe, Tls,
    Tokens, Transport, Upstream, Workload,
};
