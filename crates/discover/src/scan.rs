//! What a scan of files says, as a sweep.

use std::collections::{BTreeMap, BTreeSet};

use chancery_connectors::{Credential, Reference, Report, Source};
use chancery_model::{BadUrn, CoverageStatus, EdgeKind, Gap, Link, NodeKind, Object, ObjectBody, Severity, Urn};
use serde_json::{Value, json};

use crate::{Ended, Stated};

/// The source of what stands in files.
pub const FILES: &str = "files";

/// A sweep in one piece.
#[derive(Clone, Debug, Default)]
pub struct Swept {
    /// What it saw.
    pub objects: Vec<Object>,
    /// What is wrong with some of it.
    pub findings: Vec<Stated>,
    /// What it looked at.
    pub ended: Ended,
}

/// A report of files as a sweep of `scope`. Every kind was looked at completely but for the gaps: what is excluded was not
/// looked at either.
///
/// # Errors
/// Something in it cannot be named.
pub fn swept(report: &Report, (source, scope): (&str, &str)) -> Result<Swept, BadUrn> {
    let mut made = Made { source, scope, objects: BTreeMap::new() };
    for identity in &report.identities {
        let mut attributes = BTreeMap::from([("framework".to_owned(), json!(identity.framework))]);
        let owners: Vec<Value> =
            identity.owner_hints.iter().map(|hint| json!({"name": hint.name, "from": hint.from})).collect();
        put(&mut attributes, "model", identity.model.as_ref());
        put(&mut attributes, "tools", Some(&identity.tools).filter(|tools| !tools.is_empty()));
        put(&mut attributes, "owner_hints", Some(&owners).filter(|owners| !owners.is_empty()));
        made.add(&identity.id, &identity.name, &identity.source, attributes)?;
    }
    for server in &report.servers {
        let mut attributes = BTreeMap::from([("transport".to_owned(), json!(server.transport))]);
        put(&mut attributes, "command", server.command.as_ref());
        put(&mut attributes, "url", server.url.as_ref());
        put(&mut attributes, "package", server.package.as_ref());
        made.add(&server.id, &server.name, &server.source, attributes)?;
        let urn = made.urn(&server.id)?;
        if let (Some(url), Some(object)) = (&server.url, made.objects.get_mut(&urn)) {
            object.is.keys.insert(endpoint(url));
        }
    }
    for credential in &report.credentials {
        made.credential(credential)?;
    }
    for edge in &report.edges {
        let Some(kind) = EdgeKind::parse(edge.kind) else { continue };
        let (from, to) = (made.urn(&edge.from)?, made.urn(&edge.to)?);
        for (id, urn) in [(&edge.from, &from), (&edge.to, &to)] {
            made.mention(id, urn, edge.unresolved);
        }
        if let Some(object) = made.objects.get_mut(&from) {
            object.is.edges.insert(Link { kind, to });
        }
    }
    let mut findings = Vec::new();
    for finding in &report.findings {
        let subject = made.urn(&finding.subject)?;
        made.mention(&finding.subject, &subject, false);
        let (rule, evidence) = (finding.rule.to_owned(), finding.evidence.clone());
        let owasp = finding.owasp.first().copied().unwrap_or_default().to_owned();
        findings.push(Stated { rule, subject, severity: severity(finding.rule), evidence, owasp });
    }
    let gaps = report.coverage.gaps.iter().map(|gap| Gap { path: gap.path.clone(), reason: gap.reason.clone() });
    let excluded = report.coverage.excluded.iter();
    let excluded = excluded.map(|out| Gap { path: out.path.clone(), reason: out.reason.to_owned() });
    let coverage = NodeKind::ALL.iter().map(|kind| (*kind, CoverageStatus::Complete)).collect();
    let ended = Ended { coverage, gaps: gaps.chain(excluded).collect(), why: None };
    Ok(Swept { objects: made.objects.into_values().collect(), findings, ended })
}

fn put(attributes: &mut BTreeMap<String, Value>, name: &str, value: Option<&impl serde::Serialize>) {
    if let Some(value) = value.and_then(|value| serde_json::to_value(value).ok()) {
        attributes.insert(name.to_owned(), value);
    }
}

struct Made<'a> {
    source: &'a str,
    scope: &'a str,
    objects: BTreeMap<Urn, Object>,
}

impl Made<'_> {
    fn urn(&self, id: &str) -> Result<Urn, BadUrn> {
        let (word, native) = id.split_once(':').unwrap_or(("resource", id));
        Urn::new(self.source, self.scope, kind(word), native)
    }

    fn add(
        &mut self,
        id: &str,
        name: &str,
        source: &Source,
        attributes: BTreeMap<String, Value>,
    ) -> Result<(), BadUrn> {
        let urn = self.urn(id)?;
        let is = ObjectBody {
            name: name.to_owned(),
            within: Some(source.path.clone()),
            keys: BTreeSet::new(),
            attributes: with(attributes, "pointer", &source.pointer),
            edges: BTreeSet::new(),
        };
        self.objects.insert(urn.clone(), Object { urn, is });
        Ok(())
    }

    /// A secret that stands there lies in its file: whoever reads that has it. The same secret elsewhere is the same.
    fn credential(&mut self, credential: &Credential) -> Result<(), BadUrn> {
        let mut attributes = BTreeMap::from([
            ("kind".to_owned(), json!(credential.kind)),
            ("reference".to_owned(), json!(credential.reference)),
        ]);
        put(&mut attributes, "type", credential.native_type.as_ref());
        let name = credential.name.as_deref().unwrap_or(credential.kind);
        self.add(&credential.id, name, &credential.source, attributes)?;
        let urn = self.urn(&credential.id)?;
        let file = Urn::new(self.source, self.scope, NodeKind::CodeLocation, &credential.source.path)?;
        if credential.reference == Reference::Literal {
            let place = ObjectBody {
                name: credential.source.path.clone(),
                within: Some(credential.source.path.clone()),
                ..ObjectBody::default()
            };
            self.objects.entry(file.clone()).or_insert_with(|| Object { urn: file.clone(), is: place });
        }
        let Some(object) = self.objects.get_mut(&urn) else { return Ok(()) };
        if credential.reference == Reference::Literal {
            object.is.edges.insert(Link { kind: EdgeKind::FoundIn, to: file });
        }
        object.is.keys.extend(credential.fingerprint.map(|fingerprint| format!("fingerprint:{fingerprint}")));
        Ok(())
    }

    /// Something that is only referred to.
    fn mention(&mut self, id: &str, urn: &Urn, unresolved: bool) {
        let name = id.split_once(':').map_or(id, |(_, rest)| rest).to_owned();
        // A place in a file is missed with its file.
        let within = name.split_once('#').map(|(path, _)| path.to_owned());
        let attributes =
            if unresolved { BTreeMap::from([("unresolved".to_owned(), json!(true))]) } else { BTreeMap::new() };
        let is = ObjectBody { name, within, attributes, ..ObjectBody::default() };
        self.objects.entry(urn.clone()).or_insert_with(|| Object { urn: urn.clone(), is });
    }
}

fn with(mut attributes: BTreeMap<String, Value>, name: &str, value: &str) -> BTreeMap<String, Value> {
    if !value.is_empty() {
        attributes.insert(name.to_owned(), json!(value));
    }
    attributes
}

/// The key of whatever is spoken to at this address.
#[must_use]
pub fn endpoint(url: &str) -> String {
    format!("endpoint:{}", url.split(['?', '#']).next().unwrap_or(url).trim_end_matches('/'))
}

/// How bad it is when a rule of the scan is broken.
fn severity(rule: &str) -> Severity {
    match rule {
        "SEC-1" | "OVP-1" | "CLD-1" => Severity::High,
        "AUT-4" => Severity::Low,
        _ => Severity::Medium,
    }
}

/// The words of the scan for what the inventory has another word for.
fn kind(word: &str) -> NodeKind {
    match word {
        "server" => NodeKind::McpServer,
        "workload" | "workflow" => NodeKind::Runtime,
        "cluster_role" => NodeKind::Role,
        _ => NodeKind::parse(word).unwrap_or(NodeKind::Resource),
    }
}
