//! `PUT` and `DELETE /v1/people/{name}/roles/{role}`

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use chancery_model::Role;
use chancery_model::problem::{BAD_FIELD, Problem};

use super::View;
use crate::api::agents::Because;
use crate::door::admin::Peer;
use crate::failure::{Answer, Failure};
use crate::input::Params;
use crate::rooms::Rooms;

/// A person may do what the role may, from now on.
pub(crate) async fn add(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path((name, role)): Path<(String, String)>,
) -> Answer<Json<View>> {
    Ok(Json(View::from(&rooms.registrar.add_role(&name, named(&role)?, &peer.actor()).await?)))
}

/// A person may not any more, from now on.
pub(crate) async fn remove(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path((name, role)): Path<(String, String)>,
    Params(because): Params<Because>,
) -> Answer<Json<View>> {
    let removed = rooms.registrar.remove_role(&name, named(&role)?, because.text(), &peer.actor()).await?;
    Ok(Json(View::from(&removed)))
}

fn named(role: &str) -> Answer<Role> {
    let names = Role::ALL.map(Role::name).join(", ");
    let shown: String = role.chars().take(40).collect();
    Role::named(role)
        .ok_or_else(|| Failure::from(Problem::new(BAD_FIELD, format!("role: `{shown}` is none of {names}"))))
}
