//! The TCP door: what agents, their clients and enforcers use.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use chancery_model::problem::{NO_ENDPOINT, NO_METHOD, Problem};

use super::guard::{Door, Leave, Names};
use super::person;
use super::time::Times;
use crate::failure::Failure;
use crate::oauth::{authorize, enrol, introspect, jwks, metadata, par, register, revoke, token};
use crate::pages::{self, approval, asked, device, home, passkeys, presence, proposals, sign_in, step_up};
use crate::rooms::Rooms;
use crate::{Role, authzen, callback, front, health, spiffe, ssf};

/// The longest body that an endpoint reads at once, in bytes.
const BODY: usize = 1 << 20;

/// Every address of this door.
pub(crate) fn door(rooms: Arc<Rooms>, names: Names) -> Door {
    let only_gateway = rooms.config.node.role == Role::Gateway;
    let leave = Leave { lease: Some(Arc::clone(rooms.store.lease())), only_gateway };
    let people = Router::new()
        .route("/sign-in", get(sign_in::home).post(sign_in::enter))
        .route("/sign-in/{code}", get(sign_in::show).post(sign_in::redeem))
        .route("/sign-out", post(sign_in::leave))
        .route("/step-up", get(step_up::show).post(step_up::confirm))
        .route("/passkeys", get(passkeys::show).post(passkeys::add))
        .route("/passkeys/{id}", post(passkeys::change))
        .route("/proposals", get(proposals::show))
        .route("/proposals/{id}", post(proposals::answer))
        .route("/device", get(device::show).post(device::answer))
        .route("/asked", get(asked::show))
        .route("/asked/{id}", get(asked::open).post(asked::answer))
        .route("/approvals/{id}", get(approval::show).post(approval::decide))
        .route("/presence/{session}", get(presence::show).post(presence::confirm))
        .route("/oauth/authorize", get(authorize::show))
        .route("/oauth/consent", post(authorize::answer))
        .route_layer(from_fn_with_state(Arc::clone(&rooms), home::lead));
    let router = Router::new()
        .merge(people)
        .merge(person::routes(&rooms))
        .route("/", get(front::page))
        .route("/front.css", get(front::style))
        .route("/.well-known/oauth-authorization-server", get(metadata::authorization_server))
        .route("/.well-known/openid-configuration", get(metadata::authorization_server))
        .route("/.well-known/oauth-protected-resource", get(metadata::access_resource))
        .route("/.well-known/oauth-protected-resource/access/v1", get(metadata::access_resource))
        .route("/.well-known/oauth-protected-resource/mcp/{server}", get(metadata::mcp_resource))
        .route("/.well-known/oauth-protected-resource/ssf", get(metadata::ssf_resource))
        .route("/.well-known/authzen-configuration", get(metadata::authzen))
        .route("/.well-known/ssf-configuration", get(ssf::metadata::configuration))
        .route("/oauth/token", post(token::handle))
        .route("/oauth/introspect", post(introspect::handle))
        .route("/oauth/revoke", post(revoke::handle))
        .route("/oauth/par", post(par::handle))
        .route("/oauth/device_authorization", post(crate::oauth::device::handle))
        .route("/oauth/bc-authorize", post(crate::oauth::backchannel::handle))
        .route("/oauth/register", post(register::handle))
        .route("/oauth/jwks", get(jwks::handle))
        .route("/oauth/enrol", post(enrol::handle))
        .route("/page.css", get(pages::style))
        .route("/passkey.js", get(pages::script))
        .route("/connections/callback/{server}", get(callback::handle))
        .route("/connections/client/{server}", get(callback::document))
        .route("/connections/jwks", get(callback::keys))
        .route("/spiffe/bundle.json", get(spiffe::bundle::handle))
        .route("/mcp/{server}", any(mcp))
        .route("/access/v1/evaluation", post(authzen::evaluation::handle))
        .route("/access/v1/evaluations", post(authzen::evaluations::handle))
        .route("/access/v1/containments", get(authzen::containments::handle))
        .route("/access/v1/requests", post(authzen::requests::submit))
        .route("/access/v1/requests/{id}", get(authzen::requests::status))
        .route("/access/v1/requests/{id}/cancel", post(authzen::requests::cancel))
        .merge(signals())
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .fallback(missing)
        .method_not_allowed_fallback(no_method)
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(rooms);
    Door { names, router, times: Times::default(), leave }
}

/// Security events: to others, and from others.
fn signals() -> Router<Arc<Rooms>> {
    use ssf::{metadata, poll, receive, status, streams, subjects, verify};
    let configuration =
        get(streams::read).post(streams::create).patch(streams::update).put(streams::replace).delete(streams::delete);
    Router::new()
        .route("/ssf/jwks", get(metadata::keys))
        .route("/ssf/streams", configuration)
        .route("/ssf/status", get(status::read).post(status::set))
        .route("/ssf/subjects/add", post(subjects::add))
        .route("/ssf/subjects/remove", post(subjects::remove))
        .route("/ssf/verify", post(verify::handle))
        .route("/ssf/poll/{stream}", post(poll::handle))
        .route("/ssf/receive/{transmitter}", post(receive::handle))
}

/// The data path: see `chancery_gateway::act`.
async fn mcp(State(rooms): State<Arc<Rooms>>, request: Request) -> Response {
    let shown = request.headers().get(http::header::AUTHORIZATION).cloned();
    let response = rooms.gateway.handle(request).await.map(axum::body::Body::new);
    if response.status() == http::StatusCode::UNAUTHORIZED {
        let shown = shown.as_ref().and_then(|value| value.to_str().ok());
        rooms.meet("gateway", shown.and_then(|shown| rooms.authenticator.claimed_by_token(shown)));
    }
    response
}

pub(super) async fn missing(request: Request) -> Response {
    let detail = format!("`{}`", request.uri().path().chars().take(100).collect::<String>());
    Failure::from(Problem::new(NO_ENDPOINT, detail)).into_response()
}

pub(super) async fn no_method(request: Request) -> Response {
    Failure::from(Problem::new(NO_METHOD, format!("the method was {}", request.method()))).into_response()
}
