//! `GET` and `POST /v1/agents/{name}/manifest`, and the same of `/v1/blueprints/{name}`

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{MethodRouter, get};
use axum::{Extension, Json};
use chancery_model::problem::{BAD_MANIFEST, BAD_REQUEST, Problem};
use chancery_model::{Digest, Manifest};
use chancery_register::{Approval, Manifests};
use serde::{Deserialize, Serialize};

use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::input::Body;
use crate::rooms::Rooms;

/// What is known of a manifest; times in RFC 3339.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    name: String,
    /// The approved one; without one, any is accepted.
    digest: Option<Digest>,
    manifest: Option<Manifest>,
    seen_digest: Option<Digest>,
    seen_manifest: Option<Manifest>,
    seen_by: Option<String>,
    seen_at: Option<String>,
    /// The members in which the two differ, where both are known in full.
    changed: Vec<&'static str>,
    /// The command that approves exactly what is shown as seen.
    approve: Option<String>,
}

impl View {
    fn of(name: &str, noun: &str, known: &Manifests) -> Self {
        let seen = known.seen.as_ref();
        let whole = seen.and_then(|seen| seen.manifest.as_ref());
        let both = known.approved.as_ref().zip(whole);
        Self {
            name: name.to_owned(),
            digest: known.digest,
            manifest: known.approved.clone(),
            seen_digest: seen.map(|seen| seen.digest),
            seen_manifest: whole.cloned(),
            seen_by: seen.map(|seen| seen.by.clone()),
            seen_at: seen.map(|seen| seen.at.rfc3339()),
            changed: both.map(|(approved, seen)| approved.differing(seen)).unwrap_or_default(),
            approve: seen.map(|seen| format!("chancery {noun} manifest {name} --approve {}", seen.digest)),
        }
    }
}

/// Either the digest of what was looked at, or a whole manifest.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    digest: Option<String>,
    manifest: Option<Manifest>,
}

impl Wanted {
    fn approval(&self) -> Answer<Approval> {
        let bad = |e: chancery_model::BadManifest| Problem::new(BAD_MANIFEST, e.to_string());
        match (&self.digest, &self.manifest) {
            (Some(digest), None) => Ok(Approval::Seen(digest.parse().map_err(bad)?)),
            (None, Some(manifest)) => {
                manifest.check().map_err(bad)?;
                Ok(Approval::Whole(manifest.clone()))
            }
            _ => Err(Problem::new(BAD_REQUEST, "send either `digest` or `manifest`").into()),
        }
    }
}

/// Whose manifest.
#[derive(Clone, Copy)]
pub(crate) enum Whose {
    Agent,
    Blueprint,
}

/// The two verbs, for agents and for blueprints.
pub(crate) fn of(whose: Whose) -> MethodRouter<Arc<Rooms>> {
    let shown = move |State(rooms): State<Arc<Rooms>>, Path(name): Path<String>| show(whose, rooms, name);
    let approved = move |State(rooms): State<Arc<Rooms>>,
                         Extension(peer): Extension<Peer>,
                         Path(name): Path<String>,
                         Body(wanted): Body<Wanted>| approve(whose, rooms, peer, name, wanted);
    get(shown).post(approved)
}

/// What it is to be made of, and what was stated that is not approved: by itself, or by an instance.
async fn show(whose: Whose, rooms: Arc<Rooms>, name: String) -> Answer<Json<View>> {
    let (noun, known) = match whose {
        Whose::Agent => ("agent", rooms.registrar.agent_manifest(&name).await?),
        Whose::Blueprint => ("blueprint", rooms.registrar.blueprint_manifest(&name).await?),
    };
    Ok(Json(View::of(&name, noun, &known)))
}

/// What was looked at becomes the approved one. If it is another than before, the sessions of the agent, or of all
/// instances, are over.
async fn approve(whose: Whose, rooms: Arc<Rooms>, peer: Peer, name: String, wanted: Wanted) -> Answer<Json<View>> {
    let approval = wanted.approval()?;
    match whose {
        Whose::Agent => drop(rooms.registrar.approve_agent(&name, &approval, &peer.actor()).await?),
        Whose::Blueprint => drop(rooms.registrar.approve_blueprint(&name, &approval, &peer.actor()).await?),
    }
    show(whose, rooms, name).await
}
