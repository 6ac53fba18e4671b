//! Decoys: now and then, where the configuration wants it, a request that nobody may say yes to stands among the real ones.
//!
//! It is made of a real one, with its amounts so high that policies refuse it even once people approve. It is about no
//! call: nothing waits for it, and nothing can use it.

use chancery_authenticate::Caller;
use chancery_authenticate::jose::sha256;
use chancery_authorize::{Acting, Facts, ToolCall};
use chancery_model::{Outcome, canonical};
use chancery_oversee::approvals::Wanted;
use serde_json::Value;

use crate::decide;
use crate::gateway::Gateway;
use crate::intend::Intent;

/// By how much amounts are raised, until policies refuse them.
const RAISED: [i64; 4] = [10, 100, 1_000, 10_000];

/// Puts one beside a real request, if it is time for one and this one can be raised beyond what policies allow.
pub(crate) async fn place(gateway: &Gateway, caller: &Caller, intent: &Intent, facts: &Facts, wanted: &Wanted<'_>) {
    // Of what nobody asks for no server foretells anything: beside requests that say so, a decoy would stand out.
    if wanted.dry_run.is_some() || !gateway.approvals.wants_decoy() {
        return;
    }
    let refused = |arguments: &Value| is_refused(gateway, caller, intent, facts, (wanted.reason, arguments));
    // Facts that are not at hand here would refuse everything: then it says nothing that the raised one is refused.
    if refused(&intent.arguments) {
        return;
    }
    let raised = RAISED.iter().filter_map(|factor| raised(&intent.arguments, *factor)).find(refused);
    let Some(bytes) = raised.and_then(|arguments| canonical(&arguments).ok()) else { return };
    let decoy = Wanted { arguments: Some(&bytes), ..wanted.clone() };
    if let Err(error) = gateway.approvals.place_decoy(&decoy).await {
        tracing::warn!(%error, "a decoy could not be placed among the requests for approval");
    }
}

/// Do policies refuse it, whatever people say?
fn is_refused(
    gateway: &Gateway,
    caller: &Caller,
    intent: &Intent,
    facts: &Facts,
    (reason, arguments): (Option<&str>, &Value),
) -> bool {
    let Some(tool) = &intent.tool else { return false };
    let ancestors = decide::ancestors(caller);
    let by = Acting { approved: true, ..decide::acting(gateway, caller, reason, (facts, &ancestors)) };
    let call = ToolCall {
        by,
        server: &intent.server,
        tool: tool.tool.name.as_str(),
        definition: Some(tool.tool.digest),
        args: arguments,
        args_digest: sha256(&canonical(arguments).unwrap_or_default()),
    };
    let verdict = gateway.engine.tool_call(&call, gateway.clock.now());
    verdict.permit.is_none() && verdict.decision.outcome == Outcome::Deny && verdict.decision.errors.is_empty()
}

/// The same with every whole number multiplied; nothing if there is none, or it gets too large.
fn raised(arguments: &Value, factor: i64) -> Option<Value> {
    let mut raised = arguments.clone();
    raise(&mut raised, factor).filter(|count| *count > 0).map(|_| raised)
}

fn raise(value: &mut Value, factor: i64) -> Option<usize> {
    match value {
        Value::Number(number) if number.as_i64().is_some_and(|number| number > 0) => {
            *value = number.as_i64()?.checked_mul(factor)?.into();
            Some(1)
        }
        Value::Array(items) => items.iter_mut().try_fold(0, |count, item| Some(count + raise(item, factor)?)),
        Value::Object(members) => members.values_mut().try_fold(0, |count, item| Some(count + raise(item, factor)?)),
        _ => Some(0),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_amount_is_raised_and_nothing_else() {
        let call = json!({"amount": 340, "lines": [{"count": 2, "sku": "a"}], "zero": 0, "part": 1.5, "note": "7"});
        let raised_ten =
            json!({"amount": 3400, "lines": [{"count": 20, "sku": "a"}], "zero": 0, "part": 1.5, "note": "7"});
        assert_eq!(raised(&call, 10), Some(raised_ten));
        assert_eq!(raised(&json!({"note": "x"}), 10), None);
        assert_eq!(raised(&json!({"amount": i64::MAX}), 10), None);
    }
}
