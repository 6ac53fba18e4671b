//! `PUT` and `DELETE /v1/agents/{name}/certificate`

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use chancery_authenticate::certificate_thumbprint;
use chancery_model::CertificateRule;
use chancery_model::problem::{BAD_CERTIFICATE, Problem};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;

use super::{Because, View};
use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::input::Body;
use crate::rooms::Rooms;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    #[serde(default)]
    pem: Option<String>,
    #[serde(default)]
    dns: Option<String>,
    #[serde(default)]
    uri: Option<String>,
    #[serde(default)]
    reason: Option<String>,
}

/// Makes a certificate the agent's: this very one, or those of the configured roots with this name. What was opened
/// before ends.
pub(crate) async fn set(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
    Body(wanted): Body<Wanted>,
) -> Answer<Json<View>> {
    let rule = match (wanted.pem, wanted.dns, wanted.uri) {
        (Some(pem), None, None) => exact(&rooms, &pem)?,
        (None, Some(dns), None) => CertificateRule::Dns(dns),
        (None, None, Some(uri)) => CertificateRule::Uri(uri),
        _ => return Err(Problem::new(BAD_CERTIFICATE, "say one of `pem`, `dns` and `uri`").into()),
    };
    let because = Because { reason: wanted.reason };
    let changed = rooms.registrar.set_certificate(&name, rule, because.text(), &peer.actor()).await?;
    Ok(Json(View::of(changed, &rooms)))
}

/// Takes the agent's certificate away. What was opened with it ends.
pub(crate) async fn remove(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
) -> Answer<Json<View>> {
    let changed = rooms.registrar.remove_certificate(&name, Because::default().text(), &peer.actor()).await?;
    Ok(Json(View::of(changed, &rooms)))
}

fn exact(rooms: &Rooms, pem: &str) -> Answer<CertificateRule> {
    let refused = |why: String| Problem::new(BAD_CERTIFICATE, why);
    let read = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    let read = read.map_err(|e| refused(format!("it is not PEM: {e}")))?;
    let [only] = read.as_slice() else {
        return Err(refused(format!("{} certificates: send the agent's own, alone", read.len())).into());
    };
    Ok(CertificateRule::Exact(certificate_thumbprint(only, rooms.clock.now()).map_err(refused)?))
}
