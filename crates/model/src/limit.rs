//! What narrows a session: granted authorization details (RFC 9396).
//!
//! A set of limits covers an act if one of them does. Along a delegation chain every set that is not empty must cover
//! it, so that a link can take away and never add.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The most limits in one set.
pub const LIMITS: usize = 100;
/// The most names or values in one limit.
const MEMBERS: usize = 256;
/// The longest name or value, in bytes: what a person is asked to allow is shown whole.
const LONGEST: usize = 512;

/// One authorization detail: a kind of thing at one server, and how it may be used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Limit {
    /// Tools of an MCP server.
    McpTool {
        /// The server's name.
        server: String,
        /// The tools; all of the server where there are none.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tools: Vec<String>,
        /// What their arguments must be. One that is missing in a call is not as it must be.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        constraints: BTreeMap<String, Bound>,
        /// How many calls, all together, in the session that has this limit and in those below it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        calls: Option<u32>,
    },
    /// Resources of an MCP server.
    McpResource {
        /// The server's name.
        server: String,
        /// Their URIs; all of the server where there are none.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        resources: Vec<String>,
    },
    /// Prompts of an MCP server.
    McpPrompt {
        /// The server's name.
        server: String,
        /// Their names; all of the server where there are none.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        prompts: Vec<String>,
    },
    /// Telling another authorization server in whose name the agent acts (an identity assertion).
    IdentityAssertion {
        /// Its issuer identifier.
        audience: String,
        /// The scopes that may be asked of it; none where there are none.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        scopes: Vec<String>,
    },
}

/// What an argument must be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    /// At least, for a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// At most, for a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// One of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<Value>,
}

/// A set of limits that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLimits {
    /// Not a JSON array of known details.
    #[error(
        "`authorization_details` is not an array of `mcp_tool`, `mcp_resource`, `mcp_prompt` and `identity_assertion` details: {0}"
    )]
    Unreadable(String),
    /// Too many or too long.
    #[error("`authorization_details` has too much in it: at most {LIMITS} details of at most {MEMBERS} members")]
    TooMuch,
    /// A bound that nothing or everything meets.
    #[error("the constraint on `{0}` says nothing, or nothing can meet it")]
    Senseless(String),
}

/// What is about to be done, as limits see it.
#[derive(Clone, Copy, Debug)]
pub enum Covered<'a> {
    /// Opening a connection to a server, asking what it has.
    Server(&'a str),
    /// Seeing a tool in a list.
    Tool(&'a str, &'a str),
    /// Calling a tool with these arguments.
    Call(&'a str, &'a str, &'a Value),
    /// A resource by its URI.
    Resource(&'a str, &'a str),
    /// A prompt by its name.
    Prompt(&'a str, &'a str),
    /// An identity assertion for an audience with these scopes.
    Assertion(&'a str, &'a [&'a str]),
}

impl Limit {
    /// Reads the `authorization_details` parameter: a JSON array.
    pub fn read(text: &str) -> Result<Vec<Self>, BadLimits> {
        let set: Vec<Self> = serde_json::from_str(text).map_err(|e| BadLimits::Unreadable(e.to_string()))?;
        if set.len() > LIMITS || !set.iter().all(Self::is_small) {
            return Err(BadLimits::TooMuch);
        }
        set.iter().try_for_each(Self::makes_sense)?;
        Ok(set)
    }

    /// Does a set cover this act? An empty set narrows nothing.
    pub fn cover(set: &[Self], act: Covered<'_>) -> bool {
        set.is_empty() || set.iter().any(|limit| limit.covers(act))
    }

    /// Is everything that `inner` covers covered by `outer` too? For the answer to a request only: what is enforced is
    /// that both cover an act. The first detail that asks for more is the error.
    pub fn within<'a>(inner: &'a [Self], outer: &[Self]) -> Result<(), &'a Self> {
        let held = |limit: &&Self| !outer.is_empty() && !outer.iter().any(|other| limit.is_within(other));
        inner.iter().find(held).map_or(Ok(()), Err)
    }

    /// The server it is about: an MCP server by name, or an authorization server by its issuer identifier.
    pub fn server(&self) -> &str {
        match self {
            Self::McpTool { server, .. } | Self::McpResource { server, .. } | Self::McpPrompt { server, .. } => server,
            Self::IdentityAssertion { audience, .. } => audience,
        }
    }

    /// Does it cover this act?
    pub fn covers(&self, act: Covered<'_>) -> bool {
        let named = |names: &[String], name: &str| names.is_empty() || names.iter().any(|known| known == name);
        match (self, act) {
            (Self::IdentityAssertion { audience, scopes }, Covered::Assertion(to, asked)) => {
                audience == to && asked.iter().all(|asked| scopes.iter().any(|known| known == asked))
            }
            (Self::IdentityAssertion { .. }, _) => false,
            (_, Covered::Server(at)) => self.server() == at,
            (Self::McpTool { server, tools, .. }, Covered::Tool(at, tool)) => server == at && named(tools, tool),
            (Self::McpTool { server, tools, constraints, .. }, Covered::Call(at, tool, args)) => {
                server == at
                    && named(tools, tool)
                    && constraints.iter().all(|(name, bound)| bound.holds(args.get(name)))
            }
            (Self::McpResource { server, resources }, Covered::Resource(at, uri)) => {
                server == at && named(resources, uri)
            }
            (Self::McpPrompt { server, prompts }, Covered::Prompt(at, name)) => server == at && named(prompts, name),
            _ => false,
        }
    }

    fn is_within(&self, outer: &Self) -> bool {
        let fewer = |inner: &[String], outer: &[String]| {
            outer.is_empty() || (!inner.is_empty() && inner.iter().all(|name| outer.contains(name)))
        };
        match (self, outer) {
            (
                Self::McpTool { server, tools, constraints, calls },
                Self::McpTool { server: at, tools: known, constraints: held, calls: most },
            ) => {
                server == at
                    && fewer(tools, known)
                    && most.is_none_or(|most| calls.is_some_and(|calls| calls <= most))
                    && held.iter().all(|(name, bound)| constraints.get(name).is_some_and(|own| own.is_within(bound)))
            }
            (Self::McpResource { server, resources }, Self::McpResource { server: at, resources: known }) => {
                server == at && fewer(resources, known)
            }
            (Self::McpPrompt { server, prompts }, Self::McpPrompt { server: at, prompts: known }) => {
                server == at && fewer(prompts, known)
            }
            (Self::IdentityAssertion { audience, scopes }, Self::IdentityAssertion { audience: to, scopes: known }) => {
                audience == to && scopes.iter().all(|scope| known.contains(scope))
            }
            _ => false,
        }
    }

    fn is_small(&self) -> bool {
        let small = |names: &[String]| names.len() <= MEMBERS && names.iter().all(|name| name.len() <= LONGEST);
        let short = self.server().len() <= LONGEST;
        short
            && match self {
                Self::McpTool { tools, constraints, .. } => {
                    let bounds = constraints.iter().all(|(name, bound)| name.len() <= LONGEST && bound.is_small());
                    small(tools) && constraints.len() <= MEMBERS && bounds
                }
                Self::McpResource { resources, .. } => small(resources),
                Self::McpPrompt { prompts, .. } => small(prompts),
                Self::IdentityAssertion { scopes, .. } => small(scopes),
            }
    }

    fn makes_sense(&self) -> Result<(), BadLimits> {
        let Self::McpTool { constraints, .. } = self else { return Ok(()) };
        let senseless = constraints.iter().find(|(_, bound)| !bound.makes_sense());
        senseless.map_or(Ok(()), |(name, _)| Err(BadLimits::Senseless(name.clone())))
    }
}

impl Bound {
    fn is_small(&self) -> bool {
        self.one_of.len() <= MEMBERS && self.one_of.iter().all(|value| value.to_string().len() <= LONGEST)
    }

    /// Is this value as it must be?
    fn holds(&self, value: Option<&Value>) -> bool {
        let Some(value) = value else { return false };
        let number = value.as_f64();
        self.min.is_none_or(|min| number.is_some_and(|n| n >= min))
            && self.max.is_none_or(|max| number.is_some_and(|n| n <= max))
            && (self.one_of.is_empty() || self.one_of.iter().any(|one| same(one, value)))
    }

    fn is_within(&self, outer: &Self) -> bool {
        // Where the outer bound lists values, the inner one has to list some of them.
        let listed = outer.one_of.is_empty()
            || (!self.one_of.is_empty() && self.one_of.iter().all(|one| outer.one_of.iter().any(|o| same(o, one))));
        let all_listed_hold = !self.one_of.is_empty() && self.one_of.iter().all(|one| outer.holds(Some(one)));
        let at_least = outer.min.is_none_or(|min| self.min.is_some_and(|own| own >= min));
        let at_most = outer.max.is_none_or(|max| self.max.is_some_and(|own| own <= max));
        listed && ((at_least && at_most) || all_listed_hold)
    }

    fn makes_sense(&self) -> bool {
        let finite = |n: Option<f64>| n.is_none_or(f64::is_finite);
        let says = self.min.is_some() || self.max.is_some() || !self.one_of.is_empty();
        let ordered = self.min.zip(self.max).is_none_or(|(min, max)| min <= max);
        finite(self.min) && finite(self.max) && says && ordered
    }
}

/// Numbers are compared as numbers: 1 and 1.0 are one value.
fn same(a: &Value, b: &Value) -> bool {
    a == b || a.as_f64().is_some_and(|a| b.as_f64() == Some(a))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(value: &Value) -> Vec<Limit> {
        Limit::read(&value.to_string()).unwrap()
    }

    #[test]
    fn a_set_covers_what_one_of_its_details_covers() {
        let details = set(&json!([
            {"type": "mcp_tool", "server": "billing", "tools": ["refund"], "constraints": {"amount": {"max": 100}}},
            {"type": "mcp_tool", "server": "crm"},
        ]));
        let covers = |server, tool, args: Value| Limit::cover(&details, Covered::Call(server, tool, &args));
        assert!(covers("billing", "refund", json!({"amount": 100})));
        assert!(!covers("billing", "refund", json!({"amount": 100.5})));
        assert!(!covers("billing", "refund", json!({"amount": "1"})), "a text is no number");
        assert!(!covers("billing", "refund", json!({})), "what is missing is not as it must be");
        assert!(!covers("billing", "invoice", json!({"amount": 1})));
        assert!(covers("crm", "anything", json!(null)));
        assert!(!Limit::cover(&details, Covered::Resource("crm", "file:///x")));
        assert!(Limit::cover(&[], Covered::Resource("crm", "file:///x")), "an empty set narrows nothing");
    }

    #[test]
    fn what_a_person_could_not_be_shown_whole_is_refused() {
        let detail =
            |value: &str| json!([{"type": "mcp_tool", "server": "b", "constraints": {"to": {"one_of": [value]}}}]);
        let read = |value: &str| Limit::read(&detail(value).to_string());
        assert!(read(&"a".repeat(LONGEST - 2)).is_ok());
        assert_eq!(read(&"a".repeat(LONGEST - 1)), Err(BadLimits::TooMuch), "two quotes are part of it");
    }

    #[test]
    fn an_assertion_is_for_one_audience_and_the_scopes_that_are_named() {
        let details = set(&json!([{"type": "identity_assertion", "audience": "https://p", "scopes": ["read"]}]));
        let covers = |to, asked: &[&str]| Limit::cover(&details, Covered::Assertion(to, asked));
        assert!(covers("https://p", &["read"]) && covers("https://p", &[]));
        assert!(!covers("https://p", &["read", "write"]) && !covers("https://q", &[]));
        assert!(!Limit::cover(&details, Covered::Server("https://p")), "it is no server of ours");
        assert!(!Limit::cover(&set(&json!([{"type": "mcp_tool", "server": "p"}])), Covered::Assertion("p", &[])));
        let within = |inner: Value| Limit::within(&set(&inner), &details).is_ok();
        assert!(within(json!([{"type": "identity_assertion", "audience": "https://p"}])));
        assert!(!within(json!([{"type": "identity_assertion", "audience": "https://p", "scopes": ["write"]}])));
    }

    #[test]
    fn within_is_never_wider() {
        let outer = set(&json!([{"type": "mcp_tool", "server": "b", "tools": ["x", "y"], "calls": 5,
            "constraints": {"n": {"max": 10}, "c": {"one_of": ["EUR", "USD"]}}}]));
        let within = |inner: Value| Limit::within(&set(&inner), &outer).is_ok();
        let detail = |n: Value, c: Value, tools: Value, calls: Value| json!([{"type": "mcp_tool", "server": "b", "tools": tools, "calls": calls, "constraints": {"n": n, "c": c}}]);
        let (n, c, x) = (json!({"max": 9}), json!({"one_of": ["EUR"]}), json!(["x"]));
        assert!(within(detail(n.clone(), c.clone(), x.clone(), json!(5))));
        assert!(within(detail(json!({"one_of": [1, 2]}), c.clone(), x.clone(), json!(1))));
        assert!(!within(detail(json!({"max": 11}), c.clone(), x.clone(), json!(5))));
        assert!(!within(detail(n.clone(), json!({"one_of": ["EUR", "CHF"]}), x.clone(), json!(5))));
        assert!(!within(detail(n.clone(), c.clone(), json!(["z"]), json!(5))));
        assert!(!within(detail(n.clone(), c.clone(), json!([]), json!(5))), "all tools are more than two");
        assert!(!within(detail(n.clone(), c.clone(), x.clone(), json!(6))));
        assert!(!within(json!([{"type": "mcp_tool", "server": "b", "tools": ["x"]}])), "constraints were dropped");
        assert!(!within(json!([{"type": "mcp_resource", "server": "b"}])));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for bad in [
            r#"{"type":"mcp_tool","server":"b"}"#,
            r#"[{"type":"other"}]"#,
            r#"[{"type":"mcp_tool"}]"#,
            r#"[{"type":"mcp_tool","server":"b","also":1}]"#,
            r#"[{"type":"mcp_tool","server":"b","constraints":{"n":{}}}]"#,
            r#"[{"type":"mcp_tool","server":"b","constraints":{"n":{"min":2,"max":1}}}]"#,
        ] {
            assert!(Limit::read(bad).is_err(), "{bad}");
        }
    }
}
