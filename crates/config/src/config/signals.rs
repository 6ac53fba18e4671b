//! `[signals]`: who is told what happens here, and whose word about people is acted on.

use std::collections::BTreeSet;

use chancery_authenticate::SetAlgorithm;
use chancery_model::SignalAction;
use serde::Deserialize;

use super::{Config, ConfigError};

/// Security events to others and from others (OpenID Shared Signals Framework 1.0).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Signals {
    /// Who may ask for events.
    pub transmit: Vec<SignalReceiver>,
    /// Whose events are acted on.
    pub receive: Vec<SignalTransmitter>,
}

/// A service account that may have a stream of events.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignalReceiver {
    /// Its name.
    pub receiver: String,
    /// The `aud` of its events; its id, if not given.
    #[serde(default)]
    pub audience: Option<String>,
}

/// A transmitter whose events are acted on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignalTransmitter {
    /// What it is called here: `[a-z0-9-]`, at most 63 characters. It stands in the address where it pushes.
    pub name: String,
    /// Its issuer identifier, letter by letter.
    pub issuer: String,
    /// Who we are to it: the `aud` of its events.
    pub audience: String,
    /// Where its keys are, if not where its metadata says.
    #[serde(default)]
    pub jwks_uri: Option<String>,
    /// How it signs.
    #[serde(default)]
    pub algorithm: SetAlgorithm,
    /// How its events get here.
    pub delivery: Delivered,
    /// The name of the stored secret: what it shows when it pushes, or what we show when we poll.
    pub secret: String,
    /// The address that is polled.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Where a token for polling is had (client credentials), if the secret is not a token itself.
    #[serde(default)]
    pub token_endpoint: Option<String>,
    /// As which client.
    #[serde(default)]
    pub client_id: Option<String>,
    /// How often it is polled, in seconds: 1 to 3600.
    #[serde(default = "five")]
    pub every_seconds: u32,
    /// The issuers whose accounts it may speak of; its own, if not given.
    #[serde(default)]
    pub accounts: Vec<String>,
    /// Whether it may speak of people by their e-mail addresses.
    #[serde(default = "yes")]
    pub emails: bool,
    /// Members of complex subjects with which an event is about less than the person, and left alone.
    #[serde(default)]
    pub critical: Vec<String>,
    /// When a session was revoked there.
    #[serde(default = "end")]
    pub session_revoked: SignalAction,
    /// When a credential was changed, revoked or deleted there.
    #[serde(default = "end")]
    pub credential_change: SignalAction,
    /// When an account was disabled there.
    #[serde(default = "end")]
    pub account_disabled: SignalAction,
    /// When the risk became high there.
    #[serde(default = "finding")]
    pub risk_high: SignalAction,
    /// When a device is not compliant any more there.
    #[serde(default = "finding")]
    pub device_not_compliant: SignalAction,
    /// For so many people it may end something within `within_minutes`; what comes beyond waits for a human.
    #[serde(default = "twenty")]
    pub most_people: u32,
    /// See `most_people`.
    #[serde(default = "ten")]
    pub within_minutes: u32,
    /// How old an event may be when it comes, in hours: 1 to 720.
    #[serde(default = "three_days")]
    pub window_hours: u32,
}

/// How events of a transmitter get here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivered {
    /// It sends them (RFC 8935).
    Push,
    /// We fetch them (RFC 8936).
    Poll,
}

fn five() -> u32 {
    5
}

fn ten() -> u32 {
    10
}

fn twenty() -> u32 {
    20
}

fn three_days() -> u32 {
    72
}

fn yes() -> bool {
    true
}

fn end() -> SignalAction {
    SignalAction::End
}

fn finding() -> SignalAction {
    SignalAction::Finding
}

/// Each name once, every address within reach, nothing said that has no effect.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    let mut receivers = BTreeSet::new();
    for receiver in &config.signals.transmit {
        if !receivers.insert(&receiver.receiver) {
            let why = format!("`{}` is there twice", receiver.receiver);
            return Err(ConfigError::key("signals.transmit.receiver", why));
        }
    }
    let mut names = BTreeSet::new();
    for transmitter in &config.signals.receive {
        if !names.insert(&transmitter.name) {
            return Err(bad("name", format!("`{}` is there twice", transmitter.name)));
        }
        check_transmitter(config, transmitter)?;
    }
    Ok(())
}

fn check_transmitter(config: &Config, transmitter: &SignalTransmitter) -> Result<(), ConfigError> {
    let fetch = config.fetching();
    let permitted = |field: &str, url: &str| fetch.permits(url).map(drop).map_err(|e| bad(field, e.to_string()));
    let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if transmitter.name.is_empty() || transmitter.name.len() > 63 || !transmitter.name.chars().all(named) {
        return Err(bad("name", format!("`{}` is not 1 to 63 of `a-z`, `0-9` and `-`", transmitter.name)));
    }
    match &transmitter.jwks_uri {
        Some(url) => permitted("jwks_uri", url)?,
        None => permitted("issuer", &transmitter.issuer)?,
    }
    if config.public_url.as_ref() == Some(&transmitter.issuer) {
        return Err(bad("issuer", "it is this server itself, which needs not be told".to_owned()));
    }
    match (transmitter.delivery, &transmitter.endpoint) {
        (Delivered::Poll, Some(url)) => permitted("endpoint", url)?,
        (Delivered::Poll, None) => return Err(bad("endpoint", "is missing: what is to be polled?".to_owned())),
        (Delivered::Push, Some(_)) => return Err(bad("endpoint", "is for `delivery = \"poll\"`".to_owned())),
        (Delivered::Push, None) => {}
    }
    match (&transmitter.token_endpoint, &transmitter.client_id) {
        (Some(url), Some(_)) if transmitter.delivery == Delivered::Poll => permitted("token_endpoint", url)?,
        (None, None) => {}
        _ => return Err(bad("token_endpoint", "goes with `client_id` and `delivery = \"poll\"`".to_owned())),
    }
    within("every_seconds", transmitter.every_seconds, 1, 3_600)?;
    within("most_people", transmitter.most_people, 1, 1_000_000)?;
    within("within_minutes", transmitter.within_minutes, 1, 1_440)?;
    within("window_hours", transmitter.window_hours, 1, 720)
}

fn within(field: &str, value: u32, least: u32, most: u32) -> Result<(), ConfigError> {
    match (least..=most).contains(&value) {
        true => Ok(()),
        false => Err(bad(field, format!("{value} is not within {least} and {most}"))),
    }
}

fn bad(field: &str, why: String) -> ConfigError {
    ConfigError::key(format!("signals.receive.{field}"), why)
}
