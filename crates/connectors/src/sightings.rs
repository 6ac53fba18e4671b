//! What a shape says while it reads one file.

use crate::fingerprint::FingerprintKey;
use crate::join::{End, Joins};
use crate::reference::{Reference, has_form_of_secret, looks_secret, without_scheme};
use crate::report::{Credential, Edge, Finding, Identity, Report, Server, Source};

/// The report, seen from one file.
pub(crate) struct Sightings<'a> {
    pub path: &'a str,
    pub report: &'a mut Report,
    pub joins: &'a mut Joins,
    key: &'a FingerprintKey,
}

/// The rules that files alone can break.
const LITERAL_SECRET: (&str, &[&str]) = ("SEC-1", &["NHI2", "ASI04"]);

impl<'a> Sightings<'a> {
    pub fn new(path: &'a str, report: &'a mut Report, joins: &'a mut Joins, key: &'a FingerprintKey) -> Self {
        Self { path, report, joins, key }
    }

    /// Where `pointer` is.
    pub fn at(&self, pointer: &str) -> Source {
        Source { path: self.path.to_owned(), pointer: pointer.to_owned() }
    }

    /// The id of a thing of this file.
    pub fn id(&self, kind: &str, pointer: &str) -> String {
        format!("{kind}:{}#{pointer}", self.path)
    }

    /// An identity about which nothing more is known yet.
    pub fn identity(&self, kind: &'static str, name: &str, framework: &'static str, pointer: &str) -> Identity {
        Identity {
            id: self.id(kind, pointer),
            kind,
            name: name.to_owned(),
            framework,
            source: self.at(pointer),
            model: None,
            tools: Vec::new(),
            credentials: Vec::new(),
            owner_hints: Vec::new(),
        }
    }

    /// Has it written down, with the edges to its credentials.
    pub fn saw_identity(&mut self, identity: Identity) {
        for credential in &identity.credentials {
            self.edge(&identity.id, "uses_credential", credential.clone());
        }
        self.report.identities.push(identity);
    }

    /// Has it written down, with the edges to its credentials.
    pub fn saw_server(&mut self, server: Server) {
        for credential in &server.credentials {
            self.edge(&server.id, "uses_credential", credential.clone());
        }
        self.report.servers.push(server);
    }

    /// An edge whose ends are known.
    pub fn edge(&mut self, from: &str, kind: &'static str, to: String) {
        self.report.edges.push(Edge { from: from.to_owned(), kind, to, unresolved: false });
    }

    /// An edge to something that another file may hold.
    pub fn edge_to(&mut self, from: &str, kind: &'static str, to: End) {
        self.joins.edge(self.path, End::Id(from.to_owned()), kind, to);
    }

    /// Something that is wrong.
    pub fn finding(
        &mut self,
        rule: (&'static str, &'static [&'static str]),
        subject: &str,
        at: &str,
        evidence: String,
    ) {
        let source = self.at(at);
        let (rule, owasp) = rule;
        self.report.findings.push(Finding { rule, subject: subject.to_owned(), evidence, owasp, source });
    }

    /// A credential that is somewhere else.
    pub fn referred(&mut self, kind: &'static str, reference: Reference, name: &str, at: &str) -> String {
        self.credential(Credential {
            id: self.id("credential", at),
            kind,
            reference,
            name: Some(name.to_owned()),
            native_type: None,
            fingerprint: None,
            source: self.at(at),
        })
    }

    /// Has it written down; the same place twice is one credential.
    pub fn credential(&mut self, credential: Credential) -> String {
        let id = credential.id.clone();
        if credential.reference == Reference::Literal {
            let name = credential.name.as_deref().unwrap_or("a value");
            let evidence = format!("`{name}` stands in `{}` in clear", self.path);
            self.finding(LITERAL_SECRET, &id, &credential.source.pointer, evidence);
        }
        self.report.credentials.push(credential);
        id
    }

    /// What a field of this name and value holds, if it is a secret or refers to one.
    pub fn field(&mut self, name: &str, value: &str, at: &str) -> Option<String> {
        let reference = Reference::of(value);
        let by_form = (reference == Reference::Literal).then(|| has_form_of_secret(value)).flatten();
        // A prompt for input is there because nobody may write it down.
        let by_input = (reference == Reference::Input).then_some("api_key");
        let kind = looks_secret(name).or(by_form).or(by_input)?;
        if kind == "connection_string" && !has_password(value) && reference == Reference::Literal {
            return None;
        }
        Some(self.stated(kind, reference, name, value, at))
    }

    /// A credential of this kind with this value.
    pub fn stated(&mut self, kind: &'static str, reference: Reference, name: &str, value: &str, at: &str) -> String {
        let literal = reference == Reference::Literal;
        self.credential(Credential {
            id: self.id("credential", at),
            kind,
            reference,
            name: Some(name.to_owned()),
            native_type: None,
            fingerprint: literal.then(|| self.key.of(without_scheme(value.trim()))),
            source: self.at(at),
        })
    }
}

/// `scheme://user:password@host`.
pub(crate) fn has_password(url: &str) -> bool {
    password(url).is_some()
}

/// The password in an address.
pub(crate) fn password(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (user, _) = authority.rsplit_once('@')?;
    let (_, password) = user.split_once(':')?;
    (!password.is_empty()).then_some(password)
}
