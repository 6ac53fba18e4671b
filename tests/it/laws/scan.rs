//! A small reader of rustfmt'd text: where functions begin and end, and where test code begins.
//! It relies on the formatting, which `make check` holds: a closing brace stands under the line that opened it.

/// A function found in a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The line it starts on, from 1.
    pub line: usize,
    /// Lines from its signature to its closing brace.
    pub lines: usize,
    /// Whether it stands in a `#[cfg(test)]` module.
    pub test: bool,
}

/// Every function with a body.
pub fn functions(text: &str) -> Vec<Function> {
    let lines: Vec<&str> = text.lines().collect();
    let tests = test_line(text);
    let found = lines.iter().enumerate().filter_map(|(at, line)| {
        let name = name(line)?;
        let length = length(&lines[at..])?;
        Some(Function { name, line: at + 1, lines: length, test: at >= tests })
    });
    found.collect()
}

/// The line, from 0, where test code begins; the number of lines if there is none.
pub fn test_line(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let opens = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{');
    lines.windows(2).position(opens).unwrap_or(lines.len())
}

/// The name of the function whose signature starts on this line.
pub fn name(line: &str) -> Option<String> {
    let mut rest = line.trim_start();
    for word in ["pub(crate) ", "pub(super) ", "pub ", "const ", "async ", "extern \"C\" "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    let rest = rest.strip_prefix("fn ")?;
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    Some(rest[..end].to_owned())
}

/// Lines up to the closing brace; nothing for a declaration without a body.
fn length(lines: &[&str]) -> Option<usize> {
    let first = lines.first()?;
    if first.trim_end().ends_with('}') {
        return Some(1);
    }
    let indent = &first[..first.len() - first.trim_start().len()];
    for (at, line) in lines.iter().enumerate() {
        let here = line.strip_prefix(indent).filter(|rest| !rest.starts_with(' '));
        if here.is_some_and(|rest| rest.starts_with('}')) {
            return Some(at + 1);
        }
        if here.is_some_and(|rest| rest.ends_with(';')) {
            return None;
        }
    }
    None
}

#[test]
fn functions_are_measured() {
    let text = "fn one() {}\n\npub async fn three() -> u8 {\n    3\n}\n\ntrait T {\n    fn declared(\n        &self,\n    ) -> u8;\n    \
                fn given(\n        &self,\n    ) -> u8\n    where\n        Self: Sized,\n    {\n        let x = [\n            1\n        ];\n        \
                x[0]\n    }\n}\n\n#[cfg(test)]\nmod tests {\n    fn t() {\n    }\n}\n";
    let found: Vec<_> = functions(text).into_iter().map(|f| (f.name, f.lines, f.test)).collect();
    let expected = [("one", 1, false), ("three", 3, false), ("given", 11, false), ("t", 2, true)];
    assert_eq!(found, expected.map(|(name, lines, test)| (name.to_owned(), lines, test)));
}
