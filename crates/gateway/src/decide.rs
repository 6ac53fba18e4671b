//! May it: the one place where the engine is asked.

use std::sync::Arc;

use chancery_authenticate::{Caller, resource_metadata_path};
use chancery_authorize::{Acting, Permit, ServerAct, ToolCall, Verdict};
use chancery_model::Decision;
use chancery_model::problem::{self, Row};
use http::{StatusCode, header};

use crate::gateway::Gateway;
use crate::intend::Intent;
use crate::methods;
use crate::refusal::{Refusal, rpc};

/// Asks whether this may be done. Whatever is not an allow is a refusal.
pub(crate) fn decide(
    gateway: &Arc<Gateway>,
    caller: &Caller,
    reason: Option<&str>,
    intent: &Intent,
) -> Result<(Permit, Decision), Refusal> {
    let by = acting(gateway, caller, reason);
    let now = gateway.clock.now();
    let Verdict { decision, code, why, permit } = match &intent.tool {
        Some(tool) => {
            let (server, definition, tool) = (&*intent.server, Some(tool.tool.digest), tool.tool.name.as_str());
            let (args, args_digest) = (&intent.arguments, intent.given.digest);
            gateway.engine.tool_call(&ToolCall { by, server, tool, definition, args, args_digest }, now)
        }
        None => {
            let (server, action) = (&*intent.server, methods::action(intent.act, &intent.method));
            let (resource, args_digest) = (intent.resource.as_deref(), intent.given.digest);
            gateway.engine.server_act(&ServerAct { by, server, action, resource, args_digest }, now)
        }
    };
    match permit {
        Some(permit) => Ok((permit, decision)),
        None => Err(denied(gateway, intent, code.unwrap_or(problem::DENIED), why.into_owned()).decision(decision)),
    }
}

/// Whoever may not even connect is told so as MCP's authorization has it; any other denial is an error, or a tool
/// result, within a connection that stands.
fn denied(gateway: &Gateway, intent: &Intent, row: Row, why: String) -> Refusal {
    let refusal = Refusal::new(row, rpc::DENIED, why);
    if !matches!(intent.method.as_str(), "initialize" | "server/discover") || refusal.status != 403 {
        return refusal.status(StatusCode::OK);
    }
    let public = &gateway.config.public_url;
    let metadata = resource_metadata_path(&format!("{public}/mcp/{}", intent.server));
    let challenge = format!(r#"DPoP error="insufficient_scope", resource_metadata="{public}{metadata}""#);
    refusal.header(header::WWW_AUTHENTICATE, &challenge)
}

/// Who asks, as policies see it.
pub(crate) fn acting<'a>(gateway: &Gateway, caller: &'a Caller, reason: Option<&'a str>) -> Acting<'a> {
    let session_age = gateway.clock.now() - caller.session.opened_at;
    Acting { agent: &caller.agent.name, human: caller.human.as_deref(), session_age, reason }
}
