//! `chancery`: the server, the demo, and every verb of the command line. Wiring only: the rooms do the work.

use std::process::ExitCode;

mod cli;
mod clock;
mod context;
mod demo;
mod environment;
mod failure;
mod http;
mod keys;
mod mcp;
mod output;
mod progress;
mod verbs;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let environment = environment::Environment::read();
    let arguments = environment.arguments();
    match cli::parse(&arguments) {
        Ok(cli) => verbs::run(cli, environment),
        Err(refused) => refused.report(),
    }
}
