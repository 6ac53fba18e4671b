//! One file a noun: its words, and what each does.

use std::future::Future;
use std::process::ExitCode;

use crate::cli::{Cli, Verb};
use crate::context::Context;
use crate::environment::Environment;
use crate::failure::{Done, Exit, Failure};

pub mod admin;
pub mod agent;
pub mod approval;
pub mod blueprint;
pub mod break_glass;
pub mod channel;
pub mod completion;
pub mod connection;
pub mod containment;
pub mod demo;
pub mod discover;
pub mod doctor;
pub mod drill;
pub mod finding;
pub mod grant;
pub mod group;
pub mod inventory;
pub mod key;
pub mod log;
pub mod manifest;
pub mod node;
pub mod oversight;
pub mod person;
pub mod policy;
pub mod proposal;
pub mod reach;
pub mod secret;
pub mod serve;
pub mod session;
pub mod signal;
pub mod status;
pub mod tool;
pub mod trust;
pub mod why;

/// The exit code of a command that was not understood.
pub const USAGE: u8 = Exit::Usage as u8;

/// Runs a verb to its exit code.
pub fn run(cli: Cli, environment: Environment) -> ExitCode {
    let context = Context::new(cli.global, environment);
    let json = context.output.is_json();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => {
            let done = runtime.block_on(unless_interrupted(&cli.verb, perform(&context, &cli.verb)));
            // Blocked reads of standard input must not keep the process alive.
            runtime.shutdown_background();
            done
        }
        Err(error) => Err(Failure::new(chancery_model::problem::INTERNAL, error)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(json),
    }
}

/// Ctrl-C ends a verb; those that must end in order listen for it themselves.
async fn unless_interrupted(verb: &Verb, work: impl Future<Output = Done>) -> Done {
    if matches!(verb, Verb::Serve(_) | Verb::Demo(_) | Verb::Mcp(_)) {
        return work.await;
    }
    tokio::select! {
        done = work => done,
        _ = tokio::signal::ctrl_c() => Err(Failure::interrupted()),
    }
}

async fn perform(context: &Context, verb: &Verb) -> Done {
    match verb {
        Verb::Serve(args) => serve::run(context, args).await,
        Verb::Demo(args) => demo::run(context, args).await,
        Verb::Status => status::run(context).await,
        Verb::Agent(verb) => agent::run(context, verb).await,
        Verb::Approval(verb) => approval::run(context, verb).await,
        Verb::Blueprint(verb) => blueprint::run(context, verb).await,
        Verb::Grant(verb) => grant::run(context, verb).await,
        Verb::Trust(verb) => trust::run(context, verb).await,
        Verb::Session(verb) => session::run(context, verb).await,
        Verb::Node(verb) => node::run(context, verb).await,
        Verb::Kill(args) => containment::kill(context, args).await,
        Verb::Unkill(args) => containment::unkill(context, args).await,
        Verb::BreakGlass(verb) => break_glass::run(context, verb).await,
        Verb::Drill(args) => drill::run(context, args).await,
        Verb::Oversight(args) => oversight::run(context, args).await,
        Verb::Proposal(verb) => proposal::run(context, verb).await,
        Verb::Containment(verb) => containment::run(context, verb).await,
        Verb::Person(verb) => person::run(context, verb).await,
        Verb::Group(verb) => group::run(context, verb).await,
        Verb::Admin(verb) => admin::run(context, verb).await,
        Verb::Policy(verb) => policy::run(context, verb).await,
        Verb::Why(args) => why::run(context, args).await,
        Verb::Log(verb) => log::run(context, verb).await,
        Verb::Tool(verb) => tool::run(context, verb).await,
        Verb::Secret(verb) => secret::run(context, verb).await,
        Verb::Connection(verb) => connection::run(context, verb).await,
        Verb::Channel(verb) => channel::run(context, verb).await,
        Verb::Signal(verb) => signal::run(context, verb).await,
        Verb::Finding(verb) => finding::run(context, verb).await,
        Verb::Key(verb) => key::run(context, verb).await,
        Verb::Mcp(verb) => crate::mcp::run(context, verb).await,
        Verb::Discover(verb) => discover::run(context, verb).await,
        Verb::Inventory(verb) => inventory::run(context, verb).await,
        Verb::Reach(verb) => reach::run(context, verb).await,
        Verb::Doctor(args) => doctor::run(context, args).await,
        Verb::Completion(args) => completion::run(context, args),
    }
}
