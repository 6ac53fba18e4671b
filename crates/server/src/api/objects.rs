//! The inventory: what other systems have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use chancery_discover::{DiscoverError, Listed};
use chancery_model::problem::{BAD_REQUEST, Problem};
use chancery_model::{Link, NodeKind, ObjectBody, ObjectState, Urn};
use chancery_store::objects;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::failure::{Answer, Failure};
use crate::input::{Items, Params};
use crate::rooms::Rooms;

/// The most objects of one answer.
const MOST: u32 = 1_000;

/// An object as the API shows it; times in RFC 3339.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    /// Its place in the list: where the next page begins.
    number: u64,
    urn: Urn,
    kind: NodeKind,
    name: String,
    source: String,
    scope: String,
    state: ObjectState,
    /// The registered identity that it is. Without one it can get no credential here.
    adopted_by: Option<String>,
    /// When it was seen first.
    first_seen: String,
    /// The last time of which it is known that it was there.
    last_seen: String,
    /// Since when what is shown is known of it.
    changed_at: String,
    within: Option<String>,
    keys: BTreeSet<String>,
    attributes: BTreeMap<String, Value>,
    edges: BTreeSet<Link>,
}

/// What was known at some time.
#[derive(Debug, Serialize)]
pub(crate) struct Past {
    /// When it held.
    observed_at: String,
    /// When it was written down.
    recorded_at: String,
    state: ObjectState,
    sweep: String,
    /// What was said of it; nothing where that did not change.
    is: Option<ObjectBody>,
}

/// Which objects.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    state: Option<ObjectState>,
    /// A part of the name.
    #[serde(default)]
    text: Option<String>,
    /// The number of the last one that is known already.
    #[serde(default)]
    after: u64,
    #[serde(default)]
    limit: Option<u32>,
}

impl From<Listed> for View {
    fn from(listed: Listed) -> Self {
        let Listed { stored, last_seen } = listed;
        let (urn, is) = (stored.object.urn, stored.object.is);
        Self {
            number: stored.id,
            kind: urn.kind(),
            name: is.name,
            source: urn.source(),
            scope: urn.scope(),
            state: stored.state,
            adopted_by: stored.adopted_by,
            first_seen: stored.first_seen.rfc3339(),
            last_seen: last_seen.rfc3339(),
            changed_at: stored.changed_at.rfc3339(),
            within: is.within,
            keys: is.keys,
            attributes: is.attributes,
            edges: is.edges,
            urn,
        }
    }
}

impl Wanted {
    fn filter(self) -> Answer<objects::Wanted> {
        let kind = self.kind.as_deref().map(|kind| NodeKind::parse(kind).ok_or_else(|| no_kind(kind))).transpose()?;
        let most = self.limit.unwrap_or(MOST).min(MOST);
        let (source, state, text) = (self.source, self.state, self.text);
        Ok(objects::Wanted { kind, source, state, text, after: self.after, most })
    }
}

fn no_kind(kind: &str) -> Failure {
    let kinds: Vec<&str> = NodeKind::ALL.iter().map(|kind| kind.as_str()).collect();
    let kind: String = kind.chars().take(60).collect();
    Problem::new(BAD_REQUEST, format!("`{kind}` is no kind; these are: {}", kinds.join(", "))).into()
}

/// `GET /v1/objects`: at most a thousand of those that are wanted, in the order in which they became known.
pub(crate) async fn list(State(rooms): State<Arc<Rooms>>, Params(wanted): Params<Wanted>) -> Answer<Json<Items<View>>> {
    let found = rooms.discovery.objects(&wanted.filter()?).await?;
    Ok(Json(found.into_iter().map(View::from).collect()))
}

/// `GET /v1/objects/{urn}`
pub(crate) async fn get(State(rooms): State<Arc<Rooms>>, Path(urn): Path<String>) -> Answer<Json<View>> {
    Ok(Json(rooms.discovery.object(&urn).await?.into()))
}

/// `GET /v1/objects/{urn}/history`: what was known of it when, oldest first.
pub(crate) async fn history(State(rooms): State<Arc<Rooms>>, Path(urn): Path<String>) -> Answer<Json<Items<Past>>> {
    let found = rooms.discovery.object(&urn).await?;
    let past = objects::history(&rooms.store, found.stored.id).await.map_err(DiscoverError::from)?;
    let view = |one: objects::Observation| Past {
        observed_at: one.observed_at.rfc3339(),
        recorded_at: one.recorded_at.rfc3339(),
        state: one.state,
        sweep: one.sweep.to_string(),
        is: one.body,
    };
    Ok(Json(past.into_iter().map(view).collect()))
}
