//! Asking a server without a credential what it wants: recorded like every request of our own.

use std::sync::Arc;

use chancery_model::{ActResult, Clock, Draft};
use chancery_record::Recorder;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::challenge::Challenge;
use super::error::ConnectError;
use crate::contact;
use crate::message::Message;
use crate::upstream::http::Http;
use crate::wire;
use chancery_model::Kind;

/// How a server is asked.
pub(crate) struct Prober {
    pub(crate) server: Arc<str>,
    pub(crate) http: Http,
    pub(crate) recorder: Recorder,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Prober {
    /// The challenge to a listing without a credential; an empty one if it is answered.
    pub(super) async fn challenge(&self) -> Result<Challenge, ConnectError> {
        let receipt = self.recorder.before(contact::own(&self.server, Kind::Intent, self.clock.now())).await;
        let receipt = receipt.map_err(|e| ConnectError::unreached(format!("the record cannot be written: {e}")))?;
        let answered = self.ask().await;
        let (ended, detail) = match &answered {
            Ok((status, _)) => (ActResult::Failed, format!("asked without a credential: {status}")),
            Err(error) => (ActResult::NotSent, error.why.clone()),
        };
        let outcome = contact::own(&self.server, Kind::Outcome, self.clock.now());
        let outcome = Draft { decision: None, result: Some(ended), detail: Some(detail), ..outcome };
        self.recorder.after(receipt.position(), outcome).await;
        answered.map(|(_, challenge)| challenge)
    }

    async fn ask(&self) -> Result<(StatusCode, Challenge), ConnectError> {
        let body = contact::list(0, None, wire::Wire::Stateless).to_string();
        let message = Message::read(body.as_bytes()).map_err(|e| ConnectError::internal(e.why))?;
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static("chancery"));
        wire::headers_of(&message, &[], &mut headers);
        let response = self.http.send(Method::POST, headers, body.into()).await;
        let response = response.map_err(|failure| ConnectError::unreached(failure.why))?;
        let wants = matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        let challenge = if wants { Challenge::of(response.headers()) } else { Challenge::default() };
        Ok((response.status(), challenge))
    }
}
