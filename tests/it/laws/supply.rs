//! What may come into the build: bans, licences and sources, as deny.toml states them.

use std::collections::BTreeSet;

use super::tree::Package;
use super::{none, tree};

/// The one registry, as Cargo.lock names it whatever mirror serves it.
const REGISTRY: &str = concat!("registry+https://github.com/rust-lang/crates", ".io-index");

struct Rules {
    licences: BTreeSet<String>,
    banned: Vec<(String, String)>,
}

fn rules() -> Rules {
    let deny: toml::Table = tree::read("deny.toml").parse().expect("deny.toml is TOML");
    let text = |value: &toml::Value| value.as_str().expect("a string").to_owned();
    let licences = deny["licenses"]["allow"].as_array().expect("a list").iter().map(text).collect();
    let banned = deny["bans"]["deny"].as_array().expect("a list").iter();
    Rules { licences, banned: banned.map(|ban| (text(&ban["name"]), text(&ban["reason"]))).collect() }
}

/// Is there a way to satisfy this SPDX expression with allowed licences alone?
/// `AND` binds tighter than `OR`; the old slash means `OR`.
fn licensed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    either(&words, &mut at, allowed) && at == words.len()
}

fn either(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut fine = both(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        fine |= both(words, at, allowed);
    }
    fine
}

fn both(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut fine = one(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        fine &= one(words, at, allowed);
    }
    fine
}

fn one(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let Some(word) = words.get(*at) else { return false };
    *at += 1;
    if *word == "(" {
        let fine = either(words, at, allowed);
        *at += 1;
        return fine;
    }
    let mut name = (*word).to_owned();
    if words.get(*at) == Some(&"WITH") {
        name = format!("{name} WITH {}", words.get(*at + 1).unwrap_or(&""));
        *at += 2;
    }
    allowed.contains(&name)
}

fn breaches(packages: &[Package], rules: &Rules) -> Vec<String> {
    packages.iter().flat_map(|package| package_breaches(package, rules)).collect()
}

fn package_breaches(package: &Package, rules: &Rules) -> Vec<String> {
    let mut found = Vec::new();
    let name = format!("{} {}", package.name, package.version);
    if let Some((_, why)) = rules.banned.iter().find(|(banned, _)| *banned == package.name) {
        found.push(format!("{name} is banned: {why}"));
    }
    let Some(source) = &package.source else { return found };
    if source != REGISTRY {
        found.push(format!("{name} comes from {source}"));
    }
    match &package.license {
        Some(licence) if licensed(licence, &rules.licences) => {}
        licence => found.push(format!("{name}: licence {licence:?} {:?}", package.license_file)),
    }
    found
}

#[test]
fn what_comes_into_the_build_is_allowed() {
    let packages = tree::everything();
    assert!(packages.len() > 100, "only {} packages: the law is looking in the wrong place", packages.len());
    none("deny.toml:", &breaches(&packages, &rules()));
}

/// What the lock file names though no platform builds it: cargo writes down what a weak feature (`ring?/alloc`) mentions.
/// The package, and the one package that mentions it.
const MENTIONED: &[(&str, &str)] = &[("ring", "rustls-webpki")];

/// Does the lock file name this package for more than a weak feature?
fn is_locked_in(name: &str, packages: &[toml::Value]) -> bool {
    let depends = |package: &&toml::Value| {
        let on = package.get("dependencies").and_then(toml::Value::as_array);
        on.is_some_and(|on| on.iter().filter_map(toml::Value::as_str).any(|d| d.split(' ').next() == Some(name)))
    };
    let mut by = packages.iter().filter(depends).filter_map(|package| package["name"].as_str());
    !by.all(|by| MENTIONED.contains(&(name, by)))
}

/// The lock file holds other platforms too.
#[test]
fn the_lock_file_holds_nothing_banned() {
    let lock: toml::Table = tree::read("Cargo.lock").parse().expect("TOML");
    let packages = lock["package"].as_array().expect("a list");
    let banned = rules().banned;
    let banned: Vec<_> = banned.into_iter().filter(|(name, _)| is_locked_in(name, packages)).collect();
    let hit = |name: &str| banned.iter().find(|(banned, _)| banned == name).map(|(_, why)| format!("{name}: {why}"));
    let found = packages.iter().filter_map(|package| hit(package["name"].as_str()?));
    none("Cargo.lock:", &found.collect::<Vec<_>>());
    let foreign = packages.iter().filter_map(|p| p.get("source")?.as_str()).filter(|source| *source != REGISTRY);
    none("sources in Cargo.lock:", &foreign.map(str::to_owned).collect::<Vec<_>>());
}

#[test]
fn what_is_not_allowed_is_seen() {
    let package = |name: &str, licence: &str, source: &str| Package {
        name: name.to_owned(),
        version: "1.0.0".to_owned(),
        license: Some(licence.to_owned()),
        license_file: None,
        source: Some(source.to_owned()),
        manifest_path: String::new(),
        dependencies: Vec::new(),
    };
    let packages = [
        package("fine", "MIT/Apache-2.0", REGISTRY),
        package("ring", "ISC", REGISTRY),
        package("viral", "AGPL-3.0 AND (MIT OR Apache-2.0)", REGISTRY),
        package("stray", "MIT", "git+https://example.org/stray"),
    ];
    assert_eq!(breaches(&packages, &rules()).len(), 3);
}

#[test]
fn licence_expressions_are_understood() {
    let allowed = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned).into();
    for fine in ["MIT", "GPL-3.0 OR MIT", "(MIT OR GPL-3.0) AND Apache-2.0", "Apache-2.0 WITH LLVM-exception"] {
        assert!(licensed(fine, &allowed), "{fine}");
    }
    for refused in ["GPL-3.0", "MIT AND GPL-3.0", "GPL-3.0 AND GPL-2.0 OR BSD", "MIT WITH Odd-exception", "", "MIT MIT"]
    {
        assert!(!licensed(refused, &allowed), "{refused}");
    }
}
