//! The doors of Chancery and the wiring behind them: listeners, every HTTP handler, orderly shutdown.

mod api;
mod app;
mod authzen;
mod callback;
mod chains;
mod change;
mod credentials;
mod door;
mod failure;
mod front;
mod headers;
mod health;
mod input;
mod oauth;
mod pages;
mod policies;
mod proposals;
mod pushed;
mod rooms;
mod settings;
mod signals;
mod spiffe;
mod ssf;
mod tell;
mod voided;

pub use app::{App, check};
pub use chancery_config::{
    Approvals, Command, Config, ConfigError, Delegation, Delivered, Fetch, Inject, Log, Node, Oauth, Partner, People,
    Pin, Places, Provider, Registration, Role, SignalReceiver, SignalTransmitter, Signals, SocketMode, Spiffe, Tls,
    Tokens, Transport, Upstream, Workload,
};
