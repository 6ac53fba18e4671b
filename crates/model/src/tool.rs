//! What an agent can act on: servers and the tools they define.

use serde::{Deserialize, Serialize};

use crate::{Hash, Timestamp};

/// An upstream server as policies see it. How it is reached is configuration of the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Its name in paths and policies: `[a-z0-9][a-z0-9-]{0,62}`.
    pub name: String,
    /// When its tools were first pinned.
    pub first_seen: Timestamp,
}

/// Whether a tool may be listed and called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolState {
    /// Its definition is the one that was approved.
    Pinned,
    /// Its definition is new or changed since: not listed, not callable, until a human approves it.
    Quarantined,
}

/// A tool definition pinned by digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// The server that defines it.
    pub server: String,
    /// Its name there.
    pub name: String,
    /// Whether it may be used.
    pub state: ToolState,
    /// SHA-256 over the canonical definition that was approved (name, description, schemas, annotations); zeros where
    /// none ever was.
    pub digest: Hash,
    /// That definition, as canonical JSON; empty where none ever was approved.
    pub definition: String,
    /// The definition last seen, where it differs from the approved one.
    pub seen: Option<(Hash, String)>,
    /// When this state was reached.
    pub since: Timestamp,
}

impl Tool {
    /// The name policies use for its action and resource: `server/tool`.
    pub fn qualified(&self) -> String {
        format!("{}/{}", self.server, self.name)
    }

    /// A tool of which no definition was approved yet: this one was seen.
    pub fn unapproved(server: &str, name: &str, seen: (Hash, String), since: Timestamp) -> Self {
        Self {
            server: server.to_owned(),
            name: name.to_owned(),
            state: ToolState::Quarantined,
            digest: Hash::default(),
            definition: String::new(),
            seen: Some(seen),
            since,
        }
    }

    /// Was a definition of it ever approved?
    pub fn was_approved(&self) -> bool {
        !self.definition.is_empty()
    }

    /// The definition that was seen last, with its digest: what an approval would approve.
    pub fn latest(&self) -> (&Hash, &str) {
        self.seen.as_ref().map_or((&self.digest, &self.definition), |(digest, text)| (digest, text))
    }

    /// The command that approves the definition seen last, and no other. Names come from strangers: it can be given
    /// to a shell as it is.
    pub fn approve_command(&self) -> String {
        let digest: String = self.latest().0.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("chancery tool approve --digest {digest} -- {} {}", quoted(&self.server), quoted(&self.name))
    }
}

/// A word as a POSIX shell takes it literally.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_word_of_the_command() {
        let command =
            |name: &str| Tool::unapproved("crm", name, ([171; 32], "{}".into()), Timestamp(0)).approve_command();
        let digest = "ab".repeat(32);
        assert_eq!(command("get-sum"), format!("chancery tool approve --digest {digest} -- crm get-sum"));
        assert!(command("x;rm -rf ~").ends_with(" crm 'x;rm -rf ~'"));
        assert!(command("it's $(id)").ends_with(r" crm 'it'\''s $(id)'"));
        assert!(command("").ends_with(" crm ''"));
    }
}
