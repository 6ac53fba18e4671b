//! Recall and precision on public corpora, against what a script of another language finds there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Scanner;
use crate::gateway::peers::{command, directory};

const BAR: f64 = 0.98;

/// The corpora, if they are anywhere above the workspace, and the truth about them.
fn corpora(what: &str) -> Option<(PathBuf, Value)> {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let Some(place) = above.map(|above| above.join("shared/data/corpora")).find(|path| path.is_dir()) else {
        println!("skipped: {what}: the public corpora are not at hand");
        return None;
    };
    let peers = directory(what)?;
    let script =
        command(&peers.join("venv/bin/python"), &peers, &["corpora.py", place.to_str().unwrap()]).output().unwrap();
    Some((place, serde_json::from_slice(&script.stdout).unwrap()))
}

/// What a corpus really holds, of one kind.
fn truth(truth: &Value, corpus: &str, kind: &str) -> BTreeSet<String> {
    let keys = truth[corpus][kind].as_array().unwrap();
    keys.iter().map(|key| key.as_str().unwrap().to_owned()).collect()
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The keys of those things of a list that have one.
fn keys(report: &Value, list: &str, key: impl Fn(&Value) -> Option<String>) -> BTreeSet<String> {
    report[list].as_array().unwrap().iter().filter_map(key).collect()
}

/// Prints recall and precision, and holds the bar.
fn compare(what: &str, truth: &BTreeSet<String>, found: &BTreeSet<String>) {
    let right = truth.intersection(found).count() as f64;
    let (recall, precision) = (right / truth.len() as f64, right / found.len() as f64);
    println!(
        "corpora: {what}: recall {recall:.4} ({} of {}), precision {precision:.4} ({} of {})",
        right,
        truth.len(),
        right,
        found.len()
    );
    let missing: Vec<_> = truth.difference(found).take(10).collect();
    let wrong: Vec<_> = found.difference(truth).take(10).collect();
    assert!(recall >= BAR && precision >= BAR, "{what}: missing {missing:#?}, wrong {wrong:#?}");
}

/// Every file that holds something, or that cannot be parsed, is spoken of: as the source of something, or as a gap.
fn no_silent_miss(corpus: &str, report: &Value, holding: &BTreeSet<String>) {
    let coverage = &report["coverage"];
    let gaps = coverage["gaps"].as_array().unwrap();
    let count = |field: &str| coverage[field].as_u64().unwrap();
    assert_eq!(count("files"), count("parsed") + count("irrelevant") + gaps.len() as u64, "{corpus}");
    let lists = ["identities", "servers", "credentials", "findings"];
    let sources =
        lists.iter().flat_map(|list| report[*list].as_array().unwrap()).map(|thing| text(thing, "/source/path"));
    let named: String = report["edges"].to_string();
    let spoken: BTreeSet<&str> = sources.chain(gaps.iter().map(|gap| text(gap, "/path"))).collect();
    let silent: Vec<_> =
        holding.iter().filter(|path| !spoken.contains(path.as_str()) && !named.contains(path.as_str())).collect();
    println!("corpora: {corpus}: {} files hold something, {} were passed over in silence", holding.len(), silent.len());
    assert!(silent.is_empty(), "{corpus}: {silent:#?}");
}

fn files(keys: &[&BTreeSet<String>]) -> BTreeSet<String> {
    let of = |key: &String| key.split(['#', '|']).next().unwrap_or_default().to_owned();
    keys.iter().flat_map(|set| set.iter().map(of)).collect()
}

/// `path#pointer` of an identity.
fn place(thing: &Value) -> String {
    format!("{}#{}", text(thing, "/source/path"), text(thing, "/source/pointer"))
}

fn named_place(thing: &Value, kind: &str) -> Option<String> {
    (thing["kind"] == kind).then(|| format!("{}|{}", place(thing), text(thing, "/name")))
}

#[test]
fn n8n_workflows_hold_the_agents_tools_models_and_credentials_that_are_found() {
    let Some((place_of, known)) = corpora("n8n workflows") else { return };
    let corpus = "n8n-templates";
    let report = Scanner::new().scan(&place_of.join(corpus));
    let truth = |kind| truth(&known, corpus, kind);
    compare("n8n agents", &truth("agents"), &keys(&report, "identities", |thing| named_place(thing, "ai_agent")));
    // `credential:FILE#n8n:TYPE:STORED` is how one of n8n's store is told apart.
    let stored = |id: &str| -> Option<String> {
        let (file, rest) = id.strip_prefix("credential:")?.split_once("#n8n:")?;
        let (kind, stored) = rest.split_once(':')?;
        Some(format!("{file}|{kind}|{stored}"))
    };
    let held =
        keys(&report, "credentials", |thing| (thing["reference"] == "store").then(|| stored(text(thing, "/id")))?);
    compare("n8n credentials", &truth("credentials"), &held);
    let edges = |kind: &str| report["edges"].as_array().unwrap().iter().filter(|edge| edge["kind"] == kind).count();
    let counted = [edges("uses_tool"), edges("uses_model"), edges("uses_memory")];
    assert_eq!(counted, [truth("tools").len(), truth("models").len(), truth("memories").len()]);
    let reach: BTreeSet<String> = report["edges"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|edge| {
            let (_, agent) = text(edge, "/from").strip_prefix("ai_agent:")?.split_once("#/nodes/")?;
            Some(format!("{agent}|{}", stored(text(edge, "/to"))?))
        })
        .collect();
    compare("n8n: credentials that agents reach", &truth("reach"), &reach);
    no_silent_miss(corpus, &report, &files(&[&truth("agents"), &truth("credentials"), &truth("unread")]));
}

#[test]
fn crewai_configurations_hold_the_agents_and_tasks_that_are_found() {
    let Some((place_of, known)) = corpora("crewAI configurations") else { return };
    let corpus = "crewai-examples";
    let report = Scanner::new().scan(&place_of.join(corpus));
    let truth = |kind| truth(&known, corpus, kind);
    compare("crewAI agents", &truth("agents"), &keys(&report, "identities", |thing| named_place(thing, "ai_agent")));
    let performs = keys(&report, "edges", |edge| {
        let (from, to) = (text(edge, "/from").strip_prefix("ai_agent:")?, text(edge, "/to").strip_prefix("task:")?);
        Some(format!("{from}|{to}"))
    });
    compare("crewAI tasks and who performs them", &truth("performs"), &performs);
    no_silent_miss(corpus, &report, &files(&[&truth("agents"), &truth("performs")]));
}

#[test]
fn mcp_registries_list_the_servers_and_credentials_that_are_found() {
    let Some((place_of, known)) = corpora("MCP registries") else { return };
    let docker = Scanner::new().scan(&place_of.join("docker-mcp-registry"));
    let servers = keys(&docker, "servers", |server| {
        let (path, name, transport) = (text(server, "/source/path"), text(server, "/name"), text(server, "/transport"));
        Some(format!("{path}|{name}|{transport}|{}|{}", text(server, "/package/name"), text(server, "/url")))
    });
    let truth_of = |corpus, kind| truth(&known, corpus, kind);
    let expected = truth_of("docker-mcp-registry", "servers");
    compare("servers of the Docker catalogue, with transport, package and address", &expected, &servers);
    let named = |thing: &Value| Some(format!("{}|{}", text(thing, "/source/path"), text(thing, "/name")));
    let credentials = truth_of("docker-mcp-registry", "credentials");
    compare("credentials of the Docker catalogue", &credentials, &keys(&docker, "credentials", named));
    no_silent_miss("docker-mcp-registry", &docker, &files(&[&expected, &credentials]));

    let seed = Scanner::new().scan(&place_of.join("mcp-registry-seed"));
    // One file: what tells its things apart is the number in the list.
    let number = |thing: &Value| text(thing, "/source/pointer").split('/').nth(1).unwrap_or_default().to_owned();
    let servers = keys(&seed, "servers", |server| {
        let (registry, package) = (text(server, "/package/registry"), text(server, "/package/name"));
        Some(format!("{}|{}|{registry}|{package}", number(server), text(server, "/name")))
    });
    compare("servers of the registry's seed, with package", &truth_of("mcp-registry-seed", "servers"), &servers);
    let found = keys(&seed, "credentials", |thing| Some(format!("{}|{}", number(thing), text(thing, "/name"))));
    compare("credentials of the registry's seed", &truth_of("mcp-registry-seed", "credentials"), &found);
}

#[test]
fn kubernetes_manifests_hold_the_accounts_workloads_and_bindings_that_are_found() {
    let Some((place_of, known)) = corpora("Kubernetes manifests") else { return };
    for corpus in ["kube-prometheus", "kubernetes-goat"] {
        let report = Scanner::new().scan(&place_of.join(corpus));
        let truth = |kind| truth(&known, corpus, kind);
        let of = |kind: &'static str| {
            keys(&report, "identities", move |thing| (thing["kind"] == kind).then(|| text(thing, "/name").to_owned()))
        };
        compare(&format!("{corpus}: service accounts"), &truth("service_accounts"), &of("service_account"));
        compare(&format!("{corpus}: workloads"), &truth("workloads"), &of("workload"));
        let name = |id: &str| named(&report, id);
        let edges = |kind: &'static str| {
            keys(&report, "edges", |edge| {
                (edge["kind"] == kind).then(|| format!("{}|{}", name(text(edge, "/from")), name(text(edge, "/to"))))
            })
        };
        compare(&format!("{corpus}: as whom workloads run"), &truth("runs_as"), &edges("runs_as"));
        let bindings = report["edges"].as_array().unwrap().iter().filter(|edge| edge["kind"] == "has_role").count();
        // A list: one account may have roles of one name in several namespaces.
        assert_eq!(bindings, known[corpus]["has_role"].as_array().unwrap().len(), "{corpus}: bindings");
        let credentials = keys(&report, "credentials", |thing| {
            Some(format!("{}|{}", text(thing, "/source/path"), text(thing, "/name")))
        });
        compare(&format!("{corpus}: credentials"), &truth("credentials"), &credentials);
        no_silent_miss(corpus, &report, &files(&[&truth("credentials"), &truth("unread")]));
    }
}

/// The name of what bears this id; of something outside the manifests, the name it is spoken of by.
fn named(report: &Value, id: &str) -> String {
    let found = report["identities"].as_array().unwrap().iter().find(|thing| text(thing, "/id") == id);
    found.map_or_else(|| id.split_once(':').unwrap_or_default().1.to_owned(), |thing| text(thing, "/name").to_owned())
}

#[test]
fn a_scan_of_the_same_files_says_the_same_and_what_is_not_read_yet_is_a_gap() {
    let Some((place_of, _)) = corpora("all corpora") else { return };
    let scanner = Scanner::new();
    let (first, second) = (scanner.text(&place_of), scanner.text(&place_of));
    assert!(first == second, "the second scan said something else");
    let report: Value = serde_json::from_slice(&first).unwrap();
    let gaps = report["coverage"]["gaps"].as_array().unwrap();
    let dump = gaps.iter().find(|gap| text(gap, "/path") == "aws-gaad/example.json").expect("a gap");
    assert_eq!(dump["reason"], "an AWS account authorization dump, which is not read yet");
}
