//! What a person is asked before an agent acts in their name, and what they may take away from it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chancery_authenticate::{Narrowed, SignedIn};
use chancery_model::{Agent, Bound, Client, ClientKind, Limit, Span};
use serde_json::Value;

use super::{Posted, form_key, text};
use crate::policies::sha256;

/// A question, wherever it came from.
pub(crate) struct Question<'a> {
    pub(crate) agent: &'a Agent,
    pub(crate) client: &'a Client,
    pub(crate) limits: &'a [Limit],
    pub(crate) origin: Origin<'a>,
    /// The longest it may last.
    pub(crate) longest: Span,
}

/// Where a question came from.
pub(crate) enum Origin<'a> {
    /// A program that sent the browser here, and to which it goes with the answer.
    Redirect(&'a str),
    /// A device that shows a code.
    Device,
    /// A client that named this person, and what it shows its user at the same time.
    Elsewhere(Option<&'a str>),
}

/// What a person answered.
pub(crate) enum Answer {
    Allow(Narrowed),
    Deny,
}

impl Question<'_> {
    /// The form. `hidden` are the fields by which the question is found again.
    pub(crate) fn form(&self, to: &str, hidden: &[(&str, &str)], by: &SignedIn) -> String {
        let mut fields = form_key(by);
        for (name, value) in hidden.iter().copied().chain([("shown", self.digest().as_str())]) {
            let _ = write!(fields, "<input type=\"hidden\" name=\"{name}\" value=\"{}\">", super::escaped(value));
        }
        format!(
            "{}<form method=\"post\" action=\"{to}\">{fields}{}{}\
             <p class=\"dim\">Whatever you allow: it can do nothing here that you may not do yourself, and nothing that \
             the agent may not do. Each step is recorded with your name and the agent's.</p>\
             <div class=\"actions\"><button name=\"answer\" value=\"allow\">Allow</button>\
             <button name=\"answer\" value=\"deny\" class=\"quiet\">Deny</button></div></form>",
            self.facts(),
            self.rights(),
            self.times(),
        )
    }

    /// The answer in a form, if what was shown when it was made is what would be shown now.
    pub(crate) fn answer(&self, posted: &Posted) -> Result<Answer, &'static str> {
        if posted.field("shown") != self.digest() {
            return Err("Something about the agent changed while you read. Look at it again.");
        }
        match posted.field("answer") {
            "deny" => Ok(Answer::Deny),
            "allow" => {
                let kept = posted.pairs.iter().filter(|(name, _)| name == "keep");
                let keep = kept.filter_map(|(_, at)| at.parse().ok()).collect();
                let lasts = posted.field("lasts").parse::<u32>().ok().filter(|lasts| *lasts > 0);
                let lasts = Span::seconds(lasts.ok_or("It does not say for how long.")?.into());
                Ok(Answer::Allow(Narrowed { keep, lasts: Span(lasts.0.min(self.longest.0)) }))
            }
            _ => Err("It is neither yes nor no."),
        }
    }

    /// What binds an answer to what was shown.
    fn digest(&self) -> String {
        let shown = format!("{}{}", self.facts(), self.rights());
        sha256(shown.as_bytes()).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    }

    fn facts(&self) -> String {
        let mut rows = vec![
            ("Agent", text(&self.agent.name)),
            ("What it is for", text(&self.agent.purpose)),
            ("Its sponsor", text(&self.agent.sponsor)),
        ];
        if self.client.kind == ClientKind::MetadataDocument {
            rows.push(("Program of", format!("<strong>{}</strong>", text(host(&self.client.id)))));
            if let Some(name) = &self.client.claimed_name {
                rows.push(("It calls itself", text(name)));
            }
        }
        if self.client.kind == ClientKind::Dynamic {
            rows.push(("Program", "one that registered itself with a code".to_owned()));
        }
        match self.origin {
            Origin::Redirect(uri) => rows.push(("Answer goes to", text(host(uri)))),
            Origin::Elsewhere(Some(message)) => rows.push(("What it shows where it was started", text(message))),
            Origin::Device | Origin::Elsewhere(None) => {}
        }
        let rows =
            rows.iter().fold(String::new(), |all, (name, value)| all + &format!("<dt>{name}</dt><dd>{value}</dd>"));
        format!("<dl>{rows}</dl>{}", self.warning())
    }

    fn warning(&self) -> &'static str {
        let local =
            |uri: &str| ["http://127.0.0.1", "http://[::1]", "http://localhost"].iter().any(|l| uri.starts_with(l));
        match self.origin {
            Origin::Redirect(uri) if local(uri) => {
                "<p class=\"notice warn\">The answer goes to a program on this computer. Any program here could pose as \
                 this agent: go on only if you started it yourself, just now.</p>"
            }
            Origin::Redirect(_) => "",
            Origin::Elsewhere(_) => {
                "<p class=\"notice warn\">This was started somewhere else, with nothing but your name. Go on only if you \
                 started it yourself, or know what it is for.</p>"
            }
            Origin::Device => {
                "<p class=\"notice warn\">Go on only if you started this yourself, and the code is the one that your own \
                 device shows. Nobody who asks you to enter a code for them has a good reason.</p>"
            }
        }
    }

    fn rights(&self) -> String {
        let fixed = self.limits.len() == 1;
        let mut rows = String::new();
        for (at, limit) in self.limits.iter().enumerate() {
            let (what, bounds) = sentence(limit);
            let bounds = if bounds.is_empty() { bounds } else { format!("<small>{bounds}</small>") };
            let _ = match fixed {
                true => write!(rows, "<li><input type=\"hidden\" name=\"keep\" value=\"{at}\">{what}{bounds}</li>"),
                false => write!(
                    rows,
                    "<li><label><input type=\"checkbox\" name=\"keep\" value=\"{at}\" checked><span>{what}{bounds}</span></label></li>"
                ),
            };
        }
        format!("<h2>In your name it wants to</h2><ul class=\"rights\">{rows}</ul>")
    }

    fn times(&self) -> String {
        let longest = self.longest.as_seconds();
        let shorter = [900, 3_600, 14_400].into_iter().filter(|seconds| *seconds < longest);
        let options = shorter.map(|seconds| (seconds, "")).chain([(longest, " selected")]);
        let options = options.fold(String::new(), |all, (seconds, selected)| {
            all + &format!("<option value=\"{seconds}\"{selected}>{}</option>", duration(seconds))
        });
        format!(
            "<h2>For how long</h2><p><label>At the most <select name=\"lasts\">{options}</select></label></p>\
             <p class=\"dim\">It ends earlier when it is not used, when you are suspended, or when somebody ends it.</p>"
        )
    }
}

/// Scheme and host as they are; what people should look at.
fn host(uri: &str) -> &str {
    let start = uri.find("://").map_or(0, |at| at + 3);
    let end = uri[start..].find(['/', '?', '#']).map_or(uri.len(), |at| start + at);
    &uri[..end]
}

fn duration(seconds: i64) -> String {
    match (seconds / 3_600, seconds % 3_600 / 60) {
        (0, minutes) => format!("{minutes} minutes"),
        (1, 0) => "one hour".to_owned(),
        (hours, 0) => format!("{hours} hours"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

/// What a detail lets the agent do, and within which bounds.
fn sentence(limit: &Limit) -> (String, String) {
    let named = |kind: &str, names: &[String], server: &str| match names {
        [] => format!("use <strong>every {kind}</strong> of <strong>{}</strong>", text(server)),
        [name] => format!("use the {kind} <strong>{}</strong> of <strong>{}</strong>", text(name), text(server)),
        names => format!("use the {kind}s <strong>{}</strong> of <strong>{}</strong>", listed(names), text(server)),
    };
    match limit {
        Limit::McpTool { server, tools, constraints, calls } => {
            let calls = calls.map(|calls| format!("{calls} calls at the most"));
            let bounds: Vec<String> = bounds(constraints).into_iter().chain(calls).collect();
            (named("tool", tools, server), bounds.join("; "))
        }
        Limit::McpResource { server, resources } => (named("resource", resources, server), String::new()),
        Limit::McpPrompt { server, prompts } => (named("prompt", prompts, server), String::new()),
        Limit::IdentityAssertion { audience, scopes } => {
            let scopes = (!scopes.is_empty()).then(|| format!("and ask there for {}", listed(scopes)));
            (format!("tell <strong>{}</strong> that it acts for you", text(audience)), scopes.unwrap_or_default())
        }
    }
}

/// All of them, however many: what is not shown was not allowed.
fn listed(names: &[String]) -> String {
    names.iter().map(|name| text(name)).collect::<Vec<_>>().join(", ")
}

fn bounds(constraints: &BTreeMap<String, Bound>) -> Vec<String> {
    let value = |value: &Value| text(&value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    let bound = |(name, bound): (&String, &Bound)| {
        let least = bound.min.map(|min| format!("at least {min}"));
        let most = bound.max.map(|max| format!("at most {max}"));
        let one_of = bound.one_of.iter().map(value).collect::<Vec<_>>().join(" or ");
        let one_of = (!one_of.is_empty()).then_some(one_of);
        let parts: Vec<String> = [least, most, one_of].into_iter().flatten().collect();
        format!("only if {} is {}", text(name), parts.join(" and "))
    };
    constraints.iter().map(bound).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_told_whole() {
        let limits = Limit::read(
            r#"[{"type":"mcp_tool","server":"billing","tools":["refund","<b>"],"calls":5,
                "constraints":{"amount":{"max":100},"currency":{"one_of":["EUR","USD"]}}},
                {"type":"mcp_resource","server":"crm"},
                {"type":"identity_assertion","audience":"https://as.example","scopes":["read"]}]"#,
        )
        .unwrap();
        let (what, bounds) = sentence(&limits[0]);
        assert_eq!(what, "use the tools <strong>refund, &lt;b&gt;</strong> of <strong>billing</strong>");
        assert_eq!(bounds, "only if amount is at most 100; only if currency is EUR or USD; 5 calls at the most");
        let (what, scopes) = sentence(&limits[2]);
        assert_eq!(what, "tell <strong>https://as.example</strong> that it acts for you");
        assert_eq!(scopes, "and ask there for read");
        assert_eq!(sentence(&limits[1]).0, "use <strong>every resource</strong> of <strong>crm</strong>");
    }

    #[test]
    fn hosts_are_shown_whole() {
        assert_eq!(host("https://app.example:8443/cb?x"), "https://app.example:8443");
        assert_eq!(host("http://127.0.0.1:51004"), "http://127.0.0.1:51004");
        assert_eq!(host("https://a.example?x=https://b.example/"), "https://a.example");
    }

    #[test]
    fn times_are_told_in_words() {
        assert_eq!([900, 3_600, 28_800, 5_400].map(duration), ["15 minutes", "one hour", "8 hours", "1 h 30 min"]);
    }
}
