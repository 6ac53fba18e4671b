//! `chancery trust`: logins without a secret.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::agent::items;
use crate::context::Context;
use crate::failure::{Done, Failure};
use crate::http::{encoded, query};
use crate::output::{Column, column, wide};

/// What can be done with trust sources.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Let one workload of a platform log in as an agent, without any secret
    #[command(after_help = ADD)]
    Add(Box<Add>),
    /// List trust sources
    List,
    /// Trust one no longer: the sessions of its agent end at once
    Remove(Remove),
}

const ADD: &str = "\
Examples:
  chancery trust add pay-crm --agent crm --kind kubernetes --issuer https://oidc.cluster.example --namespace pay --service-account crm
  chancery trust add app-main --agent deployer --kind github --claim repository=acme/app --claim ref=refs/heads/main
  chancery trust add app-prod --agent deployer --kind github --claim repository=acme/app --claim environment=production
  chancery trust add batch --agent batch --kind oidc --issuer https://login.example --subject 0oa7xk2
  chancery trust add ledger --agent ledger --kind spiffe_jwt --subject spiffe://acme.example/agent/ledger
  chancery trust add mesh --agent mesh --kind spiffe_x509 --subject spiffe://mesh.example/ns/pay/sa/mesh --bundle-url https://mesh.example/bundle.json
  chancery trust add edge --agent edge --kind kubernetes --issuer https://kubernetes.default.svc --jwks keys.json --namespace a --service-account b

Everything is compared letter by letter, and one source is one workload: patterns such as `repo:acme/*` are refused.
The platform's token must have this server's issuer (its public URL) as its only audience, unless --audience says another.
For GitHub add `--claim repository_id=…` too: it stays when a repository is renamed and another one takes its name.";

/// The fields of a new trust source.
#[derive(Debug, Args)]
pub struct Add {
    /// Its name: lower-case letters, digits and `-`
    name: String,
    /// The agent that is logged in
    #[arg(long, value_name = "NAME")]
    agent: String,
    /// Which platform
    #[arg(long, value_enum)]
    kind: Kind,
    /// The `iss` of the platform's tokens [default for github: its own; for SPIFFE the trust domain of --subject]
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// The `sub` of the workload, letter by letter
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
    /// The workload's namespace, with --service-account, in place of --subject
    #[arg(long, value_name = "NAME", requires = "service_account", conflicts_with = "subject")]
    namespace: Option<String>,
    /// The workload's service account, with --namespace, in place of --subject
    #[arg(long, value_name = "NAME", requires = "namespace")]
    service_account: Option<String>,
    /// A claim and its only value; may be given again
    #[arg(long = "claim", value_name = "NAME=VALUE")]
    claims: Vec<String>,
    /// The `aud` of the platform's tokens [default: this server's issuer]
    #[arg(long, value_name = "TEXT")]
    audience: Option<String>,
    /// Where the platform's keys are, if its metadata does not say; for SPIFFE the bundle endpoint
    #[arg(long, visible_alias = "bundle-url", value_name = "URL", conflicts_with = "jwks")]
    jwks_uri: Option<String>,
    /// A file with the platform's keys (a JWK set), if they cannot be fetched; for SPIFFE the bundle
    #[arg(long, visible_alias = "bundle", value_name = "FILE")]
    jwks: Option<PathBuf>,
}

/// Platforms.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Kind {
    /// Any issuer of JWTs
    Oidc,
    /// Projected service account tokens
    Kubernetes,
    /// GitHub Actions
    Github,
    /// JWT-SVIDs of a SPIFFE trust domain
    SpiffeJwt,
    /// X.509-SVIDs of a SPIFFE trust domain, at the TLS door
    SpiffeX509,
}

/// One trust source.
#[derive(Debug, Args)]
pub struct Remove {
    /// Its name
    name: String,
    /// Why; stands in the log
    #[arg(long)]
    reason: Option<String>,
}

const COLUMNS: &[Column] = &[
    column("NAME", "/name"),
    column("KIND", "/kind"),
    column("AGENT", "/agent"),
    column("SUBJECT", "/subject"),
    column("ISSUER", "/issuer"),
    wide("AUDIENCE", "/audience"),
    wide("CLAIMS", "/claims"),
    wide("KEYS", "/keys"),
    wide("CREATED", "/created_at"),
];

/// Does it.
pub async fn run(context: &Context, verb: &Verb) -> Done {
    match verb {
        Verb::Add(args) => {
            context.output.item(COLUMNS, &context.admin()?.post("/v1/trust-sources", &args.body()?).await?)
        }
        Verb::List => context.output.list(COLUMNS, items(&context.admin()?.get("/v1/trust-sources").await?)),
        Verb::Remove(args) => {
            let because = query(&[("reason", args.reason.as_deref())]);
            let path = format!("/v1/trust-sources/{}{because}", encoded(&args.name));
            context.output.item(COLUMNS, &context.admin()?.delete(&path).await?)
        }
    }
}

impl Add {
    fn body(&self) -> Done<Value> {
        Ok(json!({
            "name": self.name,
            "agent": self.agent,
            "kind": self.kind.to_possible_value().map(|v| v.get_name().to_owned()),
            "issuer": self.issuer,
            "subject": self.subject(),
            "claims": self.claims()?,
            "audience": self.audience,
            "jwks_uri": self.jwks_uri,
            "jwks": self.jwks.as_ref().map(key_set).transpose()?,
        }))
    }

    fn subject(&self) -> Option<String> {
        let account = self.namespace.as_ref().zip(self.service_account.as_ref());
        let account = account.map(|(namespace, name)| format!("system:serviceaccount:{namespace}:{name}"));
        account.or_else(|| self.subject.clone())
    }

    fn claims(&self) -> Done<Map<String, Value>> {
        let claims = self.claims.iter().map(|claim| {
            let (name, value) =
                claim.split_once('=').ok_or_else(|| Failure::usage(format!("`{claim}` is not NAME=VALUE")))?;
            Ok((name.to_owned(), Value::from(value)))
        });
        claims.collect()
    }
}

fn key_set(path: &PathBuf) -> Done<Value> {
    let text = std::fs::read_to_string(path).map_err(|e| Failure::file(path, e))?;
    serde_json::from_str(&text).map_err(|e| Failure::usage(format!("{}: {e}", path.display())))
}
