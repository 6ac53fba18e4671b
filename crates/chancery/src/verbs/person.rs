//! `chancery person`: in whose names agents act.

use chancery_model::Role;
use clap::{Args, Subcommand};
use serde_json::json;

use super::agent::items;
use crate::context::Context;
use crate::failure::Done;
use crate::http::{encoded, query};
use crate::output::{Column, column, wide};

/// What can be done with people.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Add a person who may sign in, and in whose name agents may act
    #[command(after_help = "Examples:\n  chancery person add mara@example.com --display 'Mara K.'")]
    Add(Add),
    /// List people
    List,
    /// Stop everything at once: their logins, and what agents do in their name
    #[command(after_help = "Examples:\n  chancery person suspend mara@example.com --reason 'left the company'")]
    Suspend(Because),
    /// Let a person sign in again; what ended stays ended
    Resume(Because),
    /// Add a person with roles, and make the link with which they sign in
    #[command(after_help = INVITE)]
    Invite(Add),
    /// Give a person a role, or take it back
    #[command(subcommand)]
    Role(RoleVerb),
    /// Look at the passkeys of a person, and remove one that is lost
    #[command(subcommand)]
    Passkey(PasskeyVerb),
    /// What identity providers call people: whose assertions are about whom
    #[command(subcommand)]
    Account(AccountVerb),
    /// Make a one-time link with which they sign in; it voids the ones before
    #[command(after_help = LINK)]
    Link(Name),
}

/// What can be done with roles.
#[derive(Debug, Subcommand)]
pub enum RoleVerb {
    /// Let a person do what a role may, from now on
    #[command(after_help = "Examples:\n  chancery person role add mara@example.com approver")]
    Add(OneRole),
    /// Take a role from a person, from now on
    #[command(after_help = "Examples:\n  chancery person role remove mara@example.com admin --reason 'moved to sales'")]
    Remove(RemoveRole),
}

/// A role of a person.
#[derive(Debug, Args)]
pub struct OneRole {
    /// The person's name
    name: String,
    /// The role
    #[arg(value_parser = Role::ALL.map(Role::name))]
    role: String,
}

/// A role that is to go, and why.
#[derive(Debug, Args)]
pub struct RemoveRole {
    #[command(flatten)]
    which: OneRole,
    /// Why; stands in the log
    #[arg(long)]
    reason: Option<String>,
}

/// What can be done with passkeys. Only their person can register one.
#[derive(Debug, Subcommand)]
pub enum PasskeyVerb {
    /// List the passkeys of a person
    List(Name),
    /// Remove one for good, and end all logins of its person
    #[command(
        after_help = "Examples:\n  chancery person passkey remove mara@example.com pky_01k… --reason 'the phone was stolen'"
    )]
    Remove(RemovePasskey),
}

/// A passkey that is to go, and why.
#[derive(Debug, Args)]
pub struct RemovePasskey {
    /// The person's name
    name: String,
    /// Its id: pky_…
    id: String,
    /// Why; stands in the log
    #[arg(long)]
    reason: Option<String>,
}

/// What can be done with accounts.
#[derive(Debug, Subcommand)]
pub enum AccountVerb {
    /// Say that an account at an identity provider is this person's
    #[command(after_help = ACCOUNT)]
    Add(Account),
    /// List the accounts of a person
    List(Name),
    /// Take an account away: what agents do in the person's name ends at once
    Remove(RemoveAccount),
}

const ACCOUNT: &str = "\
Examples:
  chancery person account add mara@example.com --issuer https://login.example.com --subject 00u1a2b3c4
The issuer is one of `[[delegation.providers]]`. Issuer and subject are compared letter by letter; an account is one person's.";

const INVITE: &str = "\
Examples:
  chancery person invite lee@example.com --role approver
The link is shown this once. It is good once and for 15 minutes: hand it over privately.";

const LINK: &str = "\
Examples:
  chancery person link mara@example.com
The link is good once and for 15 minutes. Whoever opens it first is that person here: hand it over privately.";

/// A new person.
#[derive(Debug, Args)]
pub struct Add {
    /// Their name in the directory, or their e-mail address, in lower case; never reused
    name: String,
    /// How they are shown to others
    #[arg(long, value_name = "TEXT")]
    display: Option<String>,
    /// What they may do here; several times for several roles
    #[arg(long = "role", value_name = "ROLE", value_parser = Role::ALL.map(Role::name))]
    roles: Vec<String>,
}

/// One person.
#[derive(Debug, Args)]
pub struct Name {
    /// The person's name
    name: String,
}

/// One person, and why.
#[derive(Debug, Args)]
pub struct Because {
    /// The person's name
    name: String,
    /// Why; stands in the log
    #[arg(long)]
    reason: Option<String>,
}

/// An account of a person.
#[derive(Debug, Args)]
pub struct Account {
    /// The person's name
    name: String,
    /// The provider: the `iss` of what it writes
    #[arg(long, value_name = "URL")]
    issuer: String,
    /// What it calls them: the `sub`
    #[arg(long, value_name = "TEXT")]
    subject: String,
}

/// An account that is to go, and why.
#[derive(Debug, Args)]
pub struct RemoveAccount {
    #[command(flatten)]
    account: Account,
    /// Why; stands in the log
    #[arg(long)]
    reason: Option<String>,
}

const ACCOUNTS: &[Column] = &[
    column("PERSON", "/person"),
    column("ISSUER", "/issuer"),
    column("SUBJECT", "/subject"),
    wide("ADDED", "/created_at"),
];

const PASSKEYS: &[Column] = &[
    column("ID", "/id"),
    column("NAME", "/name"),
    column("HOST", "/host"),
    column("REGISTERED", "/created_at"),
    column("SHOWN", "/used_at"),
    wide("PERSON", "/person"),
];

const COLUMNS: &[Column] = &[
    column("NAME", "/name"),
    column("DISPLAY", "/display"),
    column("STATE", "/state"),
    column("ROLES", "/roles"),
    column("ADDED", "/created_at"),
    wide("EPOCH", "/epoch"),
    wide("ID", "/id"),
];

pub(super) const LINKS: &[Column] =
    &[column("LINK", "/link"), column("PERSON", "/person"), column("EXPIRES", "/expires_at")];

/// Does it.
pub async fn run(context: &Context, verb: &Verb) -> Done {
    let admin = context.admin()?;
    match verb {
        Verb::Add(args) => {
            let body = json!({"name": args.name, "display": args.display, "roles": args.roles});
            context.output.item(COLUMNS, &admin.post("/v1/people", &body).await?)?;
            context.output.note(&format!("next: `chancery person link {}` makes a link to sign in with", args.name));
            Ok(())
        }
        Verb::List => context.output.list(COLUMNS, items(&admin.get("/v1/people").await?)),
        Verb::Suspend(args) => step(context, args, "suspend").await,
        Verb::Resume(args) => step(context, args, "resume").await,
        Verb::Account(verb) => account(context, verb).await,
        Verb::Role(verb) => role(context, verb).await,
        Verb::Passkey(verb) => passkey(context, verb).await,
        Verb::Invite(args) => {
            let body = json!({"name": args.name, "display": args.display, "roles": args.roles});
            context.output.item(LINKS, &admin.post("/v1/people/invitations", &body).await?)
        }
        Verb::Link(args) => {
            let path = format!("/v1/people/{}/setup-link", encoded(&args.name));
            context.output.item(LINKS, &admin.post(&path, &json!({})).await?)
        }
    }
}

async fn role(context: &Context, verb: &RoleVerb) -> Done {
    let admin = context.admin()?;
    let path = |which: &OneRole| format!("/v1/people/{}/roles/{}", encoded(&which.name), encoded(&which.role));
    match verb {
        RoleVerb::Add(which) => context.output.item(COLUMNS, &admin.put(&path(which), &json!({})).await?),
        RoleVerb::Remove(RemoveRole { which, reason }) => {
            let path = format!("{}{}", path(which), query(&[("reason", reason.as_deref())]));
            context.output.item(COLUMNS, &admin.delete(&path).await?)
        }
    }
}

async fn passkey(context: &Context, verb: &PasskeyVerb) -> Done {
    let admin = context.admin()?;
    let path = |name: &str| format!("/v1/people/{}/passkeys", encoded(name));
    match verb {
        PasskeyVerb::List(args) => context.output.list(PASSKEYS, items(&admin.get(&path(&args.name)).await?)),
        PasskeyVerb::Remove(args) => {
            let why = query(&[("reason", args.reason.as_deref())]);
            let left = admin.delete(&format!("{}/{}{why}", path(&args.name), encoded(&args.id))).await?;
            context.output.list(PASSKEYS, items(&left))?;
            context.output.note("removed; all logins of its person are over");
            Ok(())
        }
    }
}

async fn account(context: &Context, verb: &AccountVerb) -> Done {
    let admin = context.admin()?;
    let path = |name: &str| format!("/v1/people/{}/accounts", encoded(name));
    match verb {
        AccountVerb::Add(args) => {
            let body = json!({"issuer": args.issuer, "subject": args.subject});
            context.output.item(ACCOUNTS, &admin.post(&path(&args.name), &body).await?)
        }
        AccountVerb::List(args) => context.output.list(ACCOUNTS, items(&admin.get(&path(&args.name)).await?)),
        AccountVerb::Remove(RemoveAccount { account, reason }) => {
            let which = [
                ("issuer", Some(account.issuer.as_str())),
                ("subject", Some(account.subject.as_str())),
                ("reason", reason.as_deref()),
            ];
            let path = format!("{}{}", path(&account.name), query(&which));
            context.output.item(ACCOUNTS, &admin.delete(&path).await?)
        }
    }
}

async fn step(context: &Context, args: &Because, step: &str) -> Done {
    let path = format!("/v1/people/{}/{step}", encoded(&args.name));
    context.output.item(COLUMNS, &context.admin()?.post(&path, &json!({"reason": args.reason})).await?)
}
