//! `chancery serve`.

use std::sync::Arc;

use chancery_server::{App, Role};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::context::Context;
use crate::failure::{Done, Failure};

/// How the process writes its own log.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  chancery serve\n  chancery serve --config /etc/chancery/chancery.toml --log-format json\nWithout a configuration file nothing is behind the gateway yet; `chancery doctor` checks a file."
)]
pub struct Args {
    /// What is logged, for instance `info` or `chancery_gateway=debug`
    #[arg(long, value_name = "FILTER", default_value = "info", env = "CHANCERY_LOG", hide_env_values = true)]
    log: String,
    /// What this node does: everything, or calls and decisions only [default: `node.role` of the file]
    #[arg(long, value_parser = ["all", "gateway"])]
    role: Option<String>,
    /// How it is logged, on standard error
    #[arg(long, value_parser = ["text", "json"], default_value = "text")]
    log_format: String,
}

/// Runs until it is told to stop, or cannot go on.
pub async fn run(context: &Context, args: &Args) -> Done {
    log_to_stderr(args)?;
    let mut config = context.config()?;
    if let Some(role) = args.role.as_deref().and_then(Role::named) {
        config.node.role = role;
    }
    let servers: Vec<String> = config.servers.keys().cloned().collect();
    let app = App::start(config, Arc::clone(&context.clock), Arc::clone(&context.random)).await?;
    context.output.note(&format!("listening on {}   admin socket {}", app.url(), app.admin_socket().display()));
    for server in servers {
        context.output.note(&format!("  MCP    {}/mcp/{server}", app.url()));
    }
    context.output.note(&format!("  AuthZEN {}/access/v1/evaluation", app.url()));
    context.output.note(if app.is_ready() {
        "ready"
    } else {
        "not ready: everything is denied, see `chancery policy status`"
    });
    let stopped = tokio::select! {
        problem = app.failed() => Err(Failure::from(problem)),
        asked = told_to_stop() => asked,
    };
    context.output.note("stopping: what is under way ends first");
    app.stop().await;
    stopped
}

/// Returns once somebody wants the process to end: Ctrl-C or SIGTERM.
pub async fn told_to_stop() -> Done {
    let failed = |e: std::io::Error| Failure::new(chancery_model::problem::INTERNAL, e);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        pressed = tokio::signal::ctrl_c() => pressed.map_err(failed),
    }
}

fn log_to_stderr(args: &Args) -> Done {
    let filter = EnvFilter::try_new(&args.log).map_err(|e| Failure::usage(format!("--log {}: {e}", args.log)))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let set = if args.log_format == "json" { builder.json().try_init() } else { builder.try_init() };
    set.map_err(|e| Failure::new(chancery_model::problem::INTERNAL, e))
}
