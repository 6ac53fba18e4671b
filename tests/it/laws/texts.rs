//! What may not stand in any tracked file.

use super::tree::File;
use super::{none, tree};

/// A text that no file may hold, written in two halves so that this file does not hold it either.
struct Forbidden {
    text: String,
    why: &'static str,
    only: fn(&str) -> bool,
}

fn rust(path: &str) -> bool {
    path.ends_with(".rs")
}

fn code(path: &str) -> bool {
    [".rs", ".py", ".mjs", ".js", ".ts", ".tsx", ".cedar", ".toml", ".sql"].iter().any(|end| path.ends_with(end))
}

fn any(path: &str) -> bool {
    path != "Cargo.lock"
}

fn forbidden() -> Vec<Forbidden> {
    let mut list = Vec::new();
    let mut ban = |halves: [&str; 2], why, only| list.push(Forbidden { text: halves.concat(), why, only });
    ban(["#[al", "low("], "an exception is `#[expect(…, reason = …)]`", rust);
    ban(["#![al", "low("], "an exception is `#![expect(…, reason = …)]`", rust);
    ban(["#[ig", "nore"], "a test that does not run proves nothing", rust);
    ban(["assert!(tr", "ue"], "a test that cannot fail proves nothing", rust);
    ban(["TO", "DO"], "finish it, or file it", code);
    ban(["FIX", "ME"], "finish it, or file it", code);
    ban(["XX", "X:"], "finish it, or file it", code);
    ban(["to", "do!("], "finish it", rust);
    ban(["unimple", "mented!("], "finish it", rust);
    for host in
        [["crates", ".io"], ["npmjs", ".org"], ["pypi", ".org"], ["pythonhosted", ".org"], ["debian", ".org/debian"]]
    {
        ban(host, "packages are named, not their registry's host", any);
    }
    ban(["/wo", "rk/"], "a path of one workplace", any);
    ban(["/ro", "ot/"], "a path of one workplace", any);
    ban(["/ho", "me/"], "a path of one workplace", any);
    list
}

fn breaches(files: &[File]) -> Vec<String> {
    let list = forbidden();
    let in_line = |path: &str, at: usize, line: &str| {
        let hit = list.iter().find(|ban| (ban.only)(path) && line.contains(&ban.text))?;
        Some(format!("{path}:{} `{}`: {}", at + 1, hit.text, hit.why))
    };
    let in_file = |file: &File| {
        file.text.lines().enumerate().filter_map(|(at, line)| in_line(&file.path, at, line)).collect::<Vec<_>>()
    };
    files.iter().flat_map(in_file).collect()
}

/// A corpus of hostile input brings its own words.
fn ours(file: &File) -> bool {
    !file.path.contains("/corpus/") && !file.path.contains("/corpora/") && !file.path.contains("/fixtures/")
}

#[test]
fn nothing_unfinished_and_nothing_of_one_workplace_is_written() {
    let files: Vec<File> = tree::files().into_iter().filter(ours).collect();
    assert!(files.iter().any(|file| file.path == "Cargo.toml"), "the law is looking in the wrong place");
    none("forbidden texts:", &breaches(&files));
}

#[test]
fn every_forbidden_text_is_seen() {
    for ban in forbidden() {
        let file = File { path: "crates/a/src/a.rs".to_owned(), text: format!("fine\n{}x)\n", ban.text) };
        assert_eq!(breaches(&[file]).len(), 1, "{}", ban.text);
    }
}

#[test]
fn lock_files_name_no_host() {
    let named = |file: &File| file.text.lines().filter(|line| line.contains("\"resolved\": \"http")).count();
    let locks = tree::files().into_iter().filter(|file| file.path.ends_with("package-lock.json"));
    let found = locks.filter(|file| named(file) > 0).map(|file| format!("{} names a registry's host", file.path));
    none("npm lock files (set omit-lockfile-registry-resolved=true):", &found.collect::<Vec<_>>());
}
