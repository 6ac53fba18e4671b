//! Our own AuthZEN endpoint with the record left out, for the price of the record: the same rooms authenticate and
//! decide, and nothing is written. It exists in this harness only; the product has no such switch.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use chancery_authenticate::{Authenticator, Config, RequestFacts, TokenRequest, Vault};
use chancery_authorize::{Engine, Evaluation, Verdict};
use chancery_fetch::Fetcher;
use chancery_model::{Clock, DecisionId, Position};
use serde_json::json;

use crate::{Fallible, decision, text, world};

/// What the two handlers have at hand.
pub struct Rooms {
    authenticator: Arc<Authenticator>,
    engine: Engine,
    clock: Arc<dyn Clock>,
    audience: String,
}

/// Opens a filled directory under this address.
pub async fn router(folder: &Path, url: &str) -> Fallible<Router> {
    let store = world::store(&folder.join("data")).await?;
    let vault = Vault::open(&folder.join("kek"), &folder.join("data"), world::random()?).map_err(text)?;
    let engine = decision::engine_of(&store).await?;
    let audience = format!("{url}/access/v1");
    let config = Config { issuer: url.to_owned(), audiences: vec![audience.clone()], ..Config::default() };
    let fetcher = Arc::new(Fetcher::new(chancery_fetch::Config::default()).map_err(text)?);
    let opened = Authenticator::open(config, store, vault, fetcher, world::clock(), world::random()?).await;
    let rooms = Rooms { authenticator: opened.map_err(text)?, engine, clock: world::clock(), audience };
    let routes = Router::new().route("/oauth/token", post(token)).route("/access/v1/evaluation", post(evaluation));
    Ok(routes.with_state(Arc::new(rooms)))
}

async fn token(State(rooms): State<Arc<Rooms>>, headers: HeaderMap, body: Bytes) -> Response {
    let form: Vec<(String, String)> = pairs(&String::from_utf8_lossy(&body));
    let url = format!("{}/oauth/token", rooms.authenticator.config().issuer);
    let request =
        TokenRequest { form: &form, authorization: None, dpop: single(&headers, "dpop"), certificate: None, url: &url };
    match rooms.authenticator.token(request).await {
        Ok(answer) => axum::Json(answer.body).into_response(),
        Err(why) => (StatusCode::BAD_REQUEST, format!("{why:?}")).into_response(),
    }
}

async fn evaluation(State(rooms): State<Arc<Rooms>>, headers: HeaderMap, body: Bytes) -> Response {
    let url = format!("{}/access/v1/evaluation", rooms.authenticator.config().issuer);
    let facts = RequestFacts {
        method: "POST",
        url: &url,
        authorization: single(&headers, "authorization"),
        dpop: single(&headers, "dpop"),
        certificate: None,
        audience: &rooms.audience,
    };
    if let Err(why) = rooms.authenticator.caller(&facts) {
        return (StatusCode::UNAUTHORIZED, why.why).into_response();
    }
    match serde_json::from_slice::<Evaluation>(&body) {
        Ok(question) => answer(&rooms.engine.evaluate(&question, rooms.clock.now())),
        Err(why) => (StatusCode::BAD_REQUEST, why.to_string()).into_response(),
    }
}

fn answer(verdict: &Verdict) -> Response {
    let id = DecisionId(Position { writer: 0, seq: 1_000_000 });
    let policies: Vec<&str> = verdict.decision.determining.iter().map(|d| &*d.policy).collect();
    let answer = json!({
        "decision": verdict.allows(),
        "context": {"id": id, "reason_admin": {"en": policies.join(", ")}, "reason_user": {"en": verdict.why}},
    });
    ([(header::CONTENT_TYPE, "application/json")], answer.to_string()).into_response()
}

fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The pairs of a form whose values hold no escapes but those our own client writes.
fn pairs(form: &str) -> Vec<(String, String)> {
    let plain = |text: &str| text.replace("%3A", ":").replace("%2F", "/");
    form.split('&').filter_map(|pair| pair.split_once('=')).map(|(key, value)| (plain(key), plain(value))).collect()
}
