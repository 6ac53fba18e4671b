//! `GET /.well-known/…`: RFC 8414, RFC 9728, AuthZEN 1.0 section 9, and its access request and
//! approval profile (Draft 1, "PDP Metadata").

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use chancery_authenticate::{AuthorizationServer, ProtectedResource};
use chancery_model::problem::{NO_SERVER, Problem};
use serde_json::{Value, json};

use crate::failure::Answer;
use crate::rooms::Rooms;

/// `/.well-known/oauth-authorization-server`
pub(crate) async fn authorization_server(State(rooms): State<Arc<Rooms>>) -> Json<AuthorizationServer> {
    Json(rooms.authenticator.metadata())
}

/// `/.well-known/oauth-protected-resource/access/v1`, and the same without a path: that of the access API.
pub(crate) async fn access_resource(State(rooms): State<Arc<Rooms>>) -> Answer<Json<ProtectedResource>> {
    resource(&rooms, &rooms.access.resource)
}

/// `/.well-known/oauth-protected-resource/ssf`
pub(crate) async fn ssf_resource(State(rooms): State<Arc<Rooms>>) -> Answer<Json<ProtectedResource>> {
    resource(&rooms, &crate::ssf::resource(&rooms.url))
}

/// `/.well-known/oauth-protected-resource/mcp/{server}`
pub(crate) async fn mcp_resource(
    State(rooms): State<Arc<Rooms>>,
    Path(server): Path<String>,
) -> Answer<Json<ProtectedResource>> {
    resource(&rooms, &rooms.mcp_resource(&server))
}

fn resource(rooms: &Rooms, resource: &str) -> Answer<Json<ProtectedResource>> {
    let missing = || Problem::new(NO_SERVER, format!("`{resource}` is no resource of this server"));
    Ok(Json(rooms.authenticator.resource_metadata(resource).ok_or_else(missing)?))
}

/// `/.well-known/authzen-configuration`
pub(crate) async fn authzen(State(rooms): State<Arc<Rooms>>) -> Json<Value> {
    Json(json!({
        "policy_decision_point": rooms.url,
        "access_evaluation_endpoint": rooms.access.evaluation,
        "access_evaluations_endpoint": rooms.access.evaluations,
        "access_request_endpoint": rooms.access.requests,
        "capabilities": ["urn:openid:authzen:capability:access-request"],
    }))
}
