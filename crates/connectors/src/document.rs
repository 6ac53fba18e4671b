//! A file, parsed once.

use serde_json::Value;
use serde_saphyr::Options;

/// What the text of a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Yaml,
    Toml,
    /// `NAME=value` lines.
    Env,
    /// Code whose parser is not there yet.
    Code(&'static str),
}

impl Format {
    /// By the file's name. What it is *about* is decided by what is in it.
    pub fn of(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
        if name == ".env" || name.starts_with(".env.") {
            return Some(Self::Env);
        }
        Some(match name.rsplit_once('.')?.1 {
            "json" | "jsonc" | "json5" | "code-workspace" => Self::Json,
            "yaml" | "yml" => Self::Yaml,
            "toml" => Self::Toml,
            "env" => Self::Env,
            "py" => Self::Code("Python"),
            "ts" | "tsx" | "mts" | "cts" => Self::Code("TypeScript"),
            "js" | "mjs" | "cjs" => Self::Code("JavaScript"),
            "tf" | "hcl" => Self::Code("Terraform"),
            "ipynb" => Self::Code("notebooks"),
            "service" | "timer" => Self::Code("systemd units"),
            _ => return None,
        })
    }
}

/// A file as the shapes see it.
pub(crate) struct Document<'a> {
    /// Its documents: one, or those of a YAML stream.
    pub values: Vec<Value>,
    /// Its lines, of an environment file.
    pub lines: Vec<(usize, &'a str, &'a str)>,
}

impl Document<'_> {
    /// The documents and the pointer each begins with.
    pub fn roots(&self) -> impl Iterator<Item = (String, &Value)> {
        let many = self.values.len() > 1;
        self.values
            .iter()
            .enumerate()
            .map(move |(at, value)| (if many { format!("/{at}") } else { String::new() }, value))
    }
}

/// Parses, or says why not.
pub(crate) fn parse<'a>(text: &'a str, format: Format) -> Result<Document<'a>, String> {
    let (mut values, mut lines) = (Vec::new(), Vec::new());
    match format {
        Format::Json => values.push(json(text)?),
        Format::Yaml => values = yaml(text)?,
        Format::Toml => values.push(toml::from_str(text).map_err(|e| one_line(e.message()))?),
        Format::Env => lines = env(text),
        Format::Code(_) => {}
    }
    Ok(Document { values, lines })
}

/// JSON; where it is not, JSON with comments and trailing commas, as editors write it.
fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).or_else(|error| {
        let options = jsonc_parser::ParseOptions::default();
        match jsonc_parser::parse_to_serde_value::<Option<Value>>(text, &options) {
            Ok(Some(value)) if !text.trim().is_empty() => Ok(value),
            _ => Err(format!("not JSON: {}", one_line(&error.to_string()))),
        }
    })
}

fn yaml(text: &str) -> Result<Vec<Value>, String> {
    let values: Vec<Value> = serde_saphyr::from_multiple_with_options(text, Options::default())
        .map_err(|e| format!("not YAML: {}", one_line(&e.to_string())))?;
    Ok(values.into_iter().filter(|value| !value.is_null()).collect())
}

fn env(text: &str) -> Vec<(usize, &str, &str)> {
    let assignments = text.lines().enumerate().filter_map(|(at, line)| {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=')?;
        let name = name.trim();
        let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        plain.then(|| (at + 1, name, unquoted(value.trim())))
    });
    assignments.collect()
}

/// Without the quotes around it, or the remark after it.
fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some((inner, _)) = value.strip_prefix(quote).and_then(|rest| rest.split_once(quote)) {
            return inner;
        }
    }
    value.split(" #").next().unwrap_or(value).trim()
}

fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(200).collect()
}

/// The pointer of what is below, RFC 6901.
pub(crate) fn below(pointer: &str, step: &str) -> String {
    format!("{pointer}/{}", step.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_with_comments_is_read_and_what_follows_the_document_is_not_overlooked() {
        assert_eq!(json("{\"a\": 1, // one\n}").unwrap()["a"], 1);
        assert!(json("{\"a\": 1} {\"b\": 2}").unwrap_err().contains("not JSON"));
        assert!(json("").is_err());
    }

    #[test]
    fn a_stream_of_yaml_is_all_its_documents() {
        let values = yaml("a: 1\n---\nb: [2]\n---\n").unwrap();
        assert_eq!(values.len(), 2);
        assert_eq!(values[1]["b"][0], 2);
        assert!(yaml("a: {{ b }}: c\n- d").is_err());
    }

    #[test]
    fn a_yaml_that_grows_without_end_is_refused() {
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for n in 1..9 {
            let before = n - 1;
            bomb += &format!("a{n}: &a{n} [{}]\n", vec![format!("*a{before}"); 10].join(","));
        }
        assert!(yaml(&bomb).is_err());
    }

    #[test]
    fn lines_of_an_environment_file_are_read_as_a_shell_reads_them() {
        let read = env("# no\nexport A=1\nB = \"two # 2\" # more\nC='x'\n\nnot a line\nD=v # w\n");
        assert_eq!(read, [(2, "A", "1"), (3, "B", "two # 2"), (4, "C", "x"), (7, "D", "v")]);
    }
}
