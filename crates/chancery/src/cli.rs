//! The grammar of the command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use chancery_model::problem::BAD_USAGE;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::failure::Failure;
use crate::output::Format;
use crate::verbs::{
    admin, agent, approval, blueprint, break_glass, channel, completion, connection, containment, demo, discover,
    doctor, drill, finding, grant, group, inventory, key, log, node, oversight, person, policy, proposal, reach,
    secret, serve, session, signal, tool, trust, why,
};
use crate::{mcp, verbs};

const EXAMPLES: &str = "\
Examples:
  chancery demo                       see a governed agent at work, in one process
  chancery serve --config chancery.toml
  chancery agent register crm-assistant --sponsor mara@example.com --owner lee@example.com --purpose 'answers customers'
  chancery why d-00001k               what was decided, why, and what would make it pass

Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, 4 authentication needed, 5 denied by policy,
            7 verification failed, 8 conflict, 9 server unreachable, 130 interrupted";

/// Identity control plane for AI agents: who is it, may it, and what did it do.
#[derive(Debug, Parser)]
#[command(name = "chancery", version, after_help = EXAMPLES, propagate_version = false, max_term_width = 110)]
pub struct Cli {
    /// What holds for every verb.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What holds for every verb.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// How data is printed [default: table; tab-separated when piped]
    #[arg(short, long, global = true, value_name = "FORMAT", env = "CHANCERY_OUTPUT", hide_env_values = true,
          value_parser = Format::names())]
    pub output: Option<String>,
    /// The configuration file
    #[arg(long, global = true, value_name = "FILE", env = "CHANCERY_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,
    /// The data directory; it holds the admin socket
    #[arg(long, global = true, value_name = "DIR", env = "CHANCERY_DATA", hide_env_values = true)]
    pub data: Option<PathBuf>,
    /// The server's URL, for what an agent does [default: http://127.0.0.1:8420]
    #[arg(long, global = true, value_name = "URL", env = "CHANCERY_URL", hide_env_values = true)]
    pub url: Option<String>,
    /// Where the keys of agents are kept
    #[arg(long, global = true, value_name = "DIR", env = "CHANCERY_KEY_DIR", hide_env_values = true)]
    pub key_dir: Option<PathBuf>,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Start the server
    Serve(serve::Args),
    /// Start a server with a sample company and let its agents work
    Demo(demo::Args),
    /// What the server is doing
    Status,
    /// Register, enrol, look at and stop agents
    #[command(subcommand)]
    Agent(agent::Verb),
    /// Make blueprints and many instances of them, and stop them all at once
    #[command(subcommand)]
    Blueprint(blueprint::Verb),
    /// Give rights and take them back
    #[command(subcommand)]
    Grant(grant::Verb),
    /// Add people, give them links to sign in with, and stop them
    #[command(subcommand)]
    Person(person::Verb),
    /// Put people into groups: who keeps agents together, and who is asked together
    #[command(subcommand)]
    Group(group::Verb),
    /// Look at changes that wait for a second person, confirm them or take them back
    #[command(subcommand)]
    Proposal(proposal::Verb),
    /// Let the first administrator in
    #[command(subcommand)]
    Admin(admin::Verb),
    /// Let workloads of platforms (Kubernetes, GitHub, any OIDC issuer, SPIFFE) log in without a secret
    #[command(subcommand)]
    Trust(trust::Verb),
    /// Look at running sessions and end them
    #[command(subcommand)]
    Session(session::Verb),
    /// Look at calls that wait for people, and take requests back
    #[command(subcommand)]
    Approval(approval::Verb),
    /// Stop an agent, a blueprint, a session, a tool or everything at once, and wait until it has stopped
    Kill(containment::Kill),
    /// Let what was killed go again
    Unkill(containment::Unkill),
    /// Exercise the kill switch on an agent: stop it, wait until it has stopped, let it go
    Drill(drill::Drill),
    /// Where people stepped in, and how long it took: read off the log
    Oversight(oversight::Oversight),
    /// Make a person an administrator for a while, on the record
    #[command(subcommand)]
    BreakGlass(break_glass::Verb),
    /// Look at what is contained
    #[command(subcommand)]
    Containment(containment::Verb),
    /// Check, test, format and load policies
    #[command(subcommand)]
    Policy(policy::Verb),
    /// Why something was decided, and what would make it pass
    Why(why::Args),
    /// Read, verify, prove and export the log
    #[command(subcommand)]
    Log(log::Verb),
    /// Look at tools and approve changed ones
    #[command(subcommand)]
    Tool(tool::Verb),
    /// Store the credentials that are added on the way to upstream servers
    #[command(subcommand)]
    Secret(secret::Verb),
    /// Connect upstream servers whose credentials are obtained by OAuth
    #[command(subcommand)]
    Connection(connection::Verb),
    /// The keys that sign tokens
    #[command(subcommand)]
    Key(key::Verb),
    /// Look at the processes that share one database, let one join, make one leave
    #[command(subcommand)]
    Node(node::Verb),
    /// Security events to others and from others (Shared Signals Framework)
    #[command(subcommand)]
    Signal(signal::Verb),
    /// Find agents, servers and credentials that nobody registered
    #[command(subcommand)]
    Discover(discover::Verb),
    /// What is known of other systems: what is there, what is missing, what was known when
    #[command(subcommand)]
    Inventory(inventory::Verb),
    /// Who can reach what, by which way, and what breaks when something is revoked
    #[command(subcommand)]
    Reach(reach::Verb),
    /// What is wrong with identities and tools
    #[command(subcommand)]
    Finding(finding::Verb),
    /// Whom the server tells what happens, and what became of it
    #[command(subcommand)]
    Channel(channel::Verb),
    /// Connect MCP clients
    #[command(subcommand)]
    Mcp(mcp::Verb),
    /// Check configuration, permissions, clock, policies, upstream servers and the log
    Doctor(doctor::Args),
    /// Print completions for a shell
    Completion(completion::Args),
}

/// A command line that was not understood, or that asked for help.
#[derive(Debug)]
pub struct Refused {
    error: clap::Error,
    json: bool,
}

/// Reads the command line.
pub fn parse(arguments: &[OsString]) -> Result<Cli, Refused> {
    Cli::try_parse_from(arguments).map_err(|error| Refused { error, json: wants_json(arguments) })
}

/// The grammar itself, for completions.
pub fn command() -> clap::Command {
    Cli::command()
}

impl Refused {
    /// Prints help to standard output, errors to standard error, as one JSON object where that was asked for.
    pub fn report(&self) -> ExitCode {
        let asked = matches!(self.error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
        if asked || !self.json {
            // Nobody left to read it is no reason to fail.
            let _ = self.error.print();
            return ExitCode::from(if asked { 0 } else { verbs::USAGE });
        }
        let text = self.error.render().to_string();
        let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        Failure::new(BAD_USAGE, first).report(true)
    }
}

/// Whether `-o json` or `-o jsonl` stands on a command line that cannot be parsed.
fn wants_json(arguments: &[OsString]) -> bool {
    let words: Vec<String> = arguments.iter().map(|a| a.to_string_lossy().into_owned()).collect();
    let attached = |word: &str| {
        ["--output=", "-o=", "-o"].iter().any(|p| word.strip_prefix(p).is_some_and(|v| v == "json" || v == "jsonl"))
    };
    let apart = words.windows(2).any(|w| (w[0] == "-o" || w[0] == "--output") && w[1].starts_with("json"));
    apart || words.iter().any(|w| attached(w))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn the_grammar_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn json_is_seen_on_a_broken_line() {
        for line in
            ["chancery -o json agnt", "chancery agent --output=json", "chancery x -ojsonl", "chancery x --output json"]
        {
            assert!(wants_json(&words(line)), "{line}");
        }
        assert!(!wants_json(&words("chancery agent list -o table json")));
    }

    #[test]
    fn a_wrong_word_is_usage() {
        assert!(parse(&words("chancery agnt list")).is_err());
        assert!(parse(&words("chancery agent list -o json")).is_ok());
    }
}
