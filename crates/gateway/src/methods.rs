//! The methods that are let through, and what each is for the policies. Whatever is not here is denied.
//!
//! `tasks/*` is not here: a task's handle is the upstream's, which sees one credential for every agent, so that one
//! agent could read another's task. It needs handles bound to agents first.

use crate::message::Form;

/// What a method does, as policies and entries see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Speaks with the server without touching anything of it.
    Connect,
    /// Waits for notices. Watching a resource is decided for each that `params.notifications` names.
    Listen,
    /// Lists tools; what the caller may not call is left out.
    ListTools,
    /// Calls a tool.
    CallTool,
    /// Lists resources or their templates.
    ListResources,
    /// Reads or watches one resource, named by `params.uri`.
    ReadResource,
    /// Lists prompts.
    ListPrompts,
    /// Gets one prompt, named by `params.name`.
    GetPrompt,
    /// Asks for completions of an argument.
    Complete,
}

/// Which wires know a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wires {
    /// 2025-11-25 and before: `initialize`, `Mcp-Session-Id`.
    Sessions,
    /// 2026-07-28: every request for itself.
    Stateless,
    Both,
}

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) method: &'static str,
    pub(crate) notification: bool,
    pub(crate) wires: Wires,
    pub(crate) act: Act,
    /// The member of `params` that `Mcp-Name` repeats on the wire of 2026-07-28.
    pub(crate) name: Option<&'static str>,
    /// The members that `params` may have, beside `_meta`, in either revision. Another one could be one of these to a
    /// server that reads names in its own way.
    pub(crate) params: &'static [&'static str],
}

const fn request(method: &'static str, wires: Wires, act: Act, params: &'static [&'static str]) -> Rule {
    Rule { method, notification: false, wires, act, name: None, params }
}

const fn named(
    method: &'static str,
    wires: Wires,
    act: Act,
    name: &'static str,
    params: &'static [&'static str],
) -> Rule {
    Rule { method, notification: false, wires, act, name: Some(name), params }
}

const fn notification(method: &'static str, wires: Wires, params: &'static [&'static str]) -> Rule {
    Rule { method, notification: true, wires, act: Act::Connect, name: None, params }
}

/// The answers to what a server asked for before it would finish a request and what it is to tell of (2026-07-28), and
/// how a call is to run (2025-11-25): they are sent and kept beside the arguments.
pub(crate) const INPUT: [&str; 4] = ["inputResponses", "requestState", "task", "notifications"];

/// What a client may want to be told of (`params.notifications`). The last are resources, by their URIs.
pub(crate) const NOTICES: [&str; 4] =
    ["toolsListChanged", "promptsListChanged", "resourcesListChanged", "resourceSubscriptions"];

/// What watching a resource is for the policies.
pub(crate) const WATCH: &str = "resources/subscribe";

/// What only goes through pages.
const PAGED: &[&str] = &["cursor"];

/// The table.
pub(crate) const METHODS: &[Rule] = &[
    named(
        "tools/call",
        Wires::Both,
        Act::CallTool,
        "name",
        &["name", "arguments", "inputResponses", "requestState", "task"],
    ),
    request("tools/list", Wires::Both, Act::ListTools, PAGED),
    request("initialize", Wires::Sessions, Act::Connect, &["protocolVersion", "capabilities", "clientInfo"]),
    request("server/discover", Wires::Stateless, Act::Connect, &[]),
    request("ping", Wires::Sessions, Act::Connect, &[]),
    request("logging/setLevel", Wires::Sessions, Act::Connect, &["level"]),
    request("subscriptions/listen", Wires::Stateless, Act::Listen, &["notifications"]),
    request("resources/list", Wires::Both, Act::ListResources, PAGED),
    request("resources/templates/list", Wires::Both, Act::ListResources, PAGED),
    named("resources/read", Wires::Both, Act::ReadResource, "uri", &["uri", "inputResponses", "requestState"]),
    named("resources/subscribe", Wires::Sessions, Act::ReadResource, "uri", &["uri"]),
    named("resources/unsubscribe", Wires::Sessions, Act::ReadResource, "uri", &["uri"]),
    request("prompts/list", Wires::Both, Act::ListPrompts, PAGED),
    named("prompts/get", Wires::Both, Act::GetPrompt, "name", &["name", "arguments", "inputResponses", "requestState"]),
    request("completion/complete", Wires::Both, Act::Complete, &["ref", "argument", "context"]),
    notification("notifications/initialized", Wires::Sessions, &[]),
    notification("notifications/cancelled", Wires::Both, &["requestId", "reason"]),
    notification("notifications/progress", Wires::Both, &["progressToken", "progress", "total", "message"]),
    notification("notifications/roots/list_changed", Wires::Sessions, &[]),
];

/// The client's answer to a request of the server, and the two bodiless requests, all of the wire with sessions.
const RESPONSE: Rule = request("response", Wires::Sessions, Act::Connect, &[]);
const LISTEN: Rule = request("GET", Wires::Sessions, Act::Connect, &[]);
const END: Rule = request("DELETE", Wires::Sessions, Act::Connect, &[]);

/// The rule for a message on a wire, if there is one.
pub(crate) fn rule(form: &Form, method: &str, stateless: bool) -> Option<&'static Rule> {
    let wire = if stateless { Wires::Stateless } else { Wires::Sessions };
    let fits = |rule: &&'static Rule| rule.wires == Wires::Both || rule.wires == wire;
    match form {
        Form::Response(_) => Some(&RESPONSE).filter(fits),
        Form::Listen => Some(&LISTEN).filter(fits),
        Form::End => Some(&END).filter(fits),
        Form::Request(_) | Form::Notification => {
            let notification = matches!(form, Form::Notification);
            METHODS.iter().find(|rule| rule.method == method && rule.notification == notification).filter(fits)
        }
    }
}

/// The action of the schema that an act is. Listing tools is open to whoever may connect: each tool is decided for
/// itself, and left out of the list where it may not be called.
pub(crate) fn action(act: Act, method: &str) -> &'static str {
    match (act, method) {
        (Act::ReadResource, "resources/subscribe" | "resources/unsubscribe") => WATCH,
        (Act::ReadResource, _) => "resources/read",
        (Act::ListResources, _) => "resources/list",
        (Act::ListPrompts, _) => "prompts/list",
        (Act::GetPrompt, _) => "prompts/get",
        (Act::Complete, _) => "completion/complete",
        (Act::Connect | Act::Listen | Act::ListTools | Act::CallTool, _) => "mcp/connect",
    }
}

/// The same for a method as the record names it, of an entry without a tool. Whoever waits for notices names a resource
/// where one was refused.
pub fn action_of(method: &str, resource: Option<&str>) -> &'static str {
    let act = METHODS.iter().find(|rule| rule.method == method).map_or(Act::Connect, |rule| rule.act);
    if act == Act::Listen && resource.is_some() { WATCH } else { action(act, method) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Id;

    #[test]
    fn a_method_belongs_to_its_wire() {
        let form = Form::Request(Id::Number(1));
        assert!(rule(&form, "initialize", false).is_some());
        assert!(rule(&form, "initialize", true).is_none());
        assert!(rule(&form, "server/discover", true).is_some());
        assert!(rule(&form, "server/discover", false).is_none());
        assert!(rule(&form, "tools/call", true).is_some() && rule(&form, "tools/call", false).is_some());
        assert!(rule(&Form::Response(Id::Number(1)), "", true).is_none());
    }

    #[test]
    fn a_request_is_not_smuggled_as_a_notification() {
        assert!(rule(&Form::Notification, "tools/call", false).is_none());
        assert!(rule(&Form::Request(Id::Number(1)), "notifications/initialized", false).is_none());
    }

    #[test]
    fn no_method_stands_twice() {
        for (i, rule) in METHODS.iter().enumerate() {
            assert!(METHODS[i + 1..].iter().all(|other| other.method != rule.method), "{}", rule.method);
        }
    }
}
