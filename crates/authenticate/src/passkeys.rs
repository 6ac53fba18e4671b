//! Passkeys: registered by whoever is signed in, shown to sign in and before what is dangerous.
//!
//! A challenge is kept nowhere. It is sealed: for what, for whom and until when cannot be changed, and nobody else can make
//! one. What is kept is that it was answered, in the commit of the answer.

use chancery_model::{
    Change, Digest, Draft, Hash, Kind, Login, LoginId, Passkey, PasskeyId, Person, PersonId, Secret, Span, Timestamp,
    Who, Why, canonical,
};
use chancery_store::passkeys::{NotCounted, Shown};
use chancery_store::{StoreError, Tx, logins, passkeys};
use chancery_webauthn::{Assertion, NotAccepted, Registration, challenge};
use serde_json::{Value, json};

use crate::authenticator::Authenticator;
use crate::jose::{decode, encode, sha256};
use crate::people::{PeopleError, SignedIn, begin, draft};
use crate::vault::Place;

/// How long a challenge can be answered.
const LIFETIME: Span = Span::minutes(5);
/// How old a login, or the passkey last shown in it, may be for a passkey to be added.
const RECENT: Span = Span::minutes(5);
/// How many one person may have.
const MOST: usize = 20;
/// The longest name, in characters.
const LONGEST_NAME: usize = 60;

/// A new passkey, as a browser sends it: each part in base64url.
#[derive(Debug, Default)]
pub struct NewPasskey {
    /// `clientDataJSON`.
    pub client_data: String,
    /// `attestationObject`.
    pub attestation: String,
    /// What its person calls it.
    pub name: String,
}

/// A passkey that was shown, as a browser sends it: each part in base64url.
#[derive(Debug, Default)]
pub struct ShownPasskey {
    /// `rawId`.
    pub credential: String,
    /// `clientDataJSON`.
    pub client_data: String,
    /// `authenticatorData`.
    pub authenticator_data: String,
    /// `signature`.
    pub signature: String,
    /// `userHandle`; may be empty where it is known who is there.
    pub user: String,
}

/// What a challenge is for. An answer to one is no answer to another.
enum Purpose<'a> {
    Register(&'a LoginId),
    SignIn,
    StepUp(&'a LoginId),
    /// A yes to what has this digest.
    Approve(&'a LoginId, &'a Digest),
}

/// A challenge that was ours and can be answered.
struct Challenge {
    bytes: Vec<u8>,
    expires_at: Timestamp,
}

/// A passkey that was shown and verified, before it is noted.
struct Proof {
    passkey: Passkey,
    shown: Shown,
}

/// A passkey that was shown for what has one digest.
#[derive(Clone, Debug)]
pub struct ShownFor {
    /// To be noted with what it was shown for.
    pub shown: Shown,
    /// What was signed, by which key, as canonical JSON: whoever has it can verify it without us. The challenge in it
    /// begins with the digest.
    pub evidence: Vec<u8>,
}

impl Purpose<'_> {
    fn row(&self) -> String {
        match self {
            Self::Register(login) => format!("register {login}"),
            Self::SignIn => "sign in".to_owned(),
            Self::StepUp(login) => format!("step up {login}"),
            Self::Approve(login, digest) => format!("approve {digest} in {login}"),
        }
    }

    /// What the challenge begins with, for everybody to read: what is signed says what it is a yes to.
    fn subject(&self) -> &[u8] {
        match self {
            Self::Approve(_, digest) => &digest.0,
            Self::Register(_) | Self::SignIn | Self::StepUp(_) => &[],
        }
    }
}

impl Authenticator {
    /// What a browser needs to make a passkey (`PublicKeyCredentialCreationOptionsJSON`, WebAuthn Level 3, section 5.4).
    ///
    /// # Errors
    /// [`PeopleError::Stale`] if the login is too old for that.
    pub async fn register_options(&self, by: &SignedIn) -> Result<Value, PeopleError> {
        self.may_register(by)?;
        let known = passkeys::of_person(&self.store, &by.person.id).await?;
        let name = &by.person.name;
        Ok(json!({
            "challenge": self.new_challenge(&Purpose::Register(&by.login))?,
            "rp": { "id": self.config.party().id, "name": "Chancery" },
            "user": {
                "id": encode(by.person.id.as_str().as_bytes()), "name": name,
                "displayName": by.person.display.as_deref().unwrap_or(name),
            },
            "pubKeyCredParams": [{ "type": "public-key", "alg": -8 }, { "type": "public-key", "alg": -7 }],
            "excludeCredentials": credentials(&known),
            "authenticatorSelection": {
                "residentKey": "required", "requireResidentKey": true, "userVerification": "required",
            },
            "attestation": "none",
            "timeout": LIFETIME.as_seconds() * 1000,
        }))
    }

    /// What a browser needs to show any passkey of this place (section 5.5).
    pub fn sign_in_options(&self) -> Result<Value, PeopleError> {
        self.show_options(&Purpose::SignIn, &[])
    }

    /// The same for a passkey of whoever is signed in.
    pub async fn step_up_options(&self, by: &SignedIn) -> Result<Value, PeopleError> {
        let known = passkeys::of_person(&self.store, &by.person.id).await?;
        self.show_options(&Purpose::StepUp(&by.login), &known)
    }

    /// The same for a yes of theirs to what has this digest; nothing if they have no passkey.
    pub async fn approve_options(&self, by: &SignedIn, digest: &Digest) -> Result<Option<Value>, PeopleError> {
        let known = passkeys::of_person(&self.store, &by.person.id).await?;
        let asked = || self.show_options(&Purpose::Approve(&by.login, digest), &known);
        (!known.is_empty()).then(asked).transpose()
    }

    /// Whoever is signed in showed a passkey for what has this digest, and for nothing else.
    pub async fn shown_for(
        &self,
        by: &SignedIn,
        digest: &Digest,
        sent: &ShownPasskey,
    ) -> Result<ShownFor, PeopleError> {
        let Proof { passkey, shown } = self.shown_by(&Purpose::Approve(&by.login, digest), sent).await?;
        if passkey.person != by.person.id {
            return Err(PeopleError::NoPasskey);
        }
        let evidence = canonical(&json!({
            "authenticator_data": sent.authenticator_data,
            "client_data": sent.client_data,
            "public_key": encode(&passkey.public_key),
            "signature": sent.signature,
        }));
        Ok(ShownFor { shown, evidence: evidence.unwrap_or_default() })
    }

    fn show_options(&self, purpose: &Purpose<'_>, known: &[Passkey]) -> Result<Value, PeopleError> {
        Ok(json!({
            "challenge": self.new_challenge(purpose)?,
            "rpId": self.config.party().id,
            "allowCredentials": credentials(known),
            "userVerification": "required",
            "timeout": LIFETIME.as_seconds() * 1000,
        }))
    }

    /// The passkeys of a person, oldest first.
    pub async fn passkeys(&self, person: &PersonId) -> Result<Vec<Passkey>, PeopleError> {
        Ok(passkeys::of_person(&self.store, person).await?)
    }

    /// Has an administrator a passkey, so that the server is somebody's?
    pub async fn is_claimed(&self) -> Result<bool, PeopleError> {
        let holders = passkeys::holders(&self.store).await?;
        let person = |id| self.directory.person(id).map(|slot| slot.person());
        Ok(holders.iter().filter_map(person).any(|person| person.has(chancery_model::Role::Admin)))
    }

    /// Registers a passkey for whoever is signed in. It counts as shown.
    pub async fn add_passkey(
        &self,
        by: &SignedIn,
        cookie: &str,
        sent: &NewPasskey,
    ) -> Result<(Passkey, Secret), PeopleError> {
        self.may_register(by)?;
        let (client_data, attestation) = (part(&sent.client_data)?, part(&sent.attestation)?);
        let challenge = self.challenged(&Purpose::Register(&by.login), &client_data)?;
        let registration = Registration { client_data: &client_data, attestation: &attestation };
        let made = self.config.party().register(&registration, &challenge.bytes)?;
        let now = self.clock.now();
        let passkey = Passkey {
            id: PasskeyId::new(now, &*self.random),
            credential: made.credential,
            person: by.person.id.clone(),
            rp_id: self.config.party().id,
            public_key: made.public_key,
            sign_count: made.sign_count,
            name: named(&sent.name),
            created_at: now,
            used_at: Some(now),
        };
        let draft = passkey_draft(now, by, &passkey.id, "add", &passkey.name);
        let (stored, answered) = (passkey.clone(), sha256(&challenge.bytes));
        let (before, after) = self.new_cookie(cookie);
        let (hash, expires_at) = (sha256(after.expose().as_bytes()), challenge.expires_at);
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                first_answer(tx, &answered, expires_at, now).await?;
                if passkeys::of_person(&mut *tx, &stored.person).await?.len() >= MOST {
                    return Err(StoreError::refuse(PeopleError::TooMany(MOST)));
                }
                if passkeys::get(&mut *tx, &stored.credential).await?.is_some() {
                    return Err(StoreError::refuse(PeopleError::Passkey(NotAccepted::Key)));
                }
                rotate(tx, &before, &hash, now).await?;
                passkeys::insert(tx, &stored).await
            })
        });
        write.await?;
        Ok((passkey, after))
    }

    /// Calls a passkey by another name.
    pub async fn rename_passkey(&self, by: &SignedIn, id: &str, name: &str) -> Result<(), PeopleError> {
        let (now, id) = (self.clock.now(), id.parse::<PasskeyId>().map_err(|_| PeopleError::NoPasskey)?);
        let (person, name) = (by.person.id.clone(), named(name));
        let draft = passkey_draft(now, by, &id, "rename", &name);
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                let had = passkeys::rename(tx, &person, &id, &name).await?;
                if had { Ok(()) } else { Err(StoreError::refuse(PeopleError::NoPasskey)) }
            })
        });
        write.await?;
        Ok(())
    }

    /// Removes a passkey for good, and ends every other login of its person: one may have come about with it.
    ///
    /// # Errors
    /// [`PeopleError::Unproved`] if no passkey was shown in the last five minutes.
    pub async fn remove_passkey(&self, by: &SignedIn, id: &str) -> Result<(), PeopleError> {
        let now = self.clock.now();
        if !by.is_proved(now, RECENT) {
            return Err(PeopleError::Unproved);
        }
        let id = id.parse::<PasskeyId>().map_err(|_| PeopleError::NoPasskey)?;
        let (person, login) = (by.person.id.clone(), by.login.clone());
        let draft = passkey_draft(now, by, &id, "remove", "");
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                if !passkeys::remove(tx, &person, &id, now).await? {
                    return Err(StoreError::refuse(PeopleError::NoPasskey));
                }
                logins::end_others(tx, &person, &login, now).await
            })
        });
        write.await?;
        Ok(())
    }

    /// Removes somebody's passkey for good in the name of whoever does it, and ends all their logins.
    ///
    /// # Errors
    /// [`PeopleError::NoPasskey`] if they have none of this id.
    pub async fn take_passkey(
        &self,
        person: &Person,
        id: &str,
        (by, why): (&str, Option<&str>),
    ) -> Result<(), PeopleError> {
        let (now, id) = (self.clock.now(), id.parse::<PasskeyId>().map_err(|_| PeopleError::NoPasskey)?);
        let after = canonical(&json!({ "person": person.id })).ok();
        let change = Change {
            noun: "passkey".into(),
            id: id.to_string(),
            verb: "remove".into(),
            after: after.map(|json| String::from_utf8_lossy(&json).into_owned()),
        };
        let who = Who { human: Some(by.to_owned()), ..Who::default() };
        let why = Why { reason: why.map(str::to_owned), trace: None };
        let draft = Draft { kind: Kind::Change, at: now, who, why, change: Some(change), ..Draft::default() };
        let person = person.id.clone();
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                if !passkeys::remove(tx, &person, &id, now).await? {
                    return Err(StoreError::refuse(PeopleError::NoPasskey));
                }
                logins::end_all(tx, &person, now).await
            })
        });
        write.await?;
        Ok(())
    }

    /// Signs in whoever's passkey was shown. The login that the browser held before, if any, is over.
    pub async fn sign_in_by_passkey(&self, sent: &ShownPasskey, before: Option<&str>) -> Result<Secret, PeopleError> {
        let now = self.clock.now();
        let proof = self.shown_by(&Purpose::SignIn, sent).await?;
        // A passkey of somebody who is not here any more is one that we do not know.
        let slot = self.directory.person(&proof.passkey.person).ok_or(PeopleError::NoPasskey)?;
        let person = slot.person();
        let user = decode(&sent.user).map_err(|_| PeopleError::NoPasskey)?;
        if user != person.id.as_str().as_bytes() {
            return Err(PeopleError::NoPasskey);
        }
        let cookie = encode(&self.random.bytes::<32>());
        let login = Login {
            id: LoginId::new(now, &*self.random),
            hash: sha256(cookie.as_bytes()),
            person: person.id.clone(),
            epoch: person.epoch,
            created_at: now,
            used_at: now,
            proved_at: Some(now),
            ended_at: None,
        };
        let draft = draft(now, &person, &login.id, "sign_in", Some(&proof.passkey.id));
        let before = before.map(|cookie| sha256(cookie.as_bytes()));
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                passkeys::note(tx, &proof.shown, now).await?;
                begin(tx, &login, before, PeopleError::NoPasskey).await
            })
        });
        write.await?;
        Ok(Secret::new(cookie))
    }

    /// Whoever is signed in showed a passkey again. What the browser has to hold from now on.
    pub async fn step_up(&self, by: &SignedIn, cookie: &str, sent: &ShownPasskey) -> Result<Secret, PeopleError> {
        let now = self.clock.now();
        let proof = self.shown_by(&Purpose::StepUp(&by.login), sent).await?;
        if proof.passkey.person != by.person.id {
            return Err(PeopleError::NoPasskey);
        }
        let draft = draft(now, &by.person, &by.login, "step_up", Some(&proof.passkey.id));
        let (before, after) = self.new_cookie(cookie);
        let hash = sha256(after.expose().as_bytes());
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                passkeys::note(tx, &proof.shown, now).await?;
                rotate(tx, &before, &hash, now).await
            })
        });
        write.await?;
        Ok(after)
    }

    async fn shown_by(&self, purpose: &Purpose<'_>, sent: &ShownPasskey) -> Result<Proof, PeopleError> {
        let credential = part(&sent.credential)?;
        let (client_data, data) = (part(&sent.client_data)?, part(&sent.authenticator_data)?);
        let signature = part(&sent.signature)?;
        let challenge = self.challenged(purpose, &client_data)?;
        let party = self.config.party();
        let passkey = passkeys::get(&self.store, &credential).await?.ok_or(PeopleError::NoPasskey)?;
        let signed = Assertion { client_data: &client_data, authenticator_data: &data, signature: &signature };
        let count = party.verify(&signed, &challenge.bytes, &passkey.public_key, passkey.sign_count)?;
        let shown = Shown {
            passkey: passkey.id.clone(),
            credential: passkey.credential.clone(),
            count,
            challenge: sha256(&challenge.bytes),
            expires_at: challenge.expires_at,
        };
        Ok(Proof { passkey, shown })
    }

    /// The hash of what the browser holds, and what it is to hold instead.
    fn new_cookie(&self, before: &str) -> (Hash, Secret) {
        (sha256(before.as_bytes()), Secret::new(encode(&self.random.bytes::<32>())))
    }

    fn may_register(&self, by: &SignedIn) -> Result<(), PeopleError> {
        if by.is_fresh(self.clock.now(), RECENT) { Ok(()) } else { Err(PeopleError::Stale) }
    }

    fn new_challenge(&self, purpose: &Purpose<'_>) -> Result<String, PeopleError> {
        let until = (self.clock.now() + LIFETIME).0.to_be_bytes();
        let sealed = self.vault.seal(Place { table: "challenges", row: &purpose.row() }, &until);
        let sealed = sealed.map_err(|e| PeopleError::Vault(e.to_string()))?;
        Ok(encode(&[purpose.subject(), &sealed].concat()))
    }

    /// The challenge that is answered, if it is one of ours, for this, and not too old.
    fn challenged(&self, purpose: &Purpose<'_>, client_data: &[u8]) -> Result<Challenge, PeopleError> {
        let bytes = challenge(client_data)?;
        let other = || PeopleError::Passkey(NotAccepted::Challenge);
        let place = purpose.row();
        let sealed = bytes.strip_prefix(purpose.subject()).ok_or_else(other)?;
        let opened = self.vault.unseal(Place { table: "challenges", row: &place }, sealed).map_err(|_| other())?;
        let expires_at = Timestamp(i64::from_be_bytes(opened.as_slice().try_into().map_err(|_| other())?));
        if self.clock.now() < expires_at { Ok(Challenge { bytes, expires_at }) } else { Err(other()) }
    }
}

async fn first_answer(tx: &mut Tx, hash: &Hash, expires_at: Timestamp, now: Timestamp) -> Result<(), StoreError> {
    let first = passkeys::answer(tx, hash, expires_at, now).await?;
    if first { Ok(()) } else { Err(StoreError::refuse(NotCounted::Answered)) }
}

/// The login goes on under another cookie, if it is not over.
async fn rotate(tx: &mut Tx, before: &Hash, after: &Hash, now: Timestamp) -> Result<(), StoreError> {
    let lives = logins::prove(tx, before, after, now).await?;
    if lives { Ok(()) } else { Err(StoreError::refuse(PeopleError::Stale)) }
}

fn part(text: &str) -> Result<Vec<u8>, PeopleError> {
    decode(text).map_err(|_| PeopleError::Passkey(NotAccepted::Data))
}

/// A name that says something, cut short.
fn named(name: &str) -> String {
    let name: String = name.trim().chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
    if name.is_empty() { "Passkey".to_owned() } else { name }
}

fn credentials(known: &[Passkey]) -> Vec<Value> {
    known.iter().map(|passkey| json!({ "type": "public-key", "id": encode(&passkey.credential) })).collect()
}

fn passkey_draft(now: Timestamp, by: &SignedIn, id: &PasskeyId, verb: &str, name: &str) -> Draft {
    let after = canonical(&json!({ "person": by.person.id, "login": by.login, "name": name })).ok();
    let change = Change {
        noun: "passkey".into(),
        id: id.to_string(),
        verb: verb.into(),
        after: after.map(|json| String::from_utf8_lossy(&json).into_owned()),
    };
    let who = Who { human: Some(by.person.name.clone()), ..Who::default() };
    Draft { kind: Kind::Change, at: now, who, change: Some(change), ..Draft::default() }
}
