//! `/ssf/streams`: the configuration endpoint (section 8.1.1).

use axum::Json;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use std::sync::Arc;

use super::{Asked, MANAGE, READ, Shown, answer, body, refused};
use crate::rooms::Rooms;

const PATH: &str = "/streams";

/// Which stream.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Named {
    stream_id: Option<String>,
}

/// `POST`: makes the receiver's stream.
pub(crate) async fn create(State(rooms): State<Arc<Rooms>>, shown: Shown, headers: HeaderMap, sent: Bytes) -> Response {
    let asked = Asked { method: Method::POST, path: PATH, headers: &headers, shown };
    let done = async {
        let receiver = asked.receiver(&rooms, MANAGE)?;
        let stream = rooms.signals.transmitter.create(&receiver, body(&sent)?).await.map_err(refused)?;
        Ok((StatusCode::CREATED, Json(stream)).into_response())
    };
    answer(done.await)
}

/// `GET`: the receiver's stream of this id, or all it has.
pub(crate) async fn read(
    State(rooms): State<Arc<Rooms>>,
    Query(named): Query<Named>,
    shown: Shown,
    headers: HeaderMap,
) -> Response {
    let asked = Asked { method: Method::GET, path: PATH, headers: &headers, shown };
    let done = async {
        let receiver = asked.receiver(&rooms, READ)?;
        let transmitter = &rooms.signals.transmitter;
        Ok(match &named.stream_id {
            Some(id) => Json(transmitter.read(&receiver, id).await.map_err(refused)?).into_response(),
            None => Json(transmitter.list(&receiver).await.map_err(refused)?).into_response(),
        })
    };
    answer(done.await)
}

/// `PATCH`: changes what is said.
pub(crate) async fn update(State(rooms): State<Arc<Rooms>>, shown: Shown, headers: HeaderMap, sent: Bytes) -> Response {
    let asked = Asked { method: Method::PATCH, path: PATH, headers: &headers, shown };
    let done = async {
        let receiver = asked.receiver(&rooms, MANAGE)?;
        let stream = rooms.signals.transmitter.update(&receiver, body(&sent)?).await.map_err(refused)?;
        Ok(Json(stream).into_response())
    };
    answer(done.await)
}

/// `PUT`: changes everything to what is said.
pub(crate) async fn replace(
    State(rooms): State<Arc<Rooms>>,
    shown: Shown,
    headers: HeaderMap,
    sent: Bytes,
) -> Response {
    let asked = Asked { method: Method::PUT, path: PATH, headers: &headers, shown };
    let done = async {
        let receiver = asked.receiver(&rooms, MANAGE)?;
        let stream = rooms.signals.transmitter.replace(&receiver, body(&sent)?).await.map_err(refused)?;
        Ok(Json(stream).into_response())
    };
    answer(done.await)
}

/// `DELETE`
pub(crate) async fn delete(
    State(rooms): State<Arc<Rooms>>,
    Query(named): Query<Named>,
    shown: Shown,
    headers: HeaderMap,
) -> Response {
    let asked = Asked { method: Method::DELETE, path: PATH, headers: &headers, shown };
    let done = async {
        let receiver = asked.receiver(&rooms, MANAGE)?;
        let id = named.stream_id.unwrap_or_default();
        rooms.signals.transmitter.delete(&receiver, &id).await.map_err(refused)?;
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    answer(done.await)
}
