//! The admin API: one noun a module, one endpoint a file. This list is all of it.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{delete, get, post, put};

use self::manifests::Whose;
use crate::proposals;
use crate::rooms::Rooms;

pub(crate) mod admin;
pub(crate) mod agents;
pub(crate) mod approvals;
pub(crate) mod blueprints;
pub(crate) mod break_glass;
pub(crate) mod channels;
pub(crate) mod connections;
pub(crate) mod containments;
pub(crate) mod decisions;
pub(crate) mod drills;
pub(crate) mod enrolments;
pub(crate) mod findings;
pub(crate) mod grants;
pub(crate) mod graph;
pub(crate) mod groups;
pub(crate) mod keys;
pub(crate) mod log;
pub(crate) mod manifests;
pub(crate) mod nodes;
pub(crate) mod objects;
pub(crate) mod oversight;
pub(crate) mod people;
pub(crate) mod policies;
pub(crate) mod secrets;
pub(crate) mod servers;
pub(crate) mod sessions;
pub(crate) mod signals;
pub(crate) mod stand_ins;
pub(crate) mod status;
pub(crate) mod sweeps;
pub(crate) mod tools;
pub(crate) mod trust_sources;

/// Every endpoint.
pub(crate) fn routes() -> Router<Arc<Rooms>> {
    discovery()
        .route("/v1/agents", get(agents::list::handle).post(agents::register::handle))
        .route("/v1/agents/{name}", get(agents::get::handle))
        .route("/v1/agents/{name}/suspend", post(agents::suspend::handle))
        .route("/v1/agents/{name}/resume", post(agents::resume::handle))
        .route("/v1/agents/{name}/extend", post(agents::extend::handle))
        .route("/v1/agents/{name}/bearer", post(agents::bearer::handle))
        .route("/v1/agents/{name}/certificate", put(agents::certificate::set).delete(agents::certificate::remove))
        .route("/v1/agents/{name}/manifest", manifests::of(Whose::Agent))
        .route("/v1/approvals", get(approvals::list::handle))
        .route("/v1/approvals/metrics", get(approvals::metrics::handle))
        .route("/v1/approvals/{id}", get(approvals::get::handle))
        .route("/v1/approvals/{id}/cancel", post(approvals::cancel::handle))
        .route("/v1/stand-ins", get(stand_ins::list).post(stand_ins::name))
        .route("/v1/stand-ins/{id}/end", post(stand_ins::end))
        .route("/v1/blueprints", get(blueprints::list::handle).post(blueprints::create::handle))
        .route("/v1/blueprints/{name}", get(blueprints::get::handle))
        .route("/v1/blueprints/{name}/suspend", post(blueprints::suspend::handle))
        .route("/v1/blueprints/{name}/resume", post(blueprints::resume::handle))
        .route("/v1/blueprints/{name}/instances", post(blueprints::instantiate::handle))
        .route("/v1/blueprints/{name}/manifest", manifests::of(Whose::Blueprint))
        .route("/v1/agents/{name}/secrets", post(agents::secrets::create).delete(agents::secrets::revoke))
        .route("/v1/agents/{name}/registration-codes", post(agents::clients::code::handle))
        .route("/v1/agents/{name}/clients", get(agents::clients::list::handle).post(agents::clients::set::handle))
        .route("/v1/clients", delete(agents::clients::remove::handle))
        .route("/v1/enrolments", post(enrolments::create::handle))
        .route("/v1/grants", get(grants::list::handle).post(grants::create::handle))
        .route("/v1/grants/{id}", delete(grants::revoke::handle))
        .route("/v1/people", get(people::list::handle).post(people::add::handle))
        .route("/v1/people/{name}/suspend", post(people::suspend::handle))
        .route("/v1/people/{name}/resume", post(people::resume::handle))
        .route("/v1/people/{name}/setup-link", post(people::link::handle))
        .route(
            "/v1/people/{name}/accounts",
            get(people::accounts::list).post(people::accounts::add).delete(people::accounts::remove),
        )
        .route("/v1/nodes", get(nodes::list::handle))
        .route("/v1/nodes/tokens", post(nodes::token::handle))
        .route("/v1/nodes/{name}/leave", post(nodes::leave::handle))
        .route("/v1/people/{name}/passkeys", get(people::passkeys::list))
        .route("/v1/people/{name}/passkeys/{id}", delete(people::passkeys::remove))
        .route("/v1/people/{name}/roles/{role}", put(people::roles::add).delete(people::roles::remove))
        .route("/v1/people/invitations", post(people::invite::handle))
        .route("/v1/admin/setup-link", post(admin::setup_link::handle))
        .route("/v1/groups", get(groups::list).post(groups::create))
        .route("/v1/groups/{name}/members/{person}", put(groups::add).delete(groups::remove))
        .route("/v1/keys/rotate", post(keys::rotate::handle))
        .route("/v1/sessions", get(sessions::list::handle))
        .route("/v1/sessions/{id}/end", post(sessions::end::handle))
        .route("/v1/signals/streams", get(signals::streams::handle))
        .route("/v1/signals/streams/{id}/status", post(signals::status::handle))
        .route("/v1/signals/held", get(signals::held::handle))
        .route("/v1/signals/held/{id}/apply", post(signals::decide::apply))
        .route("/v1/signals/held/{id}/dismiss", post(signals::decide::dismiss))
        .route("/v1/signals/keys/rotate", post(signals::keys::rotate))
        .route("/v1/trust-sources", get(trust_sources::list::handle).post(trust_sources::create::handle))
        .route("/v1/trust-sources/{name}", delete(trust_sources::remove::handle))
        .route("/v1/tools", get(tools::list::handle))
        .route("/v1/tools/approve", post(tools::approve::handle))
        .route("/v1/secrets", get(secrets::list::handle))
        .route("/v1/secrets/{name}", put(secrets::set::handle).delete(secrets::delete::handle))
        .route("/v1/connections", get(connections::list::handle))
        .route("/v1/connections/{server}", delete(connections::disconnect::handle))
        .route("/v1/connections/{server}/authorize", post(connections::authorize::handle))
        .route("/v1/connections/{server}/authorize/{id}", get(connections::progress::handle))
        .route("/v1/containments", get(containments::list::handle).post(containments::contain::handle))
        .route("/v1/containments/events", get(containments::events::handle))
        .route("/v1/containments/preview", post(containments::preview::handle))
        .route("/v1/containments/{id}", get(containments::get::handle))
        .route("/v1/containments/{id}/lift", post(containments::lift::handle))
        .route("/v1/drills", post(drills::handle))
        .route("/v1/oversight", get(oversight::handle))
        .route("/v1/break-glass", get(break_glass::list).post(break_glass::open))
        .route("/v1/break-glass/{id}/end", post(break_glass::end))
        .route("/v1/break-glass/{id}/review", post(break_glass::review))
        .route("/v1/policies", get(policies::status::handle))
        .route("/v1/policies/reload", post(policies::reload::handle))
        .route("/v1/decisions/{id}", get(decisions::get::handle))
        .route("/v1/log", get(log::search::handle))
        .route("/v1/log/follow", get(log::follow::handle))
        .route("/v1/log/checkpoint", get(log::checkpoint::handle))
        .route("/v1/log/tile/{level}/{index}", get(log::tile::handle))
        .route("/v1/log/proof/{id}", get(log::proof::handle))
        .route("/v1/log/export", get(log::export::handle))
        .route("/v1/log/{id}/erase", post(log::erase::handle))
        .route("/v1/proposals", get(proposals::list))
        .route("/v1/proposals/{id}/confirm", post(proposals::confirm))
        .route("/v1/proposals/{id}/withdraw", post(proposals::withdraw))
        .route("/v1/findings", get(findings::list::handle))
        .route("/v1/channels", get(channels::list::handle))
        .route("/v1/channels/{name}/test", post(channels::test::handle))
        .route("/v1/channels/{name}/retry", post(channels::retry::handle))
        .route("/v1/deliveries", get(channels::deliveries::handle))
        .route("/v1/servers", get(servers::list::handle))
        .route("/v1/status", get(status::handle))
}

/// What is known of other systems, and questions about it.
fn discovery() -> Router<Arc<Rooms>> {
    Router::new()
        .route("/v1/sweeps", get(sweeps::list::handle).post(sweeps::take::handle).layer(DefaultBodyLimit::disable()))
        .route("/v1/sweeps/{id}", get(sweeps::list::get))
        .route("/v1/sweeps/{id}/accept", post(sweeps::accept::handle))
        .route("/v1/objects", get(objects::list))
        .route("/v1/objects/{urn}", get(objects::get))
        .route("/v1/objects/{urn}/history", get(objects::history))
        .route("/v1/graph/{question}", get(graph::handle))
}
