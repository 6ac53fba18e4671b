//! A policy directory: what is read from it, and what the command line does with it.
//!
//! Cedar's own layout: `*.cedar` (policies and templates, each with an `@id`), `*.cedarschema`, `entities.json`,
//! `tests/*.json` in the shape of Cedar's `run-tests`; and `meters.json`. Everything else is left alone.

use std::collections::BTreeMap;
use std::fs::FileType;
use std::io;
use std::path::{Path, PathBuf};

use chancery_model::problem::{POLICY_SYNTAX, POLICY_TEST};
use serde::{Deserialize, Serialize};

use crate::{Diagnostic, Severity, Snapshot, Sources};

mod run;

pub use run::{Ran, test};

/// How the names of files end that decide something, or test it.
const ENDINGS: [&str; 3] = ["cedar", "cedarschema", "json"];

/// The files of a policy directory: path within it (with `/`) -> content. Kept with decisions, so that a later
/// explanation reads the policies as they were.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files(pub BTreeMap<String, String>);

impl Files {
    /// Reads a directory and its subdirectories. Symbolic links are not followed. Whatever looks as if it were a part
    /// of the set and cannot be read as one is an error: a rule must not be left out without a word.
    pub fn read(directory: &Path) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        read_into(directory, directory, &mut files)?;
        Ok(Self(files))
    }

    fn with(&self, wanted: impl Fn(&str) -> bool) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter(move |(name, _)| wanted(name)).map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// The policy files.
    pub fn policies(&self) -> impl Iterator<Item = (&str, &str)> {
        self.with(|name| name.ends_with(".cedar"))
    }

    /// The schema fragments.
    pub fn schemas(&self) -> impl Iterator<Item = (&str, &str)> {
        self.with(|name| name.ends_with(".cedarschema"))
    }

    /// The test files.
    pub fn tests(&self) -> impl Iterator<Item = (&str, &str)> {
        self.with(|name| name.ends_with(".json") && name.split('/').rev().nth(1) == Some("tests"))
    }

    /// `entities.json`.
    pub fn entities(&self) -> Option<&str> {
        self.0.get("entities.json").map(String::as_str)
    }

    /// `meters.json`.
    pub fn meters(&self) -> Option<&str> {
        self.0.get(crate::load::METERS_FILE).map(String::as_str)
    }

    /// The bytes that a version of the policy set is the digest of: every file that decides anything.
    pub fn canonical(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let entities = self.entities().map(|text| ("entities.json", text));
        let meters = self.meters().map(|text| (crate::load::METERS_FILE, text));
        for (name, text) in self.schemas().chain(self.policies()).chain(entities).chain(meters) {
            for part in [name, text] {
                bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
                bytes.extend_from_slice(part.as_bytes());
            }
        }
        bytes
    }
}

fn read_into(root: &Path, directory: &Path, files: &mut BTreeMap<String, String>) -> io::Result<()> {
    let mut entries = std::fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let shown = path.strip_prefix(root).unwrap_or(&path);
        let told = |e: io::Error| io::Error::new(e.kind(), format!("`{}`: {e}", shown.display()));
        let kind = entry.file_type().map_err(told)?;
        if kind.is_dir() {
            read_into(root, &path, files)?;
        } else if kind.is_symlink() && leads_to_directory(&path).map_err(told)? {
            return Err(told(refused("is a symbolic link to a directory: links are not followed, put the files here")));
        } else if is_ours(&path) {
            let name = named(shown, kind).map_err(told)?;
            files.insert(name, std::fs::read_to_string(&path).map_err(told)?);
        }
    }
    Ok(())
}

fn leads_to_directory(link: &Path) -> io::Result<bool> {
    match std::fs::metadata(link) {
        Ok(target) => Ok(target.is_dir()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// The name of a file of ours, if it can be one.
fn named(shown: &Path, kind: FileType) -> io::Result<String> {
    if kind.is_symlink() {
        return Err(refused("is a symbolic link: links are not followed, put the file itself here"));
    }
    if !kind.is_file() {
        return Err(refused("is not a file"));
    }
    let exact = shown.extension().is_some_and(|end| ENDINGS.iter().any(|ours| end == *ours));
    match shown.to_str() {
        Some(name) if exact => Ok(name.replace('\\', "/")),
        Some(_) => Err(refused("has an ending that is ours but for capital letters: write it small")),
        None => Err(refused("has a name that is not UTF-8")),
    }
}

fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

/// Does it look like a file of ours, in small letters or others?
fn is_ours(path: &Path) -> bool {
    path.extension().is_some_and(|end| ENDINGS.iter().any(|ours| end.eq_ignore_ascii_case(ours)))
}

/// Checks a directory as loading it would. Where the tools of a running server are not at hand, policies about
/// tools of `sources.servers` wait, which is a warning. No error means it would come into force.
pub fn check(sources: &Sources<'_>) -> Vec<Diagnostic> {
    match Snapshot::build(sources) {
        Ok(snapshot) => snapshot.warnings().to_vec(),
        Err(problems) => problems,
    }
}

/// The schema that every policy directory starts from.
pub const BASE_SCHEMA: &str = crate::schema::BASE;

/// The schema a directory is checked against, as Cedar writes it: the base, its own files, the tools' actions.
pub fn schema(sources: &Sources<'_>) -> String {
    let none = |_: &str| false;
    // What is wrong with the meters is for `check` to say.
    let meters = crate::load::meters(sources, &mut Vec::new());
    crate::schema::written(sources.files, &crate::tools::generate(sources.tools, none).fragment, &meters)
}

/// One policy file that is not written as the formatter writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unformatted {
    /// The file, relative to the directory.
    pub file: String,
    /// Its content, formatted.
    pub formatted: String,
}

/// The policy files that the formatter would change. Files that cannot be parsed are errors.
pub fn unformatted(files: &Files) -> Result<Vec<Unformatted>, Vec<Diagnostic>> {
    let config = cedar_policy_formatter::Config { line_width: 100, indent_width: 2 };
    let (mut changed, mut problems) = (Vec::new(), Vec::new());
    for (name, text) in files.policies() {
        if let Some(problem) = crate::nesting::too_deep(name, text) {
            problems.push(problem);
            continue;
        }
        match cedar_policy_formatter::policies_str_to_pretty(text, &config) {
            Ok(formatted) if formatted == text => {}
            Ok(formatted) => changed.push(Unformatted { file: name.to_owned(), formatted }),
            Err(_) => problems.extend(crate::load::syntax(name, text)),
        }
    }
    if problems.is_empty() { Ok(changed) } else { Err(problems) }
}

/// Formats the policy files of a directory in place and names those that changed; with `write` off it only names
/// them.
pub fn fmt(directory: &Path, write: bool) -> io::Result<Result<Vec<String>, Vec<Diagnostic>>> {
    let files = Files::read(directory)?;
    let changed = match unformatted(&files) {
        Ok(changed) => changed,
        Err(problems) => return Ok(Err(problems)),
    };
    for file in changed.iter().filter(|_| write) {
        std::fs::write(directory.join(PathBuf::from(&file.file)), &file.formatted)?;
    }
    Ok(Ok(changed.into_iter().map(|file| file.file).collect()))
}

/// Does any of these keep the directory from being used?
pub fn fatal(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|d| d.severity == Severity::Error)
}

pub(crate) fn unreadable(file: &str, error: &serde_json::Error) -> Diagnostic {
    let mut problem = Diagnostic::error(file, POLICY_SYNTAX, error.to_string());
    (problem.line, problem.column) = (error.line(), error.column());
    problem
}

pub(crate) fn failed(file: &str, message: String) -> Diagnostic {
    Diagnostic::error(file, POLICY_TEST, message)
}
