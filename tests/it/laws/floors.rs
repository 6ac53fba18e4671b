//! The floor table of ARCHITECTURE.md is what cargo sees.

use std::collections::{BTreeMap, BTreeSet};

use super::{none, tree};

/// A row of the table.
struct Row {
    floor: u32,
    stands_on: BTreeSet<String>,
    names: BTreeSet<String>,
}

type Table = BTreeMap<String, Row>;
/// Crate, and the dependencies its manifest states.
type Actual = BTreeMap<String, BTreeSet<String>>;

fn table(text: &str) -> Table {
    let (_, rest) = text.split_once("<!-- floors: begin").expect("ARCHITECTURE.md marks the floor table");
    let (table, _) = rest.split_once("<!-- floors: end -->").expect("the floor table has an end");
    table.lines().filter_map(row).collect()
}

fn row(line: &str) -> Option<(String, Row)> {
    let cells: Vec<&str> = line.trim().strip_prefix('|')?.split('|').map(str::trim).collect();
    let floor = cells.first()?.parse().ok()?;
    let list = |i: usize| cells[i].split(',').map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned).collect();
    Some((cells[1].to_owned(), Row { floor, stands_on: list(2), names: list(3) }))
}

fn short(name: &str) -> String {
    name.strip_prefix("chancery-").unwrap_or(name).to_owned()
}

fn actual() -> Actual {
    let dependencies = |package: &tree::Package| package.dependencies.iter().map(named).collect();
    tree::workspace().iter().map(|package| (short(&package.name), dependencies(package))).collect()
}

/// Our own crates are marked with a leading dot, so that no other crate can be taken for one.
fn named(dependency: &tree::Dependency) -> String {
    if dependency.path.is_some() { format!(".{}", short(&dependency.name)) } else { dependency.name.clone() }
}

fn breaches(table: &Table, actual: &Actual) -> Vec<String> {
    let mut found = Vec::new();
    for name in actual.keys().filter(|name| !table.contains_key(*name)) {
        found.push(format!("crate `{name}` has no row"));
    }
    for (name, row) in table {
        match actual.get(name) {
            None => found.push(format!("row `{name}` has no crate")),
            Some(dependencies) => found.extend(row_breaches(table, name, row, dependencies)),
        }
    }
    found
}

fn row_breaches(table: &Table, name: &str, row: &Row, dependencies: &BTreeSet<String>) -> Vec<String> {
    let ours: BTreeSet<String> = dependencies.iter().filter_map(|d| d.strip_prefix('.')).map(str::to_owned).collect();
    let exclusive = |d: &&String| table.values().any(|row| row.names.contains(*d));
    let mut found = Vec::new();
    for below in ours.difference(&row.stands_on) {
        found.push(format!("`{name}` stands on `{below}`, which its row does not allow"));
    }
    for below in row.stands_on.iter().filter(|below| table.get(*below).is_none_or(|b| b.floor >= row.floor)) {
        found.push(format!("`{name}` on floor {} may not stand on `{below}`: it is not on a lower floor", row.floor));
    }
    for dependency in dependencies.iter().filter(exclusive).filter(|d| !row.names.contains(*d)) {
        found.push(format!("`{name}` names `{dependency}`, which belongs to others"));
    }
    found
}

#[test]
fn the_floor_table_is_what_cargo_sees() {
    none("the floor table of ARCHITECTURE.md:", &breaches(&table(&tree::read("ARCHITECTURE.md")), &actual()));
}

#[test]
fn a_wrong_arrow_is_seen() {
    let table = table(
        "<!-- floors: begin\n| 0 | model | | minicbor |\n| 1 | store | model | sqlx |\n| 1 | side | store | |\n\
         | 2 | gone | | |\n<!-- floors: end -->",
    );
    let dependencies = |list: &[&str]| list.iter().map(|d| (*d).to_owned()).collect::<BTreeSet<_>>();
    let actual = Actual::from([
        ("model".into(), dependencies(&["minicbor", ".store"])),
        ("store".into(), dependencies(&[".model", "sqlx", "minicbor"])),
        ("side".into(), dependencies(&["sqlx"])),
        ("new".into(), dependencies(&[])),
    ]);
    let found = breaches(&table, &actual);
    let expected = [
        "crate `new` has no row",
        "row `gone` has no crate",
        "`model` stands on `store`, which its row does not allow",
        "`side` on floor 1 may not stand on `store`: it is not on a lower floor",
        "`side` names `sqlx`, which belongs to others",
        "`store` names `minicbor`, which belongs to others",
    ];
    assert_eq!(found.iter().collect::<BTreeSet<_>>(), expected.map(str::to_owned).iter().collect());
}

#[test]
fn every_crate_obeys_the_lints_of_the_house() {
    let lints = |package: &tree::Package| {
        let manifest = std::fs::read_to_string(&package.manifest_path).expect("a manifest");
        let manifest: toml::Table = manifest.parse().expect("TOML");
        manifest.get("lints").and_then(|l| l.get("workspace")).and_then(toml::Value::as_bool) == Some(true)
    };
    let outside = tree::workspace().into_iter().filter(|package| !lints(package)).map(|package| package.name);
    none("crates without `[lints] workspace = true`:", &outside.collect::<Vec<_>>());
    let root: toml::Table = tree::read("Cargo.toml").parse().expect("TOML");
    assert_eq!(root["workspace"]["lints"]["rust"]["unsafe_code"].as_str(), Some("forbid"));
    for lint in ["unwrap_used", "expect_used", "panic", "allow_attributes", "disallowed_methods"] {
        assert_eq!(root["workspace"]["lints"]["clippy"][lint].as_str(), Some("deny"), "clippy::{lint}");
    }
}
