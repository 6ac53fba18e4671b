//! `GET`, `POST` and `DELETE /v1/people/{name}/accounts`: what identity providers call a person.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use chancery_model::Account;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::api::agents::Because;
use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::input::{Body, Items, Params};
use crate::rooms::Rooms;

/// An account as the API shows it; times in RFC 3339.
#[derive(Debug, Serialize)]
pub(crate) struct AccountView {
    person: String,
    issuer: String,
    subject: String,
    created_at: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    issuer: String,
    subject: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Unwanted {
    issuer: String,
    subject: String,
    #[serde(default)]
    reason: Option<String>,
}

impl AccountView {
    fn of(person: &str, account: &Account) -> Self {
        Self {
            person: person.to_owned(),
            issuer: account.issuer.clone(),
            subject: account.subject.clone(),
            created_at: account.created_at.rfc3339(),
        }
    }
}

/// All of them.
pub(crate) async fn list(
    State(rooms): State<Arc<Rooms>>,
    Path(name): Path<String>,
) -> Answer<Json<Items<AccountView>>> {
    let accounts = rooms.registrar.accounts(&name).await?;
    Ok(Json(accounts.iter().map(|account| AccountView::of(&name, account)).collect()))
}

/// Says that an account is this person's.
pub(crate) async fn add(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
    Body(wanted): Body<Wanted>,
) -> Answer<(StatusCode, Json<AccountView>)> {
    let account = rooms.registrar.add_account(&name, &wanted.issuer, &wanted.subject, &peer.actor()).await?;
    Ok((StatusCode::CREATED, Json(AccountView::of(&name, &account))))
}

/// Takes an account away. What agents do in the person's name ends.
pub(crate) async fn remove(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
    Params(wanted): Params<Unwanted>,
) -> Answer<Json<AccountView>> {
    let because = Because { reason: wanted.reason };
    let (issuer, subject) = (&wanted.issuer, &wanted.subject);
    let removed = rooms.registrar.remove_account(&name, issuer, subject, because.text(), &peer.actor()).await?;
    Ok(Json(AccountView::of(&name, &removed)))
}
