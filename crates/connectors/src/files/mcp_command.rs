//! The command line of an MCP server: which package it runs, and which of its words are secret.

use crate::reference::{Reference, has_form_of_secret, looks_secret};
use crate::report::Package;
use crate::sightings::{Sightings, password};

const LEFT_OUT: &str = "[secret]";

/// The words without what is secret in them, and the ids of the credentials among them.
pub(super) fn words(words: &[String], at: &str, sightings: &mut Sightings<'_>) -> (Vec<String>, Vec<String>) {
    let (mut shown, mut ids, mut option) = (Vec::new(), Vec::new(), None::<&str>);
    for (n, word) in words.iter().enumerate() {
        let at = format!("{at}/{n}");
        let (name, value) = match (option.take(), word.split_once('=')) {
            (Some(name), _) if !word.starts_with("--") => (name, word.as_str()),
            (_, Some((name, value))) => (name, value),
            _ => ("", word.as_str()),
        };
        // A long name before a value; `-e NAME` of docker hands a variable through.
        let hands_through = n > 0 && matches!(words[n - 1].as_str(), "-e" | "--env") && !word.contains('=');
        if hands_through && let Some(kind) = looks_secret(word) {
            ids.push(sightings.referred(kind, Reference::Env, word, &at));
            shown.push(word.clone());
            continue;
        }
        if word.starts_with('-') && !word.contains('=') && looks_secret(word).is_some() {
            option = Some(word);
            shown.push(word.clone());
            continue;
        }
        let named = if name.is_empty() { unnamed(value) } else { Some(name.trim_start_matches('-')) };
        let found = named.and_then(|name| sightings.field(name, value, &at));
        let secret = found.is_some() && Reference::of(value) == Reference::Literal;
        ids.extend(found);
        shown.push(if secret { word.replace(value, LEFT_OUT) } else { word.clone() });
    }
    (shown, ids)
}

/// A word that is a secret by its own form, or an address that holds one.
fn unnamed(value: &str) -> Option<&'static str> {
    if password(value).is_some() {
        return Some("connection string");
    }
    has_form_of_secret(value).map(|_| "argument")
}

/// The address without what is secret in it, and the ids of the credentials in it.
pub(super) fn address(url: &str, at: &str, sightings: &mut Sightings<'_>) -> (String, Vec<String>) {
    let (mut shown, mut ids) = (url.to_owned(), Vec::new());
    if let Some(password) = password(url) {
        ids.push(sightings.stated(
            "password",
            Reference::of(password),
            "password",
            password,
            &format!("{at}#password"),
        ));
        if Reference::of(password) == Reference::Literal {
            shown = shown.replace(&format!(":{password}@"), &format!(":{LEFT_OUT}@"));
        }
    }
    let query = url.split_once('?').map_or("", |(_, query)| query);
    for (name, value) in query.split('#').next().unwrap_or("").split('&').filter_map(|pair| pair.split_once('=')) {
        // In an address a bare `key` is one.
        let kind = looks_secret(name).or((name.eq_ignore_ascii_case("key")).then_some("api_key"));
        let Some(kind) = kind else { continue };
        ids.push(sightings.stated(kind, Reference::of(value), name, value, &format!("{at}#{name}")));
        if Reference::of(value) == Reference::Literal {
            shown = shown.replace(&format!("{name}={value}"), &format!("{name}={LEFT_OUT}"));
        }
    }
    (shown, ids)
}

/// What `npx`, `uvx`, `docker run` and their like run.
pub(super) fn package(words: &[String]) -> Option<Package> {
    let (program, rest) = words.split_first()?;
    let program = program.rsplit(['/', '\\']).next()?.trim_end_matches(".exe").trim_end_matches(".cmd");
    match program {
        // `cmd /c npx …`
        "cmd" => package(rest.get(1..)?),
        "npx" | "bunx" => npm(first_word(rest, &["-p", "--package"])?),
        "pnpm" | "yarn" if rest.first().is_some_and(|word| word == "dlx") => npm(first_word(&rest[1..], &[])?),
        "npm" if rest.first().is_some_and(|word| word == "exec") => npm(first_word(&rest[1..], &[])?),
        "uvx" | "pipx" => {
            let from = rest.iter().position(|word| word == "--from").and_then(|at| rest.get(at + 1));
            let rest = rest.strip_prefix(&["run".to_owned()]).unwrap_or(rest);
            pypi(from.map_or_else(|| first_word(rest, &["--with", "--python", "-p"]), |word| Some(word))?)
        }
        "docker" | "podman" => image(rest),
        _ => None,
    }
}

/// The first word that is no option and no option's value.
fn first_word<'a>(words: &'a [String], with_value: &[&str]) -> Option<&'a str> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if with_value.contains(&word.as_str()) {
            words.next();
        } else if !word.starts_with('-') {
            return Some(word);
        }
    }
    None
}

fn npm(word: &str) -> Option<Package> {
    let at = word.char_indices().skip(1).find(|(_, c)| *c == '@').map(|(at, _)| at);
    let (name, version) = at.map_or((word, None), |at| (&word[..at], Some(&word[at + 1..])));
    Some(made("npm", name, version))
}

fn pypi(word: &str) -> Option<Package> {
    if word.starts_with("git+") {
        return Some(made("git", word.trim_start_matches("git+"), None));
    }
    let (name, version) = match word.split_once("==").or_else(|| word.split_once('@')) {
        Some((name, version)) => (name, Some(version)),
        None => (word, None),
    };
    Some(made("pypi", name.split('[').next().unwrap_or(name), version))
}

fn image(words: &[String]) -> Option<Package> {
    const WITH_VALUE: [&str; 19] = [
        "-e",
        "--env",
        "--env-file",
        "-v",
        "--volume",
        "--mount",
        "-p",
        "--publish",
        "--name",
        "--network",
        "--net",
        "-u",
        "--user",
        "-w",
        "--workdir",
        "--entrypoint",
        "--platform",
        "--pull",
        "--add-host",
    ];
    let run = words.iter().position(|word| word == "run")?;
    Some(oci(first_word(&words[run + 1..], &WITH_VALUE)?))
}

/// `registry/name:tag` or `name@sha256:…`.
pub(super) fn oci(image: &str) -> Package {
    if let Some((name, digest)) = image.split_once('@') {
        return made("oci", name, Some(digest));
    }
    match image.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) {
        Some((name, tag)) => made("oci", name, Some(tag)),
        None => made("oci", image, None),
    }
}

fn made(registry: &str, name: &str, version: Option<&str>) -> Package {
    Package { registry: registry.to_owned(), name: name.to_owned(), version: version.map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package_of(line: &str) -> String {
        let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        package(&words)
            .map_or_else(String::new, |p| format!("{} {} {}", p.registry, p.name, p.version.unwrap_or_default()))
    }

    #[test]
    fn packages_are_found_behind_their_runners() {
        for (line, found) in [
            (
                "npx -y @modelcontextprotocol/server-github@1.2.3 --read",
                "npm @modelcontextprotocol/server-github 1.2.3",
            ),
            ("npx some-server", "npm some-server "),
            ("cmd /c npx -y some-server@latest", "npm some-server latest"),
            ("uvx mcp-server-git==0.6 --repository .", "pypi mcp-server-git 0.6"),
            ("uvx --from git+https://example.com/x.git tool", "git https://example.com/x.git "),
            ("docker run -i --rm -e TOKEN ghcr.io/acme/server:1.0 stdio", "oci ghcr.io/acme/server 1.0"),
            ("docker run -i localhost:5000/server", "oci localhost:5000/server "),
            ("node server.js", ""),
        ] {
            assert_eq!(package_of(line), found, "{line}");
        }
    }
}
