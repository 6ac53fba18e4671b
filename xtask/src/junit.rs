//! Reads what nextest wrote about a run (JUnit XML): counts, and the lines that tests print for us.

use std::path::PathBuf;

use crate::shell::{self, Fallible};
use crate::steps::Count;

/// Where it writes: in the workspace, wherever the target directory is.
pub fn path() -> PathBuf {
    shell::top().join("target/nextest/default/junit.xml")
}

/// The report of the last run.
pub fn report() -> Fallible<String> {
    let path = path();
    std::fs::read_to_string(&path).map_err(|why| format!("cannot read {}: {why}", path.display()))
}

/// Counts the run. A test that could do only a part of its work here prints `skipped: <what, and why>`.
pub fn count(report: &str) -> Fallible<Count> {
    let head = report.lines().find(|line| line.trim_start().starts_with("<testsuites ")).ok_or("no <testsuites>")?;
    let number = |name: &str| attribute(head, name).and_then(|text| text.parse::<usize>().ok()).unwrap_or(0);
    let failed = number("failures") + number("errors");
    let tests = number("tests");
    if tests == 0 {
        return Err("no test ran".to_owned());
    }
    Ok(Count { passed: tests - failed, failed, skipped: printed(report, "skipped: ") })
}

/// What follows `mark` in every line that a test printed, once each.
pub fn printed(report: &str, mark: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in report.lines() {
        let line = line.rsplit('>').next().unwrap_or(line).trim();
        if let Some(told) = line.strip_prefix(mark).map(unescaped).filter(|told| !found.contains(told)) {
            found.push(told);
        }
    }
    found
}

fn attribute<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!(" {name}=\""))?;
    rest.split('"').next()
}

fn unescaped(text: &str) -> String {
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'");
    text.replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_counted() {
        let report = "<?xml?>\n<testsuites name=\"run\" tests=\"5\" failures=\"1\" errors=\"1\">\n\
                      <system-out>skipped: no such peer &amp; no other\nfine</system-out>\n\
                      skipped: no such peer &amp; no other\n";
        let expected = Count { passed: 3, failed: 2, skipped: vec!["no such peer & no other".to_owned()] };
        assert_eq!(count(report), Ok(expected));
    }

    #[test]
    fn a_run_of_nothing_is_no_success() {
        assert!(count("<testsuites tests=\"0\">").is_err());
        assert!(count("").is_err());
    }
}
