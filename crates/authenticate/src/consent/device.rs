//! Devices without a browser (RFC 8628): they show a code, their person enters it here and answers, they ask until then.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chancery_model::{
    Agent, Change, Client, Draft, Hash, Kind, Limit, LoginId, Random, Secret, Span, Timestamp, Who, problem,
};
use chancery_store::StoreError;
use chancery_store::device_codes::{self as codes, DeviceCode};
use serde::Serialize;

use super::{AnsweredBefore, Narrowed, Question, answered_before, draft, stored};
use crate::authenticator::Authenticator;
use crate::directory::AgentSlot;
use crate::jose::{encode, sha256};
use crate::people::SignedIn;
use crate::token::{Call, Form, OauthError, TokenRequest};

/// How long a device waits for its person.
pub(crate) const LIFETIME: Span = Span::minutes(10);
/// How long it waits between two questions, at the least.
const INTERVAL: Span = Span::seconds(5);
/// How many of one client may wait.
const WAITING: u64 = 100;
/// How device codes begin, so that a leaked one is recognised.
const PREFIX: &str = "chy-device-";
/// No vowels and nothing that looks like something else (RFC 8628, section 6.1).
const ALPHABET: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// Eight are 2^34 codes, of which a person may try few.
const LETTERS: usize = 8;
/// So many wrong codes.
const GUESSES: u32 = 5;
/// In so much time.
const PERIOD: Span = Span::minutes(10);

/// The JSON body of the answer to a device (RFC 8628, section 3.2).
#[derive(Debug, Serialize)]
pub struct DeviceBody {
    /// What the device asks with. Only it may see it.
    #[serde(serialize_with = "crate::token::shown")]
    pub device_code: Secret,
    /// What its person enters.
    pub user_code: String,
    /// Where.
    pub verification_uri: String,
    /// The same with the code in it, for a link or a picture.
    pub verification_uri_complete: String,
    /// Seconds.
    pub expires_in: i64,
    /// Seconds between two questions.
    pub interval: i64,
}

/// A device's question, put to a person.
pub struct DeviceAsked {
    pub(super) slot: Arc<AgentSlot>,
    client: Arc<Client>,
    code: DeviceCode,
}

impl DeviceAsked {
    /// Who is to act.
    pub fn agent(&self) -> Arc<Agent> {
        self.slot.agent()
    }

    /// The client that asks.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What it asks for. Never empty.
    pub fn limits(&self) -> &[Limit] {
        &self.code.limits
    }

    fn question(&self) -> Question<'_> {
        Question { slot: &self.slot, client: &self.client, resource: &self.code.resource, limits: &self.code.limits }
    }
}

impl std::fmt::Debug for DeviceAsked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DeviceAsked({})", self.client.id)
    }
}

/// When each device asked last, and how long it has to wait. After a restart nobody has asked yet.
#[derive(Debug, Default)]
pub(crate) struct Polls(Mutex<HashMap<Hash, (Timestamp, Span)>>);

impl Polls {
    /// Notes a question; says whether it came too early. Whoever does not wait waits longer (section 3.5).
    pub(crate) fn too_early(&self, code: &Hash, now: Timestamp) -> bool {
        let mut polls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((last, interval)) = polls.get_mut(code) else {
            polls.insert(*code, (now, INTERVAL));
            return false;
        };
        let early = now < *last + *interval;
        *last = now;
        if early {
            *interval = Span(interval.0 + INTERVAL.0);
        }
        early
    }

    pub(crate) fn sweep(&self, now: Timestamp) {
        let mut polls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        polls.retain(|_, (last, _)| now < *last + LIFETIME + LIFETIME);
    }
}

/// Wrong user codes of each login. A guess counts before its code is looked up, so that many at the same moment are many,
/// and is taken back where the code was right.
#[derive(Debug, Default)]
pub(crate) struct Guesses(Mutex<HashMap<LoginId, (u32, Timestamp)>>);

impl Guesses {
    /// Counts one, or refuses it.
    fn count(&self, login: &LoginId, now: Timestamp) -> Result<(), OauthError> {
        let mut guesses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (wrong, since) = guesses.entry(login.clone()).or_insert((0, now));
        if now >= *since + PERIOD {
            (*wrong, *since) = (0, now);
        }
        if *wrong >= GUESSES {
            let why = format!("{wrong} codes were wrong");
            return Err(OauthError::new(problem::TOO_MANY_ATTEMPTS, "slow_down", why));
        }
        *wrong += 1;
        Ok(())
    }

    /// The one that was counted last was right.
    fn take_back(&self, login: &LoginId) {
        let mut guesses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((wrong, _)) = guesses.get_mut(login) {
            *wrong = wrong.saturating_sub(1);
        }
    }

    pub(crate) fn sweep(&self, now: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, (_, since)| now < *since + PERIOD);
    }
}

impl Authenticator {
    /// Takes a device's question.
    ///
    /// # Errors
    /// As at the token endpoint (RFC 8628, section 3.2).
    pub async fn device_authorization(&self, request: &TokenRequest<'_>) -> Result<DeviceBody, OauthError> {
        let answer = self.take_device(request).await;
        answer.map_err(|e| OauthError { dpop_nonce: self.dpop.nonce(), ..e })
    }

    async fn take_device(&self, request: &TokenRequest<'_>) -> Result<DeviceBody, OauthError> {
        let form = Form(request.form);
        form.refuse_scope()?;
        let call = Call { form, request, proof: self.proof(request)? };
        let client = self.known_client(&call).await?;
        let resource = self.resource(&form)?;
        let limits = self.wanted_limits(&form, resource)?;
        let key = call.proof.as_ref().map(|proof| {
            self.dpop.take(proof).map_err(crate::token::bad_proof)?;
            Ok::<_, OauthError>(*proof.key.thumbprint())
        });
        let now = self.clock.now();
        if codes::waiting_of(&self.store, &client.id, now).await.map_err(|e| stored(&e))? >= WAITING {
            let why = format!("{WAITING} devices of this client wait for their people");
            return Err(OauthError::new(problem::TOO_BUSY, "temporarily_unavailable", why));
        }
        let agent = client.client.slot.agent();
        let (device, user) = (format!("{PREFIX}{}", encode(&self.random.bytes::<32>())), user_code(&*self.random));
        let code = DeviceCode {
            hash: sha256(device.as_bytes()),
            user_code: code_of(&user),
            client: client.id,
            agent: agent.id.clone(),
            resource: resource.to_owned(),
            limits,
            key: key.transpose()?,
            expires_at: now + LIFETIME,
            answered_at: None,
            consent: None,
            session: None,
        };
        let who = Who { agent: Some(agent.id.to_string()), name: Some(agent.name.clone()), ..Who::default() };
        let change =
            Change { noun: "consent".into(), id: agent.name.clone(), verb: "ask_by_device".into(), after: None };
        let draft = Draft { kind: Kind::Change, at: now, who, change: Some(change), ..Draft::default() };
        let write = self.store.write(draft, move |tx| Box::pin(async move { codes::insert(tx, &code, now).await }));
        write.await.map_err(|e| stored(&e))?;
        let uri = format!("{}/device", self.config.issuer);
        Ok(DeviceBody {
            device_code: Secret::new(device),
            verification_uri_complete: format!("{uri}?user_code={user}"),
            verification_uri: uri,
            user_code: user,
            expires_in: LIFETIME.as_seconds(),
            interval: INTERVAL.as_seconds(),
        })
    }

    /// The question behind a user code. Wrong codes are counted for each login.
    ///
    /// # Errors
    /// The code is wrong, or there were too many.
    pub async fn device_asked(&self, user_code: &str, by: &SignedIn) -> Result<DeviceAsked, OauthError> {
        let now = self.clock.now();
        self.guesses.count(&by.login, now)?;
        let found = codes::waiting(&self.store, &code_of(user_code), now).await.map_err(|e| stored(&e))?;
        let Some(code) = found else {
            let why = "it is wrong, was answered, or expired";
            return Err(OauthError::new(problem::BAD_USER_CODE, "access_denied", why));
        };
        self.guesses.take_back(&by.login);
        let client = self.known_as(&code.client).await?;
        let gone = || OauthError::new(problem::BAD_USER_CODE, "access_denied", "the agent that asked is gone");
        let slot = self.directory.agent_of(&code.agent).ok_or_else(gone)?;
        Ok(DeviceAsked { slot, client, code })
    }

    /// The person answers a device: yes with what stays of the question, or no.
    ///
    /// # Errors
    /// The rules do not let them, or somebody answered already.
    pub async fn answer_device(
        &self,
        asked: &DeviceAsked,
        by: &SignedIn,
        narrowed: Option<&Narrowed>,
    ) -> Result<(), OauthError> {
        let (question, now, hash) = (asked.question(), self.clock.now(), asked.code.hash);
        let consent = narrowed.map(|narrowed| self.consent(&question, by, narrowed)).transpose()?;
        let draft = draft(now, by, &question, consent.as_ref());
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                match codes::answer(tx, &hash, consent.as_ref(), now).await? {
                    true => Ok(()),
                    false => Err(StoreError::refuse(AnsweredBefore)),
                }
            })
        });
        write.await.map(drop).map_err(answered_before)
    }
}

/// What is kept of a user code, however it was typed.
pub(crate) fn code_of(typed: &str) -> Hash {
    let letters: String = typed.chars().filter(char::is_ascii_alphanumeric).take(LETTERS + 1).collect();
    sha256(letters.to_ascii_uppercase().as_bytes())
}

/// Eight letters, each as likely as every other, in two groups.
fn user_code(random: &dyn Random) -> String {
    let mut code = String::with_capacity(LETTERS + 1);
    while code.len() <= LETTERS {
        // 240 is the largest multiple of 20 in a byte: what is above would favour the first letters.
        for byte in random.bytes::<LETTERS>().into_iter().filter(|byte| *byte < 240) {
            if code.len() == LETTERS / 2 {
                code.push('-');
            }
            if code.len() <= LETTERS {
                code.push(char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]));
            }
        }
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Counting;

    #[test]
    fn user_codes_are_easy_to_type_and_read_however_they_are_typed() {
        let random = Counting::from(7);
        for _ in 0..200 {
            let code = user_code(&*random as &dyn Random);
            let (first, second) = code.split_once('-').unwrap();
            assert!(first.len() == 4 && second.len() == 4, "{code}");
            assert!(first.bytes().chain(second.bytes()).all(|b| ALPHABET.contains(&b)), "{code}");
            assert_eq!(code_of(&code), code_of(&format!(" {} {} ", first.to_lowercase(), second)));
        }
        assert_ne!(code_of("BCDF-GHJK"), code_of("BCDF-GHJKL"), "a longer code is another one");
    }

    #[test]
    fn who_asks_too_often_waits_longer() {
        let (polls, start) = (Polls::default(), Timestamp::from_seconds(1_000));
        let at = |seconds| polls.too_early(&[1; 32], start + Span::seconds(seconds));
        assert_eq!([at(0), at(5), at(7), at(13), at(28)], [false, false, true, true, false]);
    }
}
