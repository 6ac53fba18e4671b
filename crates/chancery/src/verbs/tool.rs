//! `chancery tool`: pinned definitions.

use chancery_model::problem::{BAD_TRANSITION, NO_SUCH_TOOL};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::agent::items;
use crate::context::Context;
use crate::failure::{Done, Failure};
use crate::http::query;
use crate::output::{Column, column, wide};

/// What can be done with tools.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List tools
    List(List),
    /// Approve the definition that was seen last; until then the tool is neither listed nor callable
    ///
    /// Without --digest nothing is approved: the definition is shown, against the approved one if there is one, with
    /// the command that approves exactly what was shown.
    #[command(
        after_help = "Examples:\n  chancery tool list --state quarantined -o wide\n  chancery tool approve billing refund      shows it, and the command with its digest"
    )]
    Approve(Approve),
}

/// Which tools.
#[derive(Debug, Args)]
pub struct List {
    /// Only those of this server
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// Only those in this state
    #[arg(long, value_parser = ["pinned", "quarantined"])]
    state: Option<String>,
}

/// One tool.
#[derive(Debug, Args)]
pub struct Approve {
    /// The server that defines it
    server: String,
    /// Its name there
    tool: String,
    /// SHA-256 of the definition that was looked at; another one is not approved
    #[arg(long, value_name = "HEX")]
    digest: Option<String>,
}

const COLUMNS: &[Column] = &[
    column("TOOL", "/qualified"),
    column("STATE", "/state"),
    column("DESCRIPTION", "/description"),
    wide("DIGEST", "/digest"),
    wide("SEEN", "/seen_digest"),
    wide("SINCE", "/since_at"),
];

/// Does it.
pub async fn run(context: &Context, verb: &Verb) -> Done {
    match verb {
        Verb::List(args) => {
            let path =
                format!("/v1/tools{}", query(&[("server", args.server.as_deref()), ("state", args.state.as_deref())]));
            let found: Value = context.admin()?.get(&path).await?;
            context.output.list(COLUMNS, items(&found))
        }
        Verb::Approve(args) => match &args.digest {
            Some(digest) => approve(context, args, digest).await,
            None => look(context, args).await,
        },
    }
}

async fn approve(context: &Context, args: &Approve, digest: &str) -> Done {
    let body = json!({"server": args.server, "tool": args.tool, "digest": digest});
    let approved = context.admin()?.post("/v1/tools/approve", &body).await?;
    context.output.item(COLUMNS, &approved)?;
    if let Some(remark) = approved["remark"].as_str() {
        context.output.note(remark);
    }
    Ok(())
}

/// Shows what would be approved.
async fn look(context: &Context, args: &Approve) -> Done {
    let found: Value = context.admin()?.get(&format!("/v1/tools{}", query(&[("server", Some(&args.server))]))).await?;
    let name = format!("{}/{}", args.server, args.tool);
    let tool = items(&found).iter().find(|tool| tool["name"] == args.tool.as_str());
    let tool = tool.ok_or_else(|| Failure::new(NO_SUCH_TOOL, format!("`{name}`")))?;
    let Some(command) = tool["approve"].as_str() else {
        return Err(Failure::new(BAD_TRANSITION, format!("tool `{name}` is approved already")));
    };
    if context.output.is_json() {
        context.output.item(COLUMNS, tool)?;
    } else {
        let (old, seen) = (tool["definition"].as_str(), tool["seen_definition"].as_str());
        context.output.text(&difference(old.unwrap_or_default(), seen.or(old).unwrap_or_default()))?;
    }
    let why = "nothing is approved without the digest of what was looked at";
    Err(Failure::usage(why).next(format!("if this is to be approved: {command}")))
}

/// Two definitions line by line: what both have, what only the first has (`-`), and what only the second has (`+`).
fn difference(old: &str, new: &str) -> String {
    let (old, new) = (lines(old), lines(new));
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let (old_rest, new_rest) = (&old[head..], &new[head..]);
    let tail = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(a, b)| a == b).count();
    let (gone, come) = (&old_rest[..old_rest.len() - tail], &new_rest[..new_rest.len() - tail]);
    let marked = |mark: char, lines: &[String]| lines.iter().map(|line| format!("{mark} {line}\n")).collect::<String>();
    let same = (marked(' ', &new[..head]), marked(' ', &new[new.len() - tail..]));
    format!("{}{}{}{}", same.0, marked('-', gone), marked('+', come), same.1)
}

/// A definition as people read it. It is a stranger's: whatever is no letter, digit or ASCII is shown by its number.
fn lines(definition: &str) -> Vec<String> {
    let pretty = serde_json::from_str::<Value>(definition).and_then(|value| serde_json::to_string_pretty(&value));
    let text = pretty.unwrap_or_else(|_| definition.to_owned());
    let shown = |c: char| match c {
        ' '..='~' => c.to_string(),
        c if !c.is_ascii() && c.is_alphanumeric() => c.to_string(),
        c => c.escape_unicode().to_string(),
    };
    text.lines().map(|line| line.chars().map(shown).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_what_went_and_what_came() {
        let (old, new) = (r#"{"a":1,"b":"x","c":3}"#, r#"{"a":1,"b":"y\u202e","c":3}"#);
        let shown = difference(old, new);
        assert_eq!(shown, "  {\n    \"a\": 1,\n-   \"b\": \"x\",\n+   \"b\": \"y\\u{202e}\",\n    \"c\": 3\n  }\n");
        assert!(difference("", new).lines().all(|line| line.starts_with('+')));
        assert!(difference(new, new).lines().all(|line| line.starts_with(' ')));
    }
}
