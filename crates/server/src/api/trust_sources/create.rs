//! `POST /v1/trust-sources`

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use chancery_authenticate::{check_bundle, check_key_set};
use chancery_model::TrustKind;
use chancery_model::problem::{BAD_TRUST_SOURCE, Problem};
use chancery_register::TrustRequest;
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::View;
use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::input::Body;
use crate::rooms::Rooms;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    name: String,
    kind: TrustKind,
    agent: String,
    issuer: Option<String>,
    jwks_uri: Option<String>,
    jwks: Option<Value>,
    audience: Option<String>,
    subject: Option<String>,
    #[serde(default)]
    claims: BTreeMap<String, String>,
}

/// Lets a workload of a platform log in as an agent. The next login sees it.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Body(wanted): Body<Wanted>,
) -> Answer<(StatusCode, Json<View>)> {
    let jwks = wanted.jwks.map(|set| set.to_string());
    if let Some(set) = jwks.as_deref() {
        let checked = match wanted.kind.is_spiffe() {
            true => check_bundle(set),
            false => check_key_set(set),
        };
        checked.map_err(|why| Problem::new(BAD_TRUST_SOURCE, format!("jwks: {why}")))?;
    }
    let request = TrustRequest {
        name: wanted.name,
        kind: wanted.kind,
        issuer: wanted.issuer,
        jwks_uri: wanted.jwks_uri,
        jwks,
        audience: wanted.audience,
        subject: wanted.subject,
        claims: wanted.claims,
        agent: wanted.agent,
    };
    let source = rooms.registrar.add_trust_source(&request, &peer.actor()).await?;
    Ok((StatusCode::CREATED, Json(View::of(&rooms, &source))))
}
