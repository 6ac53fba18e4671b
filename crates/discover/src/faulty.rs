//! What a sweep says is wrong with what it saw.

use std::collections::{BTreeMap, BTreeSet};

use chancery_model::{Finding, Severity, Timestamp, Urn};
use chancery_store::{StoreError, Tx, findings};
use serde::{Deserialize, Serialize};

use crate::intake::{GHOST, MASS};

/// Something that is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stated {
    /// The rule, for instance `SEC-1`.
    pub rule: String,
    /// The object.
    pub subject: Urn,
    /// How bad it is.
    pub severity: Severity,
    /// The facts, in one sentence.
    pub evidence: String,
    /// The OWASP id it maps to, for instance `NHI2`.
    #[serde(default)]
    pub owasp: String,
}

/// Rules that we judge ourselves: no sweep opens or closes them.
const OURS: [&str; 3] = [GHOST, MASS, Finding::SHADOW];

/// By rule and subject; of several facts under one the first stands, and how many more there are.
pub(crate) fn by_subject(stated: Vec<Stated>, at: Timestamp) -> Vec<Finding> {
    let mut all: BTreeMap<(String, Urn), (Stated, usize)> = BTreeMap::new();
    for one in stated {
        if OURS.contains(&one.rule.as_str()) {
            continue;
        }
        let key = (one.rule.clone(), one.subject.clone());
        all.entry(key).and_modify(|(_, more)| *more += 1).or_insert((one, 0));
    }
    let finding = |(stated, more): (Stated, usize)| Finding {
        rule: stated.rule,
        subject: stated.subject.into(),
        severity: stated.severity,
        evidence: if more == 0 { stated.evidence } else { format!("{} (and {more} more)", stated.evidence) },
        owasp: stated.owasp,
        opened_at: at,
        closed_at: None,
    };
    all.into_values().map(finding).collect()
}

/// Which open findings of a scope are not true any more: those about what was seen, and not stated again.
pub(crate) fn settled<'a>(
    open: &'a [Finding],
    stated: &[Finding],
    seen: impl Fn(&str) -> bool,
) -> Vec<(&'a str, &'a str)> {
    let still: BTreeSet<(&str, &str)> = stated.iter().map(|one| (one.rule.as_str(), one.subject.as_str())).collect();
    let of = open.iter().map(|one| (one.rule.as_str(), one.subject.as_str()));
    of.filter(|(rule, subject)| !OURS.contains(rule) && !still.contains(&(*rule, *subject)) && seen(subject)).collect()
}

/// Opens and closes in one commit.
pub(crate) async fn write(
    tx: &mut Tx,
    opened: &[Finding],
    closed: &[(String, String)],
    at: Timestamp,
) -> Result<(), StoreError> {
    for finding in opened {
        findings::open(tx, finding).await?;
    }
    for (rule, subject) in closed {
        findings::close(tx, rule, subject, at).await?;
    }
    Ok(())
}
