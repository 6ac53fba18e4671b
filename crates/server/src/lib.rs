//! The doors of Chancery and the wiring behind them: configuration, listeners, every HTTP handler, orderly shutdown.

mod config;
mod door;
mod failure;

pub use config::{Command, Config, ConfigError, Inject, Log, Pin, Places, Tokens, Transport, Upstream};
