//! Policies, agents and grants as they were at the time of a decision.

use std::collections::BTreeMap;

use chancery_authorize::{Asked, Engine, Files, Snapshot, Sources, as_of};
use chancery_model::{Agent, AgentState, NearMiss, Share, Timestamp, ToolState};
use chancery_store::policies::PolicySet;
use chancery_store::{agents, grants, tools};

use crate::failure::Answer;
use crate::policies::sha256;
use crate::rooms::Rooms;

/// A decision asked again.
#[derive(Default)]
pub(super) struct Explained {
    /// What would have made it pass; empty for what passed.
    pub(super) would_pass: Vec<NearMiss>,
    /// The answer of each whose right it took, where it took those of several.
    pub(super) shares: Vec<Share>,
    /// Why this may be less than exact.
    pub(super) caveat: Option<String>,
}

impl Explained {
    /// Nothing can be said, for this reason.
    pub(super) fn not(why: &str) -> Self {
        Self { caveat: Some(why.to_owned()), ..Self::default() }
    }
}

/// Asks again, over policies, agents and grants as they were.
pub(super) async fn explain(rooms: &Rooms, set: &PolicySet, asked: &Asked, at: Timestamp) -> Answer<Explained> {
    let files = Files(set.files.clone());
    let servers: Vec<String> = rooms.config.servers.keys().cloned().collect();
    let mut tools = tools::all(&rooms.store).await?;
    // One that is quarantined today may not have been then.
    tools.iter_mut().filter(|tool| tool.was_approved()).for_each(|tool| tool.state = ToolState::Pinned);
    let sources = Sources { files: &files, servers: &servers, tools: &tools, hash: sha256 };
    let Ok(snapshot) = Snapshot::build(&sources) else {
        return Ok(Explained::not("the policies of that time do not fit today's tools: they cannot be asked again"));
    };
    let same = **snapshot.version() == *set.version;
    let engine = Engine::new(snapshot);
    // Who was asked about at the gateway had been admitted, whatever became of it since.
    let admitted = !matches!(asked, Asked::Evaluation(_));
    for agent in agents::all(&rooms.store).await? {
        let state = if admitted { AgentState::Active } else { agent.state };
        engine.agent_changed(&Agent { state, ..agent });
    }
    for grant in as_of(&grants::all(&rooms.store).await?, at) {
        // One that did not fit then gave nothing then either.
        let _ = engine.grant_changed(&grant);
    }
    let caveat = (!same).then(|| "tool definitions changed since: asked again with today's".to_owned());
    Ok(Explained { would_pass: engine.explain(asked, at), shares: engine.shares(asked, at), caveat })
}

/// The file and the text of the policy with this `@id`.
pub(super) fn written(policy: &str, files: &BTreeMap<String, String>) -> (Option<String>, Option<String>) {
    let mark = format!("@id(\"{policy}\")");
    let found = files.iter().filter(|(name, _)| name.ends_with(".cedar")).find_map(|(name, text)| {
        let at = text.find(&mark)?;
        Some((name.clone(), text[at..at + statement(&text[at..])].to_owned()))
    });
    found.map_or((None, None), |(name, text)| (Some(name), Some(text)))
}

/// How long the statement at the start is: to its semicolon, which may stand in strings and comments before.
fn statement(text: &str) -> usize {
    let (mut quoted, mut comment, mut escaped) = (false, false, false);
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match c {
            '\n' => comment = false,
            _ if comment => {}
            '"' if !escaped => quoted = !quoted,
            '/' if before == '/' && !quoted => comment = true,
            ';' if !quoted => return at + 1,
            _ => {}
        }
        escaped = quoted && c == '\\' && !escaped;
        before = c;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_policy_is_found_whole() {
        let text = "@id(\"a\")\npermit (principal, action, resource); // x; y\n\n@id(\"b\") // why; not\nforbid (principal, \
                    action, resource)\nwhen { context.s == \"a;\\\"b;\" };\n@id(\"c\") permit (principal, action, resource);";
        let files = BTreeMap::from([("x.cedar".to_owned(), text.to_owned())]);
        let (file, found) = written("b", &files);
        assert_eq!(file.as_deref(), Some("x.cedar"));
        let found = found.unwrap();
        assert!(found.starts_with("@id(\"b\")") && found.ends_with("};"), "{found}");
        assert_eq!(written("d", &files), (None, None));
    }
}
