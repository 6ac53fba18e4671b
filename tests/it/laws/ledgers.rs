//! The ledgers in `docs/` claim only what a test shows: every test they name is there, and the table of features
//! has every row once. Links between documents lead somewhere.

use std::collections::BTreeSet;

use super::tree::{self, File};
use super::{none, scan};

const FEATURES: usize = 105;

/// One row of the table of features.
struct Feature<'a> {
    number: usize,
    state: &'a str,
    tests: Vec<&'a str>,
}

fn cells(line: &str) -> Option<Vec<&str>> {
    Some(line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect())
}

fn feature(line: &str) -> Option<Feature<'_>> {
    let cells = cells(line)?;
    let number = cells.first()?.parse().ok()?;
    Some(Feature { number, state: cells.get(2)?, tests: quoted(cells.get(3)?) })
}

/// What stands in backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn feature_breaches(page: &str, tests: &BTreeSet<String>) -> Vec<String> {
    let rows: Vec<Feature<'_>> = page.lines().filter_map(feature).collect();
    let mut found = Vec::new();
    let numbers: Vec<usize> = rows.iter().map(|row| row.number).collect();
    if numbers != (1..=FEATURES).collect::<Vec<_>>() {
        found.push(format!("the rows are not 1 to {FEATURES}, each once: {} rows", numbers.len()));
    }
    for row in &rows {
        match (row.state, row.tests.is_empty()) {
            ("yes" | "partial", true) => found.push(format!("row {} names no test", row.number)),
            ("no", false) => found.push(format!("row {} is `no` and names a test", row.number)),
            ("yes" | "partial" | "no", _) => {}
            (other, _) => found.push(format!("row {}: `{other}` is not yes, partial or no", row.number)),
        }
    }
    let named = rows.iter().flat_map(|row| row.tests.iter().map(move |test| (row.number, *test)));
    found.extend(
        named.filter(|(_, test)| !tests.contains(*test)).map(|(row, test)| format!("row {row}: no test `{test}`")),
    );
    found
}

/// The last column of every table row of the threat model.
fn threat_breaches(page: &str, tests: &BTreeSet<String>) -> Vec<String> {
    // Threats have numbers; known attacks have a letter before it.
    let is_row = |cell: &str| cell.trim_start_matches(['A', 'B']).starts_with(|c: char| c.is_ascii_digit());
    let rows = page.lines().filter_map(cells).filter(|cells| is_row(cells[0]));
    let named = rows.flat_map(|cells| {
        let last = cells.last().copied().unwrap_or_default();
        quoted(last).into_iter().map(|test| (cells[0].to_owned(), test.to_owned())).collect::<Vec<_>>()
    });
    named
        .filter(|(_, test)| !tests.contains(test))
        .map(|(row, test)| format!("threat {row}: no test `{test}`"))
        .collect()
}

/// The names of all tests.
fn test_names() -> BTreeSet<String> {
    tree::rust().iter().flat_map(|file| tests_in(&file.text)).collect()
}

/// The functions under `#[test]` or another attribute that ends in it.
fn tests_in(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let is_test = |line: &&str| line.starts_with("#[") && (line.contains("test]") || line.contains("::test("));
    let marked = lines.iter().enumerate().filter(|(_, line)| is_test(line)).map(|(at, _)| &lines[at + 1..]);
    let function = |rest: &[&str]| rest.iter().find(|line| !line.starts_with("#[")).and_then(|line| scan::name(line));
    marked.filter_map(function).collect()
}

fn dead_links(files: &[File]) -> Vec<String> {
    let pages = files.iter().filter(|file| file.path.ends_with(".md"));
    let dead = |file: &File| {
        let folder = tree::top().join(&file.path).parent().map(std::path::Path::to_path_buf).unwrap_or_default();
        let links = targets(&file.text).into_iter().filter(|link| !link.contains("://") && !link.starts_with('#'));
        let paths = links.map(|link| link.split('#').next().unwrap_or_default().to_owned());
        paths
            .filter(|path| !folder.join(path).exists())
            .map(|path| format!("{}: {path}", file.path))
            .collect::<Vec<_>>()
    };
    pages.flat_map(dead).collect()
}

/// The targets of `[text](target)`.
fn targets(text: &str) -> Vec<&str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect()
}

#[test]
fn the_ledgers_name_tests_that_are_there() {
    let tests = test_names();
    none("docs/features.md:", &feature_breaches(&tree::read("docs/features.md"), &tests));
    none("docs/threats.md:", &threat_breaches(&tree::read("docs/threats.md"), &tests));
}

#[test]
fn links_between_documents_lead_somewhere() {
    none("dead links:", &dead_links(&tree::files()));
}

#[test]
fn tests_are_found() {
    let text = "#[test]\nfn one() {}\n#[tokio::test(flavor = \"x\")]\n#[cfg(unix)]\nasync fn two() {}\nfn three() {}\n#[cfg(test)]\nmod t;\n";
    assert_eq!(tests_in(text), ["one", "two"]);
}

#[test]
fn a_false_claim_is_seen() {
    let tests = BTreeSet::from(["a_true_test".to_owned()]);
    let page = "| 1 | a | yes | `a_true_test` |\n| 2 | b | yes | |\n| 3 | c | no | `a_true_test` |\n| 4 | d | maybe | |\n\
                | 5 | e | partial | `gone` |\n";
    let found = feature_breaches(page, &tests);
    let expected = [
        "the rows are not 1 to 105, each once: 5 rows",
        "row 2 names no test",
        "row 3 is `no` and names a test",
        "row 4: `maybe` is not yes, partial or no",
        "row 5: no test `gone`",
    ];
    assert_eq!(found, expected);
    assert_eq!(
        threat_breaches("| 1 | x | `gone` |\n| 2 | `y` | `a_true_test` |\n| A6.1 | z | `lost` |\n", &tests),
        ["threat 1: no test `gone`", "threat A6.1: no test `lost`"]
    );
    let file =
        File { path: "README.md".into(), text: "[a](Cargo.toml) [b](nowhere.md#x) [c](https://example.org)".into() };
    assert_eq!(dead_links(&[file]), ["README.md: nowhere.md"]);
}
