//! Identifiers. Each noun has its own type and prefix, so that one is never taken for another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Position, Random, Timestamp};

/// Crockford's base 32 in lower case: no `i`, `l`, `o` or `u`.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A text that is not an identifier of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {kind} id (`{prefix}…`)")]
pub struct BadId {
    text: String,
    kind: &'static str,
    prefix: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// A fresh identifier: ordered by creation time (UUID version 7), 74 bits of it random.
            pub fn new(now: Timestamp, random: &dyn Random) -> Self {
                Self(format!("{}{}", $prefix, unique(now, random)))
            }

            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                let bad = || BadId { text: text.chars().take(60).collect(), kind: $kind, prefix: $prefix };
                let tail = text.strip_prefix($prefix).ok_or_else(bad)?;
                let well_formed = tail.len() == 26 && tail.bytes().all(|b| ALPHABET.contains(&b));
                if well_formed { Ok(Self(text.to_owned())) } else { Err(bad()) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadId;
            fn try_from(text: String) -> Result<Self, BadId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// An agent, or any other registered non-human identity. Never reused.
    AgentId, "agt_", "an agent"
);
id!(
    /// What many instances of one agent have in common. Never reused.
    BlueprintId, "bpt_", "a blueprint"
);
id!(
    /// A server-side session of one agent.
    SessionId, "ses_", "a session"
);
id!(
    /// A person in whose name agents act. Never reused.
    PersonId, "per_", "a person"
);
id!(
    /// A person's login with a browser.
    LoginId, "lgn_", "a login"
);
id!(
    /// A group of people. Never reused.
    GroupId, "grp_", "a group"
);
id!(
    /// A passkey of a person.
    PasskeyId, "pky_", "a passkey"
);
id!(
    /// A change that waits for a second person.
    ProposalId, "prp_", "a proposal"
);
id!(
    /// A right given to an identity.
    GrantId, "grt_", "a grant"
);
id!(
    /// A request for a human's approval.
    ApprovalId, "apr_", "an approval"
);
id!(
    /// An agent's question to a person who is somewhere else, whether it may act for them.
    AskId, "ask_", "a question to a person"
);
id!(
    /// A stream of security events to one receiver.
    StreamId, "str_", "a stream"
);
id!(
    /// A security event of others that waits for a human.
    HeldId, "hld_", "a held signal"
);
id!(
    /// One throw of the kill switch.
    ContainmentId, "ctm_", "a containment"
);
id!(
    /// One break-glass elevation of a person.
    BreakGlassId, "bgl_", "a break-glass"
);
id!(
    /// Somebody in somebody else's place for a while.
    StandInId, "sti_", "a stand-in"
);
id!(
    /// A look at a source.
    SweepId, "swp_", "a sweep"
);

fn unique(now: Timestamp, random: &dyn Random) -> String {
    let millis = u64::try_from(now.0 / 1000).unwrap_or(0);
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &random.bytes()).into_uuid();
    base32(id.as_u128(), 26)
}

fn base32(mut value: u128, width: usize) -> String {
    let mut text = vec![b'0'; width];
    for place in text.iter_mut().rev() {
        *place = ALPHABET[usize::try_from(value & 31).unwrap_or(0)];
        value >>= 5;
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// A decision's public name. It *is* the position of its entry in the log, so that no index is needed to open it:
/// `d-` and Crockford base 32 of `seq * 1024 + writer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DecisionId(pub Position);

const WRITERS: u64 = 1024;

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = u128::from(self.0.seq) * u128::from(WRITERS) + u128::from(self.0.writer);
        let text = base32(number, 16);
        let short = text.trim_start_matches('0');
        write!(f, "d-{short:0>6}")
    }
}

impl FromStr for DecisionId {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = || BadId { text: text.chars().take(60).collect(), kind: "a decision", prefix: "d-" };
        let tail = text.strip_prefix("d-").ok_or_else(bad)?;
        if tail.is_empty() || tail.len() > 14 {
            return Err(bad());
        }
        let mut number = 0u128;
        for byte in tail.bytes() {
            let lower = byte.to_ascii_lowercase();
            let digit = ALPHABET.iter().position(|a| *a == lower).ok_or_else(bad)?;
            number = number * 32 + digit as u128;
        }
        let writer = u32::try_from(number % u128::from(WRITERS)).map_err(|_| bad())?;
        let seq = u64::try_from(number / u128::from(WRITERS)).map_err(|_| bad())?;
        Ok(Self(Position { writer, seq }))
    }
}

impl Serialize for DecisionId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DecisionId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting;
    impl Random for Counting {
        fn fill(&self, buffer: &mut [u8]) {
            for (i, b) in buffer.iter_mut().enumerate() {
                *b = u8::try_from(i % 251).unwrap_or(0);
            }
        }
    }

    #[test]
    fn ids_keep_their_kind() {
        let agent = AgentId::new(Timestamp::from_seconds(1_795_000_000), &Counting);
        assert_eq!(agent.as_str().parse::<AgentId>(), Ok(agent.clone()));
        assert!(agent.as_str().parse::<SessionId>().is_err());
    }

    #[test]
    fn later_ids_sort_later() {
        let early = GrantId::new(Timestamp::from_seconds(1), &Counting);
        let late = GrantId::new(Timestamp::from_seconds(2), &Counting);
        assert!(early < late);
    }

    #[test]
    fn a_decision_id_finds_its_way_back() {
        for (writer, seq) in [(0, 0), (1, 1), (1023, 7), (3, u64::MAX >> 12)] {
            let id = DecisionId(Position { writer, seq });
            assert_eq!(id.to_string().parse::<DecisionId>(), Ok(id));
        }
        assert!("d-".parse::<DecisionId>().is_err());
        assert!("d-zzzzzzzzzzzzzzzzz".parse::<DecisionId>().is_err());
        assert!("x-7k3".parse::<DecisionId>().is_err());
    }
}
