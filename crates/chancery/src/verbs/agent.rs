//! `chancery agent`: who acts here.

use std::io::Read;
use std::path::PathBuf;

use chancery_model::problem::LOCAL_FILE;
use chancery_model::{Secret, Span, Timestamp};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::manifest::{self, Review};
use crate::context::Context;
use crate::failure::{Done, Failure};
use crate::http::{encoded, query};
use crate::keys;
use crate::output::{Column, column, wide};

/// What can be done with agents.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make an identity, with the people who answer for it, and a one-time code for its first key
    #[command(after_help = REGISTER)]
    Register(Register),
    /// Register something that was discovered: from then on somebody answers for it, and it can get a credential
    #[command(
        after_help = "Examples:\n  chancery agent adopt 'files:build-1%3A/srv:ai_agent:crew/agents.yaml#/clerk' clerk --sponsor mara@example.com --owner lee@example.com --purpose 'pays bills'"
    )]
    Adopt(Adopt),
    /// Make a key here and prove possession of it with a one-time code
    #[command(after_help = ENROL)]
    Enrol(Enrol),
    /// Make another one-time code, for a first key or a new one
    Code(Name),
    /// List agents
    #[command(
        after_help = "Examples:\n  chancery agent list --blueprint crm --state suspended\n  chancery agent list --text berlin -o name"
    )]
    List(List),
    /// Show one agent
    Get(Name),
    /// Stop an agent: its next call is refused, whatever it holds
    #[command(after_help = "Examples:\n  chancery agent suspend crm-assistant --reason 'odd calls since noon'")]
    Suspend(Because),
    /// Let a stopped agent go on; its sessions from before stay ended
    Resume(Because),
    /// Move the date after which it may not act
    #[command(
        after_help = "Examples:\n  chancery agent extend crm-assistant --days 90\n  chancery agent extend crm-assistant --until 2027-06-30"
    )]
    Extend(Extend),
    /// Show what an agent is to be made of, and what it stated that is not approved; approve it
    #[command(
        after_help = "Examples:\n  chancery agent manifest crm-assistant      shows it, and the command that approves it\n  chancery agent manifest crm-assistant --file manifest.json"
    )]
    Manifest(Review),
    /// Allow or refuse tokens without a proof, for clients that know nothing else
    #[command(
        after_help = "Examples:\n  chancery agent bearer legacy-bot --allow     shown as a finding\n  chancery agent bearer legacy-bot --refuse"
    )]
    Bearer(Bearer),
    /// Make or revoke a shared secret, for clients that cannot hold a key
    #[command(
        after_help = "Examples:\n  chancery agent secret legacy-bot --days 30     shown once, and as a finding\n  chancery agent secret legacy-bot --revoke"
    )]
    Secret(SharedSecret),
    /// State through which client people log in for an agent, or list its clients
    #[command(after_help = CLIENT)]
    Client(Client),
    /// Register the certificate an agent shows in TLS, or take it away
    #[command(after_help = CERTIFICATE)]
    Certificate(Certificate),
}

const CLIENT: &str = "\
Examples:
  chancery agent client crm-assistant --metadata https://app.example/client.json
  chancery agent client crm-assistant --redirect-uri http://127.0.0.1/callback --redirect-uri https://app.example/callback
  chancery agent client crm-assistant --registration-code            a code with which one client registers itself
  chancery agent client crm-assistant                                list them
  chancery agent client crm-assistant --remove https://app.example/client.json
The client of a document has its URL as client_id. The client with redirect addresses has the agent's id or name.
An address http://127.0.0.1/… or http://[::1]/… is good for every port.";

const CERTIFICATE: &str = "\
Examples:
  chancery agent certificate billing --file billing.pem             this one, whoever issued it
  chancery agent certificate billing --dns billing.acme.example     one of the configured roots with this name
  chancery agent certificate billing --remove
What was opened before ends.";

const REGISTER: &str = "\
Examples:
  chancery agent register crm-assistant --sponsor mara@example.com --owner lee@example.com --purpose 'answers customers'
  chancery agent register crm-assistant … --enrol        make its key here at once
  chancery agent register orders-api … --kind service_account --days 365";

const ENROL: &str = "\
Examples:
  chancery agent code crm-assistant -o name | chancery agent enrol crm-assistant
  chancery agent enrol crm-assistant --code-file code.txt
The code is never taken from the command line: other users of the machine can read that.";

/// The fields of a new identity.
#[derive(Debug, Args)]
pub struct Register {
    /// Its name: lower-case letters, digits and `-`; never reused
    name: String,
    /// The accountable business person
    #[arg(long, required_unless_present = "blueprint")]
    sponsor: Option<String>,
    /// The technical keeper
    #[arg(long, required_unless_present = "blueprint")]
    owner: Option<String>,
    /// Why it exists, in a sentence
    #[arg(long, required_unless_present = "blueprint")]
    purpose: Option<String>,
    /// What kind of identity it is
    #[arg(long, value_enum, default_value_t = Kind::Agent)]
    kind: Kind,
    /// The blueprint it is an instance of; what it says of people, purpose and time need not be said again
    #[arg(long)]
    blueprint: Option<String>,
    #[command(flatten)]
    until: Until,
    /// Make its key here at once
    #[arg(long)]
    enrol: bool,
}

/// What was discovered, and the fields of the identity that it becomes.
#[derive(Debug, Args)]
pub struct Adopt {
    /// The URN of what was discovered: see `chancery inventory list -o wide`
    urn: String,
    #[command(flatten)]
    register: Register,
}

/// Kinds of identities.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Kind {
    /// An AI agent
    Agent,
    /// A service account, for instance an application that enforces decisions itself
    ServiceAccount,
    /// A script, a scheduled job, a bot
    Bot,
}

/// A date, or a number of days.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct Until {
    /// The day or time after which it may not act (RFC 3339)
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// The same as a number of days from now
    #[arg(long)]
    days: Option<u32>,
}

/// Where the code comes from.
#[derive(Debug, Args)]
pub struct Enrol {
    /// The agent's name
    name: String,
    /// The file with the code, `-` for standard input
    #[arg(long, value_name = "FILE", default_value = "-")]
    code_file: PathBuf,
}

/// One agent.
#[derive(Debug, Args)]
pub struct Name {
    /// The name
    pub name: String,
}

/// One agent, and why.
#[derive(Debug, Args)]
pub struct Because {
    /// The name
    pub name: String,
    /// Why; stands in the log
    #[arg(long)]
    pub reason: Option<String>,
}

/// Which agents.
#[derive(Debug, Args)]
pub struct List {
    /// Only instances of this blueprint
    #[arg(long, value_name = "NAME")]
    blueprint: Option<String>,
    /// Only those in this state; one whose blueprint is suspended counts as suspended
    #[arg(long, value_parser = ["registered", "active", "suspended", "expired"])]
    state: Option<String>,
    /// Only those of this kind
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// Only those with this sponsor
    #[arg(long)]
    sponsor: Option<String>,
    /// Only those with this owner
    #[arg(long)]
    owner: Option<String>,
    /// Only those whose name begins so
    #[arg(long)]
    prefix: Option<String>,
    /// Only those with this in name, sponsor, owner or purpose
    #[arg(long)]
    text: Option<String>,
    /// No more than so many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// A later date.
#[derive(Debug, Args)]
pub struct Extend {
    /// The agent's name
    name: String,
    #[command(flatten)]
    until: Until,
}

/// Whether bearer tokens are accepted.
#[derive(Debug, Args)]
pub struct Bearer {
    /// The agent's name
    name: String,
    /// Accept tokens without a proof
    #[arg(long, conflicts_with = "refuse", required_unless_present = "refuse")]
    allow: bool,
    /// Accept them no longer
    #[arg(long)]
    refuse: bool,
}

/// A shared secret.
#[derive(Debug, Args)]
pub struct SharedSecret {
    /// The agent's name
    name: String,
    #[command(flatten)]
    until: Until,
    /// Revoke all secrets of the agent; its sessions end
    #[arg(long, conflicts_with_all = ["until", "days"])]
    revoke: bool,
}

/// The certificate of an agent.
#[derive(Debug, Args)]
pub struct Certificate {
    /// The agent's name
    name: String,
    #[command(flatten)]
    which: Which,
}

/// Which certificate.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Which {
    /// A PEM file with the certificate; only that one will do
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The DNS name in certificates that lead to a root of the configuration
    #[arg(long, value_name = "NAME")]
    dns: Option<String>,
    /// The same with a URI
    #[arg(long)]
    uri: Option<String>,
    /// Take it away; its sessions end
    #[arg(long)]
    remove: bool,
}

const SECRET: &[Column] = &[column("SECRET", "/secret"), column("AGENT", "/agent"), column("EXPIRES", "/expires_at")];

/// A client of an agent.
#[derive(Debug, Args)]
pub struct Client {
    /// The agent's name
    name: String,
    /// The URL of the client's metadata document, which is its client_id
    #[arg(long, value_name = "URL", group = "what")]
    metadata: Option<String>,
    /// Where people are sent back to; may be given again
    #[arg(long, value_name = "URI", group = "what")]
    redirect_uri: Vec<String>,
    /// Make a one-time code with which a client registers itself (RFC 7591)
    #[arg(long, group = "what")]
    registration_code: bool,
    /// Remove the client with this client_id: the sessions of its agent end
    #[arg(long, value_name = "CLIENT_ID", group = "what")]
    remove: Option<String>,
}

const CLIENTS: &[Column] = &[
    column("CLIENT ID", "/client_id"),
    column("KIND", "/kind"),
    column("REDIRECTS TO", "/redirect_uris"),
    wide("CREATED", "/created_at"),
];

const COLUMNS: &[Column] = &[
    column("NAME", "/name"),
    column("STATE", "/standing"),
    column("SPONSOR", "/sponsor"),
    column("OWNER", "/owner"),
    column("EXPIRES", "/expires_at"),
    wide("STOPPED", "/stopped"),
    wide("OWN STATE", "/state"),
    wide("KIND", "/kind"),
    wide("PURPOSE", "/purpose"),
    wide("BLUEPRINT", "/blueprint"),
    wide("MANIFEST", "/manifest"),
    wide("BEARER", "/bearer"),
    wide("EPOCH", "/epoch"),
    wide("KEY", "/key_thumbprint"),
    wide("CREATED", "/created_at"),
    wide("ID", "/id"),
];

const CODE: &[Column] = &[column("CODE", "/code"), column("AGENT", "/agent"), column("EXPIRES", "/expires_at")];

const ENROLLED: &[Column] = &[
    column("NAME", "/name"),
    column("CLIENT ID", "/client_id"),
    column("KEY", "/kid"),
    column("ISSUER", "/issuer"),
    column("TOKEN ENDPOINT", "/token_endpoint"),
];

/// How many agents are asked for at once.
const PAGE: usize = 1_000;

/// Does it.
pub async fn run(context: &Context, verb: &Verb) -> Done {
    match verb {
        Verb::Register(args) => register(context, args, None).await,
        Verb::Adopt(args) => register(context, &args.register, Some(&args.urn)).await,
        Verb::Enrol(args) => enrol(context, args).await,
        Verb::Code(args) => code(context, &args.name).await,
        Verb::List(args) => list(context, args).await,
        Verb::Get(args) => show(context, &context.admin()?.get(&path(&args.name, "")).await?),
        Verb::Suspend(args) => step(context, &args.name, "/suspend", &json!({"reason": args.reason})).await,
        Verb::Resume(args) => step(context, &args.name, "/resume", &json!({"reason": args.reason})).await,
        Verb::Extend(args) => extend(context, args).await,
        Verb::Manifest(args) => manifest::review(context, &path(&args.name, "/manifest"), args).await,
        Verb::Secret(args) => secret(context, args).await,
        Verb::Client(args) => client(context, args).await,
        Verb::Certificate(args) => certificate(context, args).await,
        Verb::Bearer(args) => step(context, &args.name, "/bearer", &json!({"allow": args.allow})).await,
    }
}

async fn register(context: &Context, args: &Register, adopts: Option<&str>) -> Done {
    let kind = args.kind.to_possible_value().map(|v| v.get_name().to_owned());
    let body = json!({
        "name": args.name, "sponsor": args.sponsor, "owner": args.owner, "purpose": args.purpose,
        "kind": kind, "blueprint": args.blueprint, "expires_at": args.until.time(context)?, "adopts": adopts,
    });
    let made = context.admin()?.post("/v1/agents", &body).await?;
    if args.enrol {
        let code = made.pointer("/enrolment/code").and_then(Value::as_str).unwrap_or_default();
        return prove(context, &args.name, &Secret::new(code.to_owned())).await;
    }
    if context.output.is_json() {
        return context.output.item(COLUMNS, &made);
    }
    show(context, &made["agent"])?;
    context.output.item(CODE, &made["enrolment"])?;
    context
        .output
        .note("next: give the code to the agent's keeper: `chancery agent enrol NAME` reads it from standard input");
    Ok(())
}

async fn code(context: &Context, name: &str) -> Done {
    let made = context.admin()?.post("/v1/enrolments", &json!({"agent": name})).await?;
    context.output.item(CODE, &made)
}

async fn enrol(context: &Context, args: &Enrol) -> Done {
    let code = read_code(&args.code_file)?;
    prove(context, &args.name, &code).await
}

/// Makes a key, proves possession of it, and keeps it once the server has accepted it.
async fn prove(context: &Context, name: &str, code: &Secret) -> Done {
    let enrolled = keys::enrol(context, name, code).await?;
    context.output.item(ENROLLED, &enrolled)?;
    context.output.note(&format!("the key is in {}", context.keys().path(name)?.display()));
    Ok(())
}

fn read_code(path: &PathBuf) -> Done<Secret> {
    let mut text = String::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text))
    };
    read.map_err(|e| Failure::file(path, e))?;
    // A line of `agent code` piped here has the code in its first column.
    let code = text.split_whitespace().next().unwrap_or_default().to_owned();
    if code.is_empty() {
        return Err(
            Failure::new(LOCAL_FILE, "there is no code to read").next("pipe it in, or name a file: --code-file FILE")
        );
    }
    Ok(Secret::new(code))
}

async fn list(context: &Context, args: &List) -> Done {
    let kind = args.kind.and_then(|kind| kind.to_possible_value()).map(|value| value.get_name().to_owned());
    let (mut found, mut cursor) = (Vec::new(), None::<String>);
    let most = args.limit.unwrap_or(usize::MAX);
    loop {
        let limit = PAGE.min(most - found.len()).to_string();
        let parameters = [
            ("blueprint", args.blueprint.as_deref()),
            ("state", args.state.as_deref()),
            ("kind", kind.as_deref()),
            ("sponsor", args.sponsor.as_deref()),
            ("owner", args.owner.as_deref()),
            ("prefix", args.prefix.as_deref()),
            ("text", args.text.as_deref()),
            ("limit", Some(limit.as_str())),
            ("cursor", cursor.as_deref()),
        ];
        let page = context.admin()?.get(&format!("/v1/agents{}", query(&parameters))).await?;
        found.extend_from_slice(items(&page));
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() || found.len() >= most {
            if cursor.is_some() {
                context.output.note(&format!("{} of {}: more with a higher --limit", found.len(), page["total"]));
            }
            return context.output.list(COLUMNS, &found);
        }
    }
}

async fn extend(context: &Context, args: &Extend) -> Done {
    let until = args.until.time(context)?;
    let until = until.ok_or_else(|| Failure::usage("neither --until nor --days is given"))?;
    step(context, &args.name, "/extend", &json!({"expires_at": until})).await
}

async fn secret(context: &Context, args: &SharedSecret) -> Done {
    let path = path(&args.name, "/secrets");
    if args.revoke {
        return show(context, &context.admin()?.delete(&path).await?);
    }
    let body = json!({"expires_at": args.until.time(context)?});
    context.output.item(SECRET, &context.admin()?.post(&path, &body).await?)
}

async fn client(context: &Context, args: &Client) -> Done {
    let path = path(&args.name, "/clients");
    if let Some(id) = &args.remove {
        let path = format!("/v1/clients{}", query(&[("client_id", Some(id.as_str()))]));
        return context.output.item(CLIENTS, &context.admin()?.delete(&path).await?);
    }
    if args.registration_code {
        let path = self::path(&args.name, "/registration-codes");
        return context.output.item(CODE, &context.admin()?.post(&path, &json!({})).await?);
    }
    let body = match (&args.metadata, args.redirect_uri.as_slice()) {
        (Some(url), _) => json!({"metadata": url}),
        (None, []) => return context.output.list(CLIENTS, items(&context.admin()?.get(&path).await?)),
        (None, uris) => json!({"redirect_uris": uris}),
    };
    context.output.item(CLIENTS, &context.admin()?.post(&path, &body).await?)
}

async fn certificate(context: &Context, args: &Certificate) -> Done {
    let path = path(&args.name, "/certificate");
    if args.which.remove {
        return show(context, &context.admin()?.delete(&path).await?);
    }
    let read = |file: &PathBuf| std::fs::read_to_string(file).map_err(|e| Failure::file(file, e));
    let pem = args.which.file.as_ref().map(read).transpose()?;
    let body = json!({"pem": pem, "dns": args.which.dns, "uri": args.which.uri});
    show(context, &context.admin()?.put(&path, &body).await?)
}

async fn step(context: &Context, name: &str, step: &str, body: &Value) -> Done {
    show(context, &context.admin()?.post(&path(name, step), body).await?)
}

fn show(context: &Context, agent: &Value) -> Done {
    context.output.item(COLUMNS, agent)
}

fn path(name: &str, step: &str) -> String {
    format!("/v1/agents/{}{step}", encoded(name))
}

/// The rows of a list answer.
pub fn items(found: &Value) -> &[Value] {
    found["items"].as_array().map_or(&[], Vec::as_slice)
}

impl Until {
    /// The time in RFC 3339, if one was given.
    pub fn time(&self, context: &Context) -> Done<Option<String>> {
        if let Some(days) = self.days {
            return Ok(Some((context.clock.now() + Span::days(days.into())).rfc3339()));
        }
        let Some(text) = &self.until else { return Ok(None) };
        let time = Timestamp::parse(text).ok_or_else(|| Failure::usage(format!("`{text}` is not a day or time")))?;
        Ok(Some(time.rfc3339()))
    }
}
