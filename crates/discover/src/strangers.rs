//! Callers whom the registry does not know, as our own doors meet them: they become objects of the inventory, which can do
//! nothing.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use chancery_model::{NodeKind, Object, ObjectBody, Urn};
use serde_json::json;

use crate::{DiscoverError, Discovery, Ended, Opening};

/// The source of whom our own doors met.
pub const EDGE: &str = "edge";
/// Whoever makes names up must not fill the inventory: so many are kept between two starts.
const MOST: usize = 1_000;
/// The longest name that is kept, in characters.
const LONGEST: usize = 200;

/// Somebody who called. What they say of themselves is not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// As they name themselves.
    pub name: String,
    /// Who is said to have vouched for them, where they showed a token of somebody else.
    pub issuer: Option<String>,
    /// Which door they came to: `token` or `gateway`.
    pub door: &'static str,
}

/// Those that came since the start.
#[derive(Debug, Default)]
pub(crate) struct Met {
    /// And whether they are written down.
    all: BTreeMap<(String, Option<String>), (&'static str, bool)>,
    /// Some more came than are kept.
    over: bool,
}

impl Discovery {
    /// Somebody came whom nobody knows. Quick, and bounded.
    pub fn meet(&self, stranger: Stranger) {
        let Stranger { name, issuer, door } = stranger;
        let plain =
            |text: &str| !text.is_empty() && text.chars().count() <= LONGEST && !text.chars().any(char::is_control);
        if !plain(&name) || issuer.as_deref().is_some_and(|issuer| !plain(issuer)) {
            return;
        }
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (name, issuer);
        if met.all.contains_key(&key) {
            return;
        }
        if met.all.len() >= MOST {
            if !std::mem::replace(&mut met.over, true) {
                tracing::warn!(
                    kept = MOST,
                    "more unknown callers came than are kept: the others are not in the inventory"
                );
            }
            return;
        }
        met.all.insert(key, (door, false));
    }

    /// Writes down those who came and are not written down yet; says how many. To be called now and then.
    ///
    /// # Errors
    /// The store failed; they are tried again the next time.
    pub async fn note_strangers(&self) -> Result<usize, DiscoverError> {
        let new: Vec<_> = {
            let met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
            let new = met.all.iter().filter(|(_, (_, noted))| !noted);
            new.map(|(key, (door, _))| (key.clone(), *door)).collect()
        };
        if new.is_empty() {
            return Ok(0);
        }
        // Nodes sweep side by side, each what came to it.
        let scope = self.store.writer().to_string();
        let opening = Opening { source: EDGE, scope: &scope, observed_at: self.clock.now(), by: "chancery" };
        let mut intake = self.begin(opening).await?;
        for ((name, issuer), door) in &new {
            let native = issuer.as_ref().map_or_else(|| name.clone(), |issuer| format!("{issuer}#{name}"));
            let urn = Urn::new(EDGE, &scope, NodeKind::OauthClient, &native)?;
            let mut attributes =
                BTreeMap::from([("door".to_owned(), json!(door)), ("verified".to_owned(), json!(false))]);
            if let Some(issuer) = issuer {
                attributes.insert("issuer".to_owned(), json!(issuer));
            }
            let is = ObjectBody { name: name.clone(), attributes, ..ObjectBody::default() };
            intake.see(Object { urn, is }).await?;
        }
        let why = Some("only whoever calls is seen".to_owned());
        intake.end(Ended { why, ..Ended::default() }).await?;
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, _) in &new {
            if let Some((_, noted)) = met.all.get_mut(key) {
                *noted = true;
            }
        }
        Ok(new.len())
    }
}
