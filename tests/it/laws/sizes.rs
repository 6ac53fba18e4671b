//! Small functions, small files, small crates.

use std::collections::BTreeMap;

use super::scan::{self, Function};
use super::tree::File;
use super::{none, tree};

const MEDIAN_FUNCTION: usize = 9;
const LARGE_FUNCTION: usize = 90;
const LARGEST_FUNCTION: usize = 100;
const LARGE_FILE: usize = 500;
const LARGEST_FILE: usize = 1_000;
const LARGEST_CRATE: usize = 15_000;

/// The value below which `share` percent of the others lie.
fn percentile(mut values: Vec<usize>, share: usize) -> usize {
    values.sort_unstable();
    values.get((values.len() * share / 100).min(values.len().saturating_sub(1))).copied().unwrap_or(0)
}

fn product(files: &[File]) -> impl Iterator<Item = &File> {
    files.iter().filter(|file| !tree::is_test(&file.path) && !generated(file))
}

fn generated(file: &File) -> bool {
    file.text.lines().take(3).any(|line| line.contains("@generated"))
}

fn function_breaches(files: &[File]) -> Vec<String> {
    let each =
        |file: &File| scan::functions(&file.text).into_iter().map(|f| (file.path.clone(), f)).collect::<Vec<_>>();
    let all: Vec<(String, Function)> = product(files).flat_map(each).filter(|(_, f)| !f.test).collect();
    let sizes = || all.iter().map(|(_, f)| f.lines).collect::<Vec<_>>();
    let mut found: Vec<String> = all
        .iter()
        .filter(|(_, f)| f.lines > LARGEST_FUNCTION)
        .map(|(path, f)| format!("{path}:{} `{}` has {} lines, over {LARGEST_FUNCTION}", f.line, f.name, f.lines))
        .collect();
    let (median, large) = (percentile(sizes(), 50), percentile(sizes(), 99));
    if median > MEDIAN_FUNCTION {
        found.push(format!("the median function has {median} lines, over {MEDIAN_FUNCTION}"));
    }
    if large > LARGE_FUNCTION {
        found.push(format!("one function of a hundred has {large} lines or more, over {LARGE_FUNCTION}"));
    }
    eprintln!("{} functions: median {median} lines, p99 {large}", all.len());
    found
}

fn file_breaches(files: &[File]) -> Vec<String> {
    let length = |file: &File| scan::test_line(&file.text);
    let over = product(files).filter(|file| length(file) > LARGEST_FILE);
    let mut found: Vec<String> =
        over.map(|f| format!("{} has {} lines, over {LARGEST_FILE}", f.path, length(f))).collect();
    let large = percentile(product(files).map(length).collect(), 90);
    if large > LARGE_FILE {
        found.push(format!("one file of ten has {large} lines or more, over {LARGE_FILE}"));
    }
    found
}

fn crate_breaches(files: &[File]) -> Vec<String> {
    let mut sizes = BTreeMap::<&str, usize>::new();
    for file in product(files) {
        let room = file.path.split('/').nth(1).unwrap_or_default();
        *sizes.entry(room).or_default() += scan::test_line(&file.text);
    }
    let over = sizes.into_iter().filter(|(_, lines)| *lines > LARGEST_CRATE);
    over.map(|(room, lines)| format!("`{room}` has {lines} lines, over {LARGEST_CRATE}")).collect()
}

fn made(path: &str, text: String) -> Vec<File> {
    vec![File { path: path.to_owned(), text }]
}

#[test]
fn functions_are_short() {
    none("functions:", &function_breaches(&tree::rust()));
}

#[test]
fn files_are_short() {
    none("files:", &file_breaches(&tree::rust()));
}

#[test]
fn crates_are_small() {
    none("crates:", &crate_breaches(&tree::rust()));
}

#[test]
fn large_things_are_seen() {
    let long = format!("fn long() {{\n{}}}\n", "    step();\n".repeat(LARGEST_FUNCTION));
    assert_eq!(function_breaches(&made("crates/a/src/a.rs", long.clone())).len(), 3);
    assert_eq!(function_breaches(&made("tests/it/a.rs", long)).len(), 0);
    let lines = "// a line\n";
    assert_eq!(file_breaches(&made("crates/a/src/a.rs", lines.repeat(LARGEST_FILE + 1))).len(), 2);
    assert_eq!(crate_breaches(&made("crates/a/src/a.rs", lines.repeat(LARGEST_CRATE + 1))).len(), 1);
}

/// A report, not a law: the share is the field's, and a young tree may stand beside it.
#[test]
fn the_share_of_tests_is_told() {
    let files = tree::rust();
    let all: usize = files.iter().map(|f| f.text.lines().count()).sum();
    let product: usize = product(&files).map(|f| scan::test_line(&f.text)).sum();
    let share = 100 * (all - product) / all.max(1);
    eprintln!("tests are {share} % of {all} lines (the field: 35-50 %)");
    assert!(share > 0, "no test code was found at all: the law is looking in the wrong place");
}
