//! `GET /v1/decisions/{id}`

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use chancery_model::{DecisionId, Kind, NearMiss, Outcome, Share};
use chancery_record::Found;
use chancery_store::policies as stored;
use serde::Serialize;

use super::then::Explained;
use super::{question, then};
use crate::api::log::{View as EntryView, entry_id, result_name};
use crate::failure::Answer;
use crate::rooms::Rooms;

/// A decision with its reasons: the entry, the policies as they were, and what would have made it pass.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    outcome: &'static str,
    #[serde(flatten)]
    entry: EntryView,
    /// The policies that determined it, with their text at that time.
    determining: Vec<Policy>,
    /// The answer of each whose right it took: the person, every agent of the chain, the task. Empty where it took the
    /// agent's own right alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    shares: Vec<Share>,
    /// Empty for what passed.
    would_pass: Vec<NearMiss>,
    /// Why `would_pass` may be less than exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    caveat: Option<String>,
    /// What became of it, for an intent.
    #[serde(skip_serializing_if = "Option::is_none")]
    result_of: Option<Ending>,
    /// Where its record stands, in a sentence.
    record: String,
}

#[derive(Debug, Serialize)]
struct Policy {
    policy: String,
    file: Option<String>,
    text: Option<String>,
}

#[derive(Debug, Serialize)]
struct Ending {
    id: String,
    result: &'static str,
    detail: Option<String>,
}

/// Why something was decided. The id of an outcome leads to the decision it closes.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>, Path(id): Path<String>) -> Answer<Json<View>> {
    let asked = rooms.recorder.entry(entry_id(&id)?.0).await?;
    let found = match asked.entry.draft.closes {
        Some(position) => rooms.recorder.entry(position).await?,
        None => asked,
    };
    let draft = &found.entry.draft;
    let set = match &draft.authority.policy_version {
        Some(version) => stored::get(&rooms.store, version).await?,
        None => None,
    };
    let named = draft.authority.policies.iter().map(|policy| match &set {
        Some(set) => then::written(policy, &set.files),
        None => (None, None),
    });
    let determining = draft.authority.policies.iter().zip(named).map(|(policy, (file, text))| Policy {
        policy: policy.to_string(),
        file,
        text,
    });
    let determining = determining.collect();
    let Explained { would_pass, shares, caveat } = explained(&rooms, &found, set.as_ref()).await?;
    Ok(Json(View {
        outcome: outcome(&found),
        determining,
        shares,
        would_pass,
        caveat,
        result_of: ending(&rooms, &found).await?,
        record: record(&rooms, &found).await?,
        entry: EntryView::from(&found),
    }))
}

fn outcome(found: &Found) -> &'static str {
    match (found.entry.draft.kind, found.entry.draft.decision) {
        (Kind::Change, _) => "changed",
        (_, Some(Outcome::Allow)) => "allowed",
        (_, Some(Outcome::RequireApproval)) => "needs approval",
        (_, Some(Outcome::StepUp)) => "needs step-up",
        _ => "denied",
    }
}

/// What passed is asked again only where it took the right of several.
async fn explained(rooms: &Rooms, found: &Found, set: Option<&stored::PolicySet>) -> Answer<Explained> {
    let draft = &found.entry.draft;
    let passed = draft.decision == Some(Outcome::Allow);
    let alone = draft.who.human.is_none() && draft.who.chain.len() < 2;
    let (Some(set), Some(decision)) = (set, draft.decision) else { return Ok(Explained::default()) };
    if draft.kind == Kind::Change || (passed && alone) {
        return Ok(Explained::default());
    }
    let Some(asked) = question::of(rooms, found).await? else {
        return Ok(match passed {
            true => Explained::default(),
            false => Explained::not("the request was refused before the policies were asked, or was erased"),
        });
    };
    let mut explained = then::explain(rooms, set, &asked, draft.at).await?;
    // What was decided on other grounds, a budget of calls or today's tools, is not told as the answer of somebody.
    let strictest = explained.shares.iter().map(|share| share.outcome).max_by_key(|outcome| outcome.strictness());
    if strictest != Some(decision) {
        explained.shares.clear();
    }
    if passed {
        explained.would_pass.clear();
    }
    Ok(explained)
}

async fn ending(rooms: &Rooms, found: &Found) -> Answer<Option<Ending>> {
    if found.entry.draft.kind != Kind::Intent {
        return Ok(None);
    }
    let outcome = rooms.recorder.outcome_of(found.position).await?;
    Ok(outcome.map(|outcome| Ending {
        id: DecisionId(outcome.position).to_string(),
        result: outcome.entry.draft.result.map_or("indeterminate", result_name),
        detail: outcome.entry.draft.detail,
    }))
}

async fn record(rooms: &Rooms, found: &Found) -> Answer<String> {
    let proof = rooms.recorder.inclusion_proof(found.position).await?;
    let (index, size) = (proof.index, proof.signed.checkpoint.size);
    Ok(format!("leaf {index} of the signed tree of {size}: proven just now"))
}
