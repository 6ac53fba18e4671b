//! Clients that state themselves: the `client_id` is the URL of a document (draft-ietf-oauth-client-id-metadata-document).
//!
//! Only documents of adopted clients are fetched: somebody who answers for an agent said that this URL is its client.
//! Of a document the redirect addresses, the keys and a name are taken. Its links (`logo_uri`, `client_uri`, …) are
//! neither fetched nor shown.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use chancery_fetch::{Answer, Ask, Fetcher, Target};
use chancery_model::{Changed, Client, ClientKind, Clock, Limits, Span, Timestamp, parse_strict, problem};
use serde_json::Value;

use crate::authenticator::Authenticator;
use crate::federation::{KeySets, Origin};
use crate::token::OauthError;

/// The longest document, in bytes. The draft recommends 5 KiB; key sets take more.
const LONGEST: usize = 16 * 1024;
/// How long a document is kept if it does not say.
const KEPT: Span = Span::hours(1);
/// The bounds of what it may say.
const KEPT_LEAST: Span = Span::minutes(1);
const KEPT_MOST: Span = Span::hours(24);
/// How long is waited after a failure.
const PAUSE: Span = Span::seconds(30);
/// How many redirect addresses are taken.
const MOST: usize = 10;
/// The longest name that is shown, in characters.
const NAME: usize = 60;

/// Adopted and registered clients, and what documents last said.
pub(crate) struct Clients {
    fetcher: Arc<Fetcher>,
    known: RwLock<HashMap<String, Arc<Client>>>,
    documents: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Option<Document>>>>>,
    /// The keys that documents name.
    pub(super) keys: KeySets,
}

/// A client as it states itself.
#[derive(Clone)]
pub(crate) struct Stated {
    pub(crate) client: Arc<Client>,
    /// Where the keys are that it authenticates with; without any it is public.
    pub(super) keys: Option<Origin>,
}

/// What came of the last attempt, and until when that is good.
#[derive(Clone)]
struct Document {
    said: Result<Stated, String>,
    until: Timestamp,
}

impl Clients {
    pub(crate) fn new(fetcher: Arc<Fetcher>, clock: Arc<dyn Clock>) -> Self {
        let keys = KeySets::new(fetcher.clone(), clock);
        Self { fetcher, known: RwLock::default(), documents: Mutex::default(), keys }
    }

    /// Takes a committed change over.
    pub(crate) fn observe(&self, changed: &Changed) {
        if let Changed::Client(client) = changed {
            self.put(client.clone());
        }
    }

    /// Takes one over, or forgets it.
    pub(crate) fn put(&self, client: Arc<Client>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if client.removed_at.is_some() {
            known.remove(&client.id);
            self.documents.lock().unwrap_or_else(PoisonError::into_inner).remove(&client.id);
        } else {
            known.insert(client.id.clone(), client);
        }
    }

    fn get(&self, id: &str) -> Option<Arc<Client>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// The client that somebody adopted under this URL.
    fn adopted(&self, url: &str) -> Option<Arc<Client>> {
        self.get(url).filter(|client| client.kind == ClientKind::MetadataDocument)
    }

    /// What the client's document says, as it was within the time it may be kept. One asks at a time.
    async fn document(&self, client: &Client, now: Timestamp) -> Result<Stated, String> {
        let held = {
            let mut documents = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
            documents.entry(client.id.clone()).or_default().clone()
        };
        let mut last = held.lock().await;
        if let Some(document) = last.as_ref().filter(|document| now < document.until) {
            return document.said.clone();
        }
        let (said, kept) = match fetch(client, &self.fetcher).await {
            Ok((stated, kept)) => (Ok(stated), kept),
            Err(why) => (Err(why), PAUSE),
        };
        let keys_of = |said: &Result<Stated, String>| said.as_ref().ok().and_then(|stated| stated.keys.clone());
        let before = last.as_ref().and_then(|before| keys_of(&before.said));
        if let Some(before) = before.filter(|before| keys_of(&said).as_ref() != Some(before)) {
            self.keys.forget_unless(|origin| *origin != before);
        }
        *last = Some(Document { said: said.clone(), until: now + kept });
        said
    }
}

impl Authenticator {
    /// The client with this `client_id`: an agent's id or name, or the URL of a document. Whether its agent may act is
    /// for whoever opens a session to ask.
    pub async fn client_of(&self, client_id: &str) -> Result<Arc<Client>, OauthError> {
        Ok(self.stated(client_id).await?.client)
    }

    /// The same, with where its keys are.
    pub(super) async fn stated(&self, client_id: &str) -> Result<Stated, OauthError> {
        if Target::parse(client_id).is_err() {
            if let Some(client) = self.clients.get(client_id).filter(|client| client.kind == ClientKind::Dynamic) {
                return Ok(Stated { client, keys: None });
            }
            let slot = self.directory.agent(client_id).ok_or_else(|| unknown(client_id))?;
            let id = slot.agent().id.clone();
            let client = self.clients.get(id.as_str()).ok_or_else(|| no_redirects(&slot.agent().name))?;
            return Ok(Stated { client, keys: None });
        }
        let adopted = self.clients.adopted(client_id).ok_or_else(|| unknown(client_id))?;
        let said = self.clients.document(&adopted, self.clock.now()).await;
        let said = said.map_err(|why| OauthError::new(problem::BAD_CLIENT_DOCUMENT, "invalid_client", why))?;
        // Whose it is follows from how it is adopted at this moment, and not from when the document came.
        let adopted = self.clients.adopted(client_id).ok_or_else(|| unknown(client_id))?;
        let client = Client {
            redirect_uris: said.client.redirect_uris.clone(),
            claimed_name: said.client.claimed_name.clone(),
            ..(*adopted).clone()
        };
        Ok(Stated { client: Arc::new(client), ..said })
    }
}

fn unknown(client_id: &str) -> OauthError {
    let shown: String = client_id.chars().filter(|c| !c.is_control()).take(200).collect();
    let why = format!(
        "no agent has the client `{shown}`: an administrator can adopt it for an agent with \
         `chancery agent client NAME --metadata URL`"
    );
    OauthError::new(problem::NO_CLIENT, "invalid_client", why)
}

fn no_redirects(agent: &str) -> OauthError {
    let why = format!(
        "agent `{agent}` has no redirect addresses: an administrator can state them with \
         `chancery agent client {agent} --redirect-uri URI`"
    );
    OauthError::new(problem::NO_CLIENT, "invalid_client", why)
}

async fn fetch(adopted: &Client, fetcher: &Fetcher) -> Result<(Stated, Span), String> {
    let url = &adopted.id;
    let answer = fetcher.fetch(Ask::get(url).accept("application/json").limit(LONGEST)).await;
    let answer = answer.map_err(|e| e.to_string())?;
    if answer.status != http::StatusCode::OK {
        return Err(format!("{url} answered with status {}", answer.status.as_u16()));
    }
    if !answer.is_json() {
        return Err(format!("{url} answered with `{}`, which is not JSON", answer.content_type()));
    }
    let document = parse_strict(&answer.body, Limits { depth: 8, keys: 500 }).map_err(|e| format!("{url}: {e}"))?;
    let stated = read(adopted, &document).map_err(|why| format!("{url}: {why}"))?;
    Ok((stated, kept(&answer)))
}

/// As long as the answer says, within bounds.
fn kept(answer: &Answer) -> Span {
    let said = answer.max_age().map(|seconds| Span::seconds(i64::try_from(seconds).unwrap_or(i64::MAX / 1_000_000)));
    said.map_or(KEPT, |said| said.clamp(KEPT_LEAST, KEPT_MOST))
}

/// What is taken from a document (section 4), and what must not be in it (section 4.1).
fn read(adopted: &Client, document: &Value) -> Result<Stated, String> {
    let members = document.as_object().ok_or("it is not a JSON object")?;
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    if text("client_id") != Some(&adopted.id) {
        return Err("its `client_id` is not its URL, letter by letter".to_owned());
    }
    if let Some(secret) = members.keys().find(|name| name.starts_with("client_secret")) {
        return Err(format!("it holds `{secret}`: what everybody can read is no secret"));
    }
    let keys = match text("token_endpoint_auth_method") {
        Some("none") => None,
        None if !members.contains_key("token_endpoint_auth_method") => None,
        Some("private_key_jwt") => Some(keys(document)?),
        _ => return Err("its `token_endpoint_auth_method` must be `none` or `private_key_jwt`".to_owned()),
    };
    let listed = document.get("redirect_uris").and_then(Value::as_array).ok_or("it has no `redirect_uris`")?;
    if listed.is_empty() || listed.len() > MOST {
        return Err(format!("it has {} redirect addresses: 1 to {MOST} are accepted", listed.len()));
    }
    let redirect_uris = listed.iter().map(redirect).collect::<Result<_, _>>()?;
    let claimed_name = text("client_name").filter(|name| is_showable(name)).map(str::to_owned);
    Ok(Stated { client: Arc::new(Client { redirect_uris, claimed_name, ..adopted.clone() }), keys })
}

/// Where its keys are: in it, or at one address (RFC 7591, section 2).
fn keys(document: &Value) -> Result<Origin, String> {
    match (document.get("jwks"), document.get("jwks_uri").map(Value::as_str)) {
        (Some(set), None) => {
            let set = set.to_string();
            crate::federation::check_key_set(&set).map_err(|why| format!("its `jwks`: {why}"))?;
            Ok(Origin::Stated(set))
        }
        (None, Some(Some(address))) => Ok(Origin::At(address.to_owned())),
        _ => Err("for `private_key_jwt` it must have either `jwks` or `jwks_uri`".to_owned()),
    }
}

/// `https`, or `http` on the person's own machine (RFC 8252, section 7.3).
fn redirect(value: &Value) -> Result<String, String> {
    let uri = value.as_str().ok_or("a redirect address is not a text")?;
    let target = Target::parse(uri).map_err(|e| format!("the redirect address {e}"))?;
    if target.is_https() || target.is_loopback() {
        return Ok(uri.to_owned());
    }
    Err(format!("the redirect address `{uri}` is plain http and not on a loopback address"))
}

/// A name that cannot rearrange the sentence around it.
fn is_showable(name: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || " .,-_()'&+".contains(c);
    !name.trim().is_empty() && name.chars().count() <= NAME && name.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const URL: &str = "https://app.example/client.json";

    fn adopted() -> Client {
        Client {
            id: URL.into(),
            agent: "agt_00000000000000000000000000".parse().unwrap(),
            kind: ClientKind::MetadataDocument,
            redirect_uris: Vec::new(),
            claimed_name: None,
            created_at: Timestamp(0),
            removed_at: None,
        }
    }

    fn with(change: impl FnOnce(&mut Value)) -> Result<Client, String> {
        let mut document = json!({
            "client_id": URL, "client_name": "App", "redirect_uris": ["https://app.example/cb", "http://127.0.0.1/cb"],
            "token_endpoint_auth_method": "none", "logo_uri": "javascript:alert(1)", "client_uri": "http://169.254.169.254/",
        });
        change(&mut document);
        read(&adopted(), &document).map(|stated| Client::clone(&stated.client))
    }

    #[test]
    fn a_document_says_where_people_are_sent_back_to() {
        let client = with(|_| {}).unwrap();
        assert_eq!(client.redirect_uris, ["https://app.example/cb", "http://127.0.0.1/cb"]);
        assert_eq!((client.claimed_name.as_deref(), client.is_local()), (Some("App"), true));
        assert!(with(|d| drop(d.as_object_mut().unwrap().remove("token_endpoint_auth_method"))).is_ok());
    }

    #[test]
    fn documents_of_others_and_with_secrets_are_refused() {
        for id in
            [json!("https://app.example/client.json/"), json!("https://APP.example/client.json"), json!(1), Value::Null]
        {
            assert!(with(|d| d["client_id"] = id.clone()).is_err(), "{id}");
        }
        for method in [json!("client_secret_basic"), json!("client_secret_post"), json!("tls"), json!(1), Value::Null] {
            assert!(with(|d| d["token_endpoint_auth_method"] = method.clone()).is_err(), "{method}");
        }
        for secret in ["client_secret", "client_secret_expires_at"] {
            assert!(with(|d| d[secret] = json!("x")).is_err(), "{secret}");
        }
    }

    #[test]
    fn a_document_with_a_method_of_keys_names_them_once() {
        let key = crate::jose::PrivateKey::generate_p256().unwrap();
        let jwk: Value = serde_json::from_str(key.public().canonical_jwk()).unwrap();
        let (set, at) = (json!({"keys": [jwk]}), json!("https://app.example/jwks.json"));
        let keyed = |jwks: Value, jwks_uri: Value| {
            with(|d| {
                d["token_endpoint_auth_method"] = json!("private_key_jwt");
                for (name, value) in [("jwks", jwks), ("jwks_uri", jwks_uri)] {
                    if !value.is_null() {
                        d[name] = value;
                    }
                }
            })
        };
        assert!(keyed(set.clone(), Value::Null).is_ok() && keyed(Value::Null, at.clone()).is_ok());
        for (jwks, jwks_uri) in [
            (Value::Null, Value::Null),
            (set, at),
            (json!({"keys": []}), Value::Null),
            (json!({"keys": [{"kty": "oct", "k": "AAAA"}]}), Value::Null),
            (Value::Null, json!(1)),
        ] {
            assert!(keyed(jwks.clone(), jwks_uri.clone()).is_err(), "{jwks} {jwks_uri}");
        }
    }

    #[test]
    fn redirects_are_https_or_local() {
        let odd = [
            json!("javascript:alert(1)"),
            json!("data:text/html,x"),
            json!("http://app.example/cb"),
            json!("https://app.example/cb#x"),
            json!("https://a@app.example/cb"),
            json!("https://app.example/%2e%2e/cb"),
            json!("app:/cb"),
            json!(1),
            json!(""),
        ];
        for uri in odd {
            assert!(with(|d| d["redirect_uris"] = json!([uri])).is_err(), "{uri}");
        }
        for list in
            [json!([]), json!("https://app.example/cb"), Value::Null, json!(vec!["https://app.example/cb"; MOST + 1])]
        {
            assert!(with(|d| d["redirect_uris"] = list.clone()).is_err(), "{list}");
        }
    }

    #[test]
    fn names_are_plain_or_not_shown() {
        for odd in ["<b>Bank</b>", "App\u{202e}x", "", "   ", "a\nb", &"x".repeat(NAME + 1)] {
            assert_eq!(with(|d| d["client_name"] = json!(odd)).unwrap().claimed_name, None, "{odd:?}");
        }
    }
}
