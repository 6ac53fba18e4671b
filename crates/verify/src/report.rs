//! What was verified, and what cannot be known: for people and for programs.

use std::fmt;

use crate::pass::hex;
use crate::{Detected, Failure, Report};

impl Report {
    /// What this verification cannot show, however well it went.
    pub fn limits(&self) -> Vec<String> {
        let mut limits = Vec::new();
        match self.since {
            None => limits.push(
                "no older checkpoint was given: a complete rewrite of the log by whoever holds its key cannot be \
                 told from the log; keep this bundle's checkpoint, and give it with --checkpoint next time"
                    .to_owned(),
            ),
            Some(since) => limits.push(format!(
                "entries after number {} could have been rewritten, by whoever holds the log's key, since the older \
                 checkpoint was made; keep this bundle's checkpoint for next time",
                since.entries
            )),
        }
        if !self.key_given {
            limits.push(
                "the log's key came with the bundle itself: compare it with one you know, or give that with --vkey"
                    .to_owned(),
            );
        }
        limits.push("what never was written to the log is not in it: no verifier of a log can find that".to_owned());
        limits
    }

    /// One JSON object, with hashes in hexadecimal.
    pub fn json(&self) -> String {
        let since = self.since.map_or_else(
            || "null".to_owned(),
            |s| format!("{{\"entries\":{},\"root\":\"{}\"}}", s.entries, hex(&s.root)),
        );
        let limits: Vec<String> = self.limits().iter().map(|l| quoted(l)).collect();
        format!(
            "{{\"ok\":true,\"origin\":{},\"entries\":{},\"root\":\"{}\",\"writers\":{},\"bodies\":{},\"erased\":{},\
             \"key\":{},\"key_given\":{},\"extends\":{since},\"limits\":[{}]}}",
            quoted(&self.origin),
            self.entries,
            hex(&self.root),
            self.writers,
            self.bodies,
            self.erased,
            quoted(&self.key.to_string()),
            self.key_given,
            limits.join(",")
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "verified: {} entries of the log `{}`", self.entries, self.origin)?;
        writeln!(f, "  root      {}", hex(&self.root))?;
        writeln!(f, "  writers   {}, each chain without a gap", self.writers)?;
        let erased = if self.erased > 0 { "; each erasure is an entry of the log" } else { "" };
        writeln!(f, "  bodies    {} match their salted hashes, {} erased{erased}", self.bodies, self.erased)?;
        let given = if self.key_given { "the key you gave" } else { "the key in the bundle" };
        writeln!(f, "  signed    by {} ({given})", self.key)?;
        if let Some(since) = self.since {
            writeln!(f, "  extends   the checkpoint of {} entries", since.entries)?;
        }
        writeln!(f, "not shown by this:")?;
        self.limits().iter().try_for_each(|limit| writeln!(f, "  - {limit}"))
    }
}

impl Failure {
    /// One JSON object.
    pub fn json(&self) -> String {
        let message = quoted(&self.to_string());
        match self {
            Self::Io(_) => format!("{{\"ok\":false,\"message\":{message}}}"),
            Self::Detected(Detected { place, field, expected, found }) => format!(
                "{{\"ok\":false,\"message\":{message},\"place\":{},\"field\":{},\"expected\":{},\"found\":{}}}",
                quoted(place),
                quoted(field),
                quoted(expected),
                quoted(found)
            ),
        }
    }
}

/// A JSON string (RFC 8259, section 7).
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_strings_are_escaped() {
        assert_eq!(quoted("a\"b\\c\n\u{1b}"), r#""a\"b\\c\u000a\u001b""#);
    }
}
