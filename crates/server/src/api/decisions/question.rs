//! The question behind an entry, put together again from what is kept.

use std::sync::Arc;

use chancery_authorize::{Asked, Asker};
use chancery_model::{Kind, Limit, SessionId};
use chancery_record::Found;
use chancery_store::{bodies, sessions};
use serde_json::Value;

use crate::failure::Answer;
use crate::rooms::Rooms;

/// The question; nothing if its parts are not kept (any more).
pub(super) async fn of(rooms: &Rooms, found: &Found) -> Answer<Option<Asked>> {
    let kept = bodies::get(&rooms.store, found.position).await?;
    let content = |name: &str| {
        let body = kept.iter().find(|body| body.name == name)?;
        serde_json::from_slice::<Value>(&body.kept.as_ref()?.content).ok()
    };
    if let Some(question) = content("question") {
        return Ok(serde_json::from_value(question).ok());
    }
    let draft = &found.entry.draft;
    let (Some(agent), Some(server)) = (draft.who.name.clone(), draft.what.server.clone()) else { return Ok(None) };
    let by = Asker {
        agent,
        human: draft.who.human.clone(),
        ancestors: ancestors(found),
        limits: limits(rooms, found).await?,
        // One that was only asked for is named by the refusal.
        approved: draft.kind == Kind::Intent && draft.authority.approval.is_some(),
        session_age: session_age(rooms, found).await?,
        reason: draft.why.reason.clone(),
        // What policies did not look at was not kept.
        facts: content("context").and_then(|kept| serde_json::from_value(kept).ok()).unwrap_or_default(),
    };
    Ok(match (&draft.what.tool, &draft.what.action) {
        (Some(tool), _) => {
            // Of a call without arguments none are kept; erased ones are still listed.
            let none = kept.iter().all(|body| body.name != "arguments");
            let args = if none { Some(Value::Null) } else { content("arguments") };
            args.map(|args| Asked::ToolCall { by, server, tool: tool.clone(), args })
        }
        (None, Some(action)) => {
            // The record names the method of MCP, the policies an action of the schema.
            let resource = draft.what.resource.clone();
            let action = chancery_gateway::action_of(action, resource.as_deref()).to_owned();
            Some(Asked::ServerAct { by, server, action, resource })
        }
        (None, None) => None,
    })
}

/// The agents of the chain before the one that acted.
fn ancestors(found: &Found) -> Vec<String> {
    let who = &found.entry.draft.who;
    let agents = who.chain.iter().skip(usize::from(who.human.is_some()));
    let agents: Vec<String> = agents.cloned().collect();
    agents.split_last().map_or_else(Vec::new, |(_, before)| before.to_vec())
}

/// What the sessions of the chain are narrowed to; that never changes.
async fn limits(rooms: &Rooms, found: &Found) -> Answer<Vec<Arc<[Limit]>>> {
    let mut next: Option<SessionId> = found.entry.draft.authority.session.as_deref().and_then(|id| id.parse().ok());
    let mut limits = Vec::new();
    while let Some(id) = next {
        let Some(session) = sessions::get(&rooms.store, &id).await? else { break };
        if !session.limits.is_empty() {
            limits.push(session.limits.clone());
        }
        next = session.parent;
    }
    Ok(limits)
}

async fn session_age(rooms: &Rooms, found: &Found) -> Answer<i64> {
    let id = found.entry.draft.authority.session.as_deref().and_then(|id| id.parse().ok());
    let session = match id {
        Some(id) => sessions::get(&rooms.store, &id).await?,
        None => None,
    };
    Ok(session.map_or(0, |session| (found.entry.draft.at - session.opened_at).as_seconds()))
}
