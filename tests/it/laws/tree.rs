//! What is in the tree: tracked files, and the crates as cargo sees them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

/// A tracked text file.
pub struct File {
    /// Path from the top, with slashes.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// The top of the repository.
pub fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Reads one file, named from the top.
pub fn read(path: &str) -> String {
    std::fs::read_to_string(top().join(path)).unwrap_or_else(|why| panic!("cannot read {path}: {why}"))
}

/// Every tracked or new file that is text.
pub fn files() -> Vec<File> {
    let listed = run("git", &["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let found: BTreeSet<&str> = listed.split('\0').filter(|path| !path.is_empty()).collect();
    found.into_iter().filter_map(text_file).collect()
}

/// Every tracked or new Rust file.
pub fn rust() -> Vec<File> {
    let all: Vec<_> = files().into_iter().filter(|file| file.path.ends_with(".rs")).collect();
    assert!(all.len() > 20, "only {} Rust files found: the law is looking in the wrong place", all.len());
    all
}

fn text_file(path: &str) -> Option<File> {
    let text = std::fs::read_to_string(top().join(path)).ok()?;
    Some(File { path: path.to_owned(), text })
}

/// Is this file there for tests only?
pub fn is_test(path: &str) -> bool {
    let folder = ["tests/", "crates/testkit/", "bench/", "xtask/", "fuzz/", "examples/"];
    folder.iter().any(|f| path.starts_with(f)) || path.contains("/tests/") || path.ends_with("/tests.rs")
}

/// A package as `cargo metadata` tells it.
#[derive(Deserialize)]
pub struct Package {
    pub name: String,
    pub version: String,
    pub license: Option<String>,
    pub license_file: Option<String>,
    pub source: Option<String>,
    pub manifest_path: String,
    pub dependencies: Vec<Dependency>,
}

/// A dependency as the manifest states it.
#[derive(Deserialize)]
pub struct Dependency {
    pub name: String,
    pub path: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

/// Our own crates.
pub fn workspace() -> Vec<Package> {
    metadata(&["--no-deps"])
}

/// Everything that is built on this platform. Metadata also names what only a weak feature (`name?/feature`) mentions;
/// the tree does not.
pub fn everything() -> Vec<Package> {
    let version = run("rustc", &["-vV"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host");
    let tree = ["tree", "--locked", "--offline", "--workspace", "--all-features", "--target", host];
    let listed = run(env!("CARGO"), &[&tree[..], &["--edges", "all", "--prefix", "none", "--format", "{p}"]].concat());
    let built: BTreeSet<_> = listed.lines().filter_map(name_and_version).collect();
    let mut packages = metadata(&["--filter-platform", host]);
    packages.retain(|package| built.contains(&(package.name.as_str(), package.version.as_str())));
    packages
}

/// Of a line such as `serde v1.0.228 (proc-macro)`.
fn name_and_version(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split(' ');
    Some((words.next()?, words.next()?.strip_prefix('v')?))
}

fn metadata(more: &[&str]) -> Vec<Package> {
    let arguments = [&["metadata", "--format-version", "1", "--locked", "--offline"], more].concat();
    let text = run(env!("CARGO"), &arguments);
    serde_json::from_str::<Metadata>(&text).expect("cargo metadata is JSON").packages
}

#[expect(clippy::disallowed_methods, reason = "the laws read the tree through git and cargo")]
fn run(program: &str, arguments: &[&str]) -> String {
    let done = Command::new(program).args(arguments).current_dir(top()).output();
    let done = done.unwrap_or_else(|why| panic!("cannot run {program}: {why}"));
    assert!(done.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("UTF-8")
}
