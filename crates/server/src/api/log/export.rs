//! `GET /v1/log/export`

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chancery_record::RecordError;
use futures_util::stream;
use http::header;

use crate::failure::Answer;
use crate::rooms::Rooms;

/// The whole log as one file that verifies offline. An export that turns out inconsistent breaks off: the file is
/// then incomplete, and no verifier takes it.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>) -> Answer<Response> {
    let export = rooms.recorder.export().await?;
    let total = export.total();
    let pieces = stream::try_unfold(export, |mut export| async move {
        let piece = export.next().await?;
        Ok::<_, RecordError>(piece.map(|piece| (Bytes::from(piece), export)))
    });
    let headers = [
        (header::CONTENT_TYPE, "application/x-tar".to_owned()),
        (header::HeaderName::from_static("chancery-entries"), total.to_string()),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}
