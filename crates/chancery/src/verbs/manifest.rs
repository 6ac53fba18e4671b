//! What an agent or the instances of a blueprint are made of: shown, and approved.

use std::path::PathBuf;

use chancery_model::Manifest;
use clap::Args;
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::{Done, Failure};
use crate::output::{Column, column};

/// Whose manifest, and what of it is approved.
#[derive(Debug, Args)]
pub struct Review {
    /// The name
    pub name: String,
    /// Approve what was stated last, if it has this digest; the approved one's keeps that
    #[arg(long, value_name = "DIGEST")]
    approve: Option<String>,
    /// Approve the manifest in this file: JSON with model, prompt_digest, tools_digest and perhaps version
    #[arg(long, value_name = "FILE", conflicts_with = "approve")]
    file: Option<PathBuf>,
}

const COLUMNS: &[Column] = &[
    column("NAME", "/name"),
    column("APPROVED", "/digest"),
    column("MODEL", "/manifest/model"),
    column("PROMPT", "/manifest/prompt_digest"),
    column("TOOLS", "/manifest/tools_digest"),
    column("VERSION", "/manifest/version"),
    column("STATED", "/seen_digest"),
    column("STATED MODEL", "/seen_manifest/model"),
    column("STATED PROMPT", "/seen_manifest/prompt_digest"),
    column("STATED TOOLS", "/seen_manifest/tools_digest"),
    column("STATED VERSION", "/seen_manifest/version"),
    column("STATED BY", "/seen_by"),
    column("STATED AT", "/seen_at"),
    column("CHANGED", "/changed"),
];

/// Shows it; with something to approve, approves that first. `path` is its address.
pub async fn review(context: &Context, path: &str, args: &Review) -> Done {
    let shown = match body(args)? {
        Some(body) => context.admin()?.post(path, &body).await?,
        None => context.admin()?.get(path).await?,
    };
    context.output.item(COLUMNS, &shown)?;
    if let Some(command) = shown["approve"].as_str() {
        context.output.note(&format!("if what was stated last is to be approved: {command}"));
    }
    Ok(())
}

fn body(args: &Review) -> Done<Option<Value>> {
    if let Some(path) = &args.file {
        let text = std::fs::read_to_string(path).map_err(|e| Failure::file(path, e))?;
        let manifest = Manifest::parse(&text).map_err(|e| Failure::file(path, std::io::Error::other(e)))?;
        return Ok(Some(json!({"manifest": manifest})));
    }
    Ok(args.approve.as_ref().map(|digest| json!({"digest": digest})))
}
