//! `[[trigger]]`: what is not to be waited with until a person looks.

use chancery_model::{Scope, Severity, Span, Window};
use serde::Deserialize;

/// The most that a rate is counted to, and the longest time it is counted over.
const MOST: u32 = 1_000;
const LONGEST_RATE: Span = Span::hours(1);

/// One trigger.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    /// Its name: lower-case letters, digits and `-`.
    pub name: String,
    /// What sets it off.
    pub when: When,
    /// What it looks at; everything, if nothing is said.
    #[serde(default)]
    pub scope: Looks,
    /// How bad it is.
    #[serde(default = "high")]
    pub severity: Severity,
    /// What it does.
    #[serde(rename = "do", default)]
    pub act: Act,
    /// What is contained.
    #[serde(default)]
    pub contain: Target,
    /// For so long it does not fire again for the same agent or thing.
    #[serde(default = "quarter")]
    pub cool_down: Window,
}

/// What sets a trigger off: one of these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct When {
    /// So many refused calls of one agent `within` a time.
    pub refusals: Option<u32>,
    /// So many calls of one agent `within` a time.
    pub calls: Option<u32>,
    /// For `refusals` and `calls`: at most an hour.
    pub within: Option<Window>,
    /// An agent uses a tool that it never used, or not for so long.
    pub first_use: Option<Window>,
    /// A declared meter that stands `over` a value.
    pub meter: Option<String>,
    /// For `meter`.
    pub over: Option<i64>,
    /// A finding of this rule is opened.
    pub finding: Option<String>,
    /// A call has no outcome after so long.
    pub unfinished: Option<Window>,
}

/// What a trigger looks at. An empty list is no bound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Looks {
    /// Agents by name.
    pub agents: Vec<String>,
    /// Upstream servers.
    pub servers: Vec<String>,
    /// Tools, as `SERVER/TOOL`.
    pub tools: Vec<String>,
}

/// What a trigger does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// It tells people.
    #[default]
    Page,
    /// It contains, and tells people.
    Contain,
}

/// What a trigger contains. Never everything: no rule is that sure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The agent that acted, or that the finding is about.
    #[default]
    Agent,
    /// The session it acted in.
    Session,
    /// The tool it used, for everybody.
    Tool,
}

/// What sets a trigger off, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    Refusals(u32, Span),
    Calls(u32, Span),
    FirstUse(Span),
    Meter(String, i64),
    Finding(String),
    Unfinished(Span),
}

fn high() -> Severity {
    Severity::High
}

fn quarter() -> Window {
    Window::Last(Span::minutes(15))
}

impl Target {
    pub(crate) fn scope(self) -> Scope {
        match self {
            Self::Agent => Scope::Agent,
            Self::Session => Scope::Session,
            Self::Tool => Scope::Tool,
        }
    }
}

impl Trigger {
    /// What can be told from the file alone.
    ///
    /// # Errors
    /// The key that is wrong, and what is wrong with it.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let letters = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !(1..=63).contains(&self.name.len()) || !self.name.bytes().all(letters) {
            return Err(("name", format!("`{}`: lower-case letters, digits and `-`, 1 to 63 of them", self.name)));
        }
        self.rule().map_err(|why| ("when", format!("trigger `{}`: {why}", self.name)))?;
        span(self.cool_down).map_err(|why| ("cool_down", why.to_owned()))?;
        if self.act == Act::Page && self.contain != Target::default() {
            return Err(("contain", "nothing is contained without `do = \"contain\"`".to_owned()));
        }
        Ok(())
    }

    pub(crate) fn rule(&self) -> Result<Rule, String> {
        let when = &self.when;
        let given = [
            when.refusals.is_some(),
            when.calls.is_some(),
            when.first_use.is_some(),
            when.meter.is_some(),
            when.finding.is_some(),
            when.unfinished.is_some(),
        ];
        if given.iter().filter(|given| **given).count() != 1 {
            return Err("one of `refusals`, `calls`, `first_use`, `meter`, `finding` and `unfinished`".to_owned());
        }
        if when.within.is_some() != (when.refusals.is_some() || when.calls.is_some()) {
            return Err("`within` goes with `refusals` and `calls`, and they with it".to_owned());
        }
        if when.over.is_some() != when.meter.is_some() {
            return Err("`over` goes with `meter`, and it with `over`".to_owned());
        }
        when.read().map_err(str::to_owned)
    }

    pub(crate) fn cool_down(&self) -> Span {
        span(self.cool_down).unwrap_or(Span::minutes(15))
    }
}

impl When {
    fn read(&self) -> Result<Rule, &'static str> {
        let rate = |count: u32| {
            let within = self.within.map_or(Ok(LONGEST_RATE), span)?;
            let fits = (1..=MOST).contains(&count) && within <= LONGEST_RATE;
            if fits { Ok((count, within)) } else { Err("a rate is 1 to 1000 within at most an hour") }
        };
        Ok(match self {
            Self { refusals: Some(count), .. } => rate(*count).map(|(count, within)| Rule::Refusals(count, within))?,
            Self { calls: Some(count), .. } => rate(*count).map(|(count, within)| Rule::Calls(count, within))?,
            Self { first_use: Some(quiet), .. } => Rule::FirstUse(span(*quiet)?),
            Self { meter: Some(meter), over: Some(over), .. } => Rule::Meter(meter.clone(), *over),
            Self { finding: Some(rule), .. } => Rule::Finding(rule.clone()),
            Self { unfinished: Some(after), .. } => Rule::Unfinished(span(*after)?),
            _ => return Err("says nothing"),
        })
    }
}

impl Looks {
    pub(crate) fn at(&self, agent: Option<&str>, server: Option<&str>, tool: Option<&str>) -> bool {
        let among =
            |list: &[String], it: Option<&str>| list.is_empty() || it.is_some_and(|it| list.iter().any(|l| l == it));
        let tool = server.zip(tool).map(|(server, tool)| format!("{server}/{tool}"));
        among(&self.agents, agent) && among(&self.servers, server) && among(&self.tools, tool.as_deref())
    }
}

fn span(window: Window) -> Result<Span, &'static str> {
    match window {
        Window::Last(span) => Ok(span),
        Window::Session => Err("a time is written like `90s`, `15m`, `24h` or `7d`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rest: &str) -> bool {
        let read: Result<Trigger, _> = serde_json::from_str(&format!(r#"{{"name":"loop",{rest}}}"#));
        read.is_ok_and(|trigger| trigger.check().is_ok())
    }

    #[test]
    fn a_trigger_has_one_rule() {
        for good in [
            r#""when":{"refusals":20,"within":"1m"},"do":"contain""#,
            r#""when":{"calls":20,"within":"1h"},"do":"contain","contain":"session","cool_down":"1s""#,
            r#""when":{"first_use":"30d"},"scope":{"agents":["crm"]},"severity":"low""#,
            r#""when":{"meter":"refunds","over":7}"#,
            r#""when":{"finding":"tool-changed"},"do":"contain","contain":"tool""#,
            r#""when":{"unfinished":"5m"}"#,
        ] {
            assert!(check(good), "{good}");
        }
        for bad in [
            r#""when":{}"#,
            r#""when":{"refusals":20}"#,
            r#""when":{"refusals":0,"within":"1m"}"#,
            r#""when":{"refusals":1001,"within":"1m"}"#,
            r#""when":{"refusals":20,"within":"2h"}"#,
            r#""when":{"refusals":20,"within":"session"}"#,
            r#""when":{"refusals":20,"calls":20,"within":"1m"}"#,
            r#""when":{"first_use":"30d","within":"1m"}"#,
            r#""when":{"meter":"refunds"}"#,
            r#""when":{"over":7}"#,
            r#""when":{"unfinished":"5m"},"contain":"tool""#,
        ] {
            assert!(!check(bad), "{bad}");
        }
    }

    #[test]
    fn no_trigger_contains_everything() {
        for target in ["everything", "owner", "server", "*"] {
            assert!(
                !check(&format!(r#""when":{{"unfinished":"5m"}},"do":"contain","contain":"{target}""#)),
                "{target}"
            );
        }
    }

    #[test]
    fn a_scope_is_a_bound() {
        let looks = |agents: &[&str], tools: &[&str]| Looks {
            agents: agents.iter().map(|a| (*a).to_owned()).collect(),
            servers: Vec::new(),
            tools: tools.iter().map(|t| (*t).to_owned()).collect(),
        };
        assert!(looks(&[], &[]).at(None, None, None));
        assert!(looks(&["crm"], &[]).at(Some("crm"), None, None));
        assert!(!looks(&["crm"], &[]).at(Some("billing"), None, None));
        assert!(looks(&[], &["pay/refund"]).at(Some("crm"), Some("pay"), Some("refund")));
        assert!(!looks(&[], &["pay/refund"]).at(Some("crm"), Some("pay"), Some("list")));
        assert!(!looks(&[], &["pay/refund"]).at(Some("crm"), None, None));
    }
}
