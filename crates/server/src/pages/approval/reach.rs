//! How far it goes: what the tool is by its approved definition, and what else whoever asks can do.

use std::collections::BTreeSet;

use chancery_authorize::{Acting, Hints};
use chancery_model::{Approval, Containment, ContainmentId, Scope};
use chancery_store::tools;

use crate::rooms::Rooms;

/// What could come of it, and what whoever asks for it can do besides.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    /// What the tool's definition says of it, where it is about a tool.
    hints: Option<Hints>,
    /// Tools that the agent may call, on how many servers.
    tools: usize,
    servers: usize,
    /// Sessions of others that hang on its own.
    below: usize,
}

/// As it is at this moment.
pub(super) async fn of(rooms: &Rooms, approval: &Approval) -> Reach {
    let now = rooms.clock.now();
    let all = tools::all(&rooms.store).await.unwrap_or_default();
    let tool = all.iter().find(|tool| tool.server == approval.server && tool.name == approval.target);
    let agent = approval.agent_name.as_str();
    let ancestors: Vec<&str> = approval.chain.iter().map(String::as_str).filter(|name| *name != agent).collect();
    let by = Acting { human: approval.human.as_deref(), ancestors: &ancestors, ..Acting::of(agent) };
    let held: Vec<&str> = all
        .iter()
        .filter(|tool| rooms.engine.lists(by, &tool.server, &tool.name, now))
        .map(|tool| tool.server.as_str())
        .collect();
    let session = Containment {
        id: ContainmentId::new(now, &*rooms.random),
        scope: Scope::Session,
        subject: approval.session.to_string(),
        reason: String::new(),
        by: String::new(),
        at: now,
        lifted_at: None,
        lifted_by: None,
        lift_reason: None,
    };
    Reach {
        hints: tool.filter(|_| approval.definition.is_some()).map(Hints::of),
        tools: held.len(),
        servers: held.iter().collect::<BTreeSet<_>>().len(),
        below: rooms.authenticator.count_reached(&session).sessions.saturating_sub(1),
    }
}

impl Reach {
    /// One line each.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(hints) = self.hints {
            lines.push(of_tool(hints).to_owned());
            if !hints.read_only {
                let again = if hints.idempotent { "changes nothing more" } else { "does it again" };
                lines.push(format!("Doing it twice {again}."));
            }
            let wide = if hints.open_world {
                "It reaches things outside its own system"
            } else {
                "It stays in its own system"
            };
            lines.push(format!("{wide}."));
        }
        let tools = counted(self.tools, "tool", "tools");
        lines.push(format!("The agent may use {tools} on {}.", counted(self.servers, "server", "servers")));
        if self.below > 0 {
            lines.push(format!("It has handed on to {} below its own.", counted(self.below, "session", "sessions")));
        }
        lines
    }

    /// Can it do harm that nothing takes back?
    pub(super) fn destroys(&self) -> bool {
        self.hints.is_some_and(|hints| hints.destructive)
    }
}

fn of_tool(hints: Hints) -> &'static str {
    match (hints.read_only, hints.destructive) {
        (true, _) => "The tool only reads.",
        (false, true) => "The tool can delete or overwrite things, or its definition does not say.",
        (false, false) => "The tool adds things, and deletes or overwrites none.",
    }
}

fn counted(count: usize, one: &str, several: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {several}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_of_a_tool_is_taken_for_the_worst() {
        let hints = Hints { destructive: true, idempotent: false, open_world: true, read_only: false };
        let reach = Reach { hints: Some(hints), tools: 3, servers: 1, below: 2 };
        assert_eq!(
            reach.lines(),
            [
                "The tool can delete or overwrite things, or its definition does not say.",
                "Doing it twice does it again.",
                "It reaches things outside its own system.",
                "The agent may use 3 tools on 1 server.",
                "It has handed on to 2 sessions below its own."
            ]
        );
        let hints = Hints { destructive: false, idempotent: true, open_world: false, read_only: true };
        let reach = Reach { hints: Some(hints), tools: 1, servers: 1, below: 0 };
        let lines = ["The tool only reads.", "It stays in its own system.", "The agent may use 1 tool on 1 server."];
        assert_eq!(reach.lines(), lines);
        assert!(!reach.destroys());
    }
}
