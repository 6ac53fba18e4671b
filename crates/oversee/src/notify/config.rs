//! `[[channel]]`: whom to tell what. Channels stand in the configuration file and nowhere else.

use std::path::PathBuf;

use serde::Deserialize;

use super::event;

/// One channel.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// Its name: lower-case letters, digits and `-`.
    pub name: String,
    /// How it is reached.
    pub kind: ChannelKind,
    /// What is told: names of events, `noun.*`, or `*`.
    pub events: Vec<String>,
    /// `webhook`: where to. `slack` with a `room`: where its API is, if not at `https://slack.com/api`.
    #[serde(default)]
    pub url: Option<String>,
    /// The stored secret. `webhook`: `whsec_…`, with which messages are signed. `smtp`: the password. `slack` with a
    /// `room`: the bot's token. Otherwise the address itself: who knows it may post there.
    #[serde(default)]
    pub secret: Option<String>,
    /// A file that holds it instead, read anew for each message.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// `smtp`: host and port.
    #[serde(default)]
    pub server: Option<String>,
    /// `smtp`: how the connection is protected.
    #[serde(default)]
    pub tls: MailTls,
    /// `smtp`: who logs in, if anybody does.
    #[serde(default)]
    pub username: Option<String>,
    /// `smtp`: the sender.
    #[serde(default)]
    pub from: Option<String>,
    /// `smtp`: the recipients.
    #[serde(default)]
    pub to: Vec<String>,
    /// `slack`: the channel's id there, for messages that can be changed later.
    #[serde(default)]
    pub room: Option<String>,
}

/// How a channel is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelKind {
    /// JSON by HTTP, signed as Standard Webhooks says.
    Webhook,
    /// E-mail.
    Smtp,
    /// A message in Slack.
    Slack,
    /// A card in Teams.
    Teams,
}

/// How a connection to a mail server is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailTls {
    /// By STARTTLS (RFC 3207), without which nothing is sent.
    #[default]
    Starttls,
    /// From the first byte (RFC 8314, section 3.3).
    Implicit,
    /// Not at all: on this machine only.
    None,
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretPlace {
    /// Stored here, under this name.
    Stored(String),
    /// In a file.
    File(PathBuf),
}

impl ChannelKind {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Smtp => "smtp",
            Self::Slack => "slack",
            Self::Teams => "teams",
        }
    }
}

impl Channel {
    /// Does it want to be told of this?
    pub fn wants(&self, event: &str) -> bool {
        self.events.iter().any(|pattern| matches(pattern, event))
    }

    /// Where its secret is, if it has one.
    pub fn secret_place(&self) -> Option<SecretPlace> {
        let stored = self.secret.clone().map(SecretPlace::Stored);
        stored.or_else(|| self.secret_file.clone().map(SecretPlace::File))
    }

    /// The mail server's host and port.
    pub(crate) fn mail_server(&self) -> Option<(&str, u16)> {
        let (host, port) = self.server.as_deref()?.rsplit_once(':')?;
        Some((host, port.parse().ok()?))
    }

    /// What can be told without asking anybody.
    ///
    /// # Errors
    /// The key that is wrong, and what is wrong with it.
    pub fn check(&self, fetch: &chancery_fetch::Config) -> Result<(), (&'static str, String)> {
        self.check_name()?;
        self.check_events()?;
        if self.secret.is_some() && self.secret_file.is_some() {
            return Err(("secret", "there is a `secret_file` too: one of them".to_owned()));
        }
        match self.kind {
            ChannelKind::Smtp => self.check_mail()?,
            _ => self.check_http(fetch)?,
        }
        self.check_foreign()
    }

    fn check_name(&self) -> Result<(), (&'static str, String)> {
        let letters = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if (1..=63).contains(&self.name.len()) && self.name.bytes().all(letters) {
            return Ok(());
        }
        Err(("name", format!("`{}`: lower-case letters, digits and `-`, 1 to 63 of them", self.name)))
    }

    fn check_events(&self) -> Result<(), (&'static str, String)> {
        let unknown = self.events.iter().find(|pattern| !event::NAMES.iter().any(|name| matches(pattern, name)));
        match unknown {
            Some(pattern) => Err(("events", format!("`{pattern}` is no event: {}", event::NAMES.join(", ")))),
            None if self.events.is_empty() => Err(("events", "there is nothing to tell".to_owned())),
            None => Ok(()),
        }
    }

    fn check_http(&self, fetch: &chancery_fetch::Config) -> Result<(), (&'static str, String)> {
        if let Some(url) = &self.url {
            fetch.permits(url).map_err(|e| ("url", e.to_string()))?;
        }
        match self.kind {
            ChannelKind::Webhook if self.url.is_none() => Err(("url", "a webhook has an address".to_owned())),
            _ if self.secret_place().is_none() => {
                Err(("secret", "name the stored secret, or a `secret_file`".to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn check_mail(&self) -> Result<(), (&'static str, String)> {
        let (host, _) = self.mail_server().ok_or(("server", "write `host:port`".to_owned()))?;
        if self.tls == MailTls::None && !matches!(host, "localhost" | "127.0.0.1" | "[::1]") {
            return Err(("tls", "`none` is for a mail server on this machine only".to_owned()));
        }
        let address = |text: &str| text.parse::<lettre::message::Mailbox>().map_err(|e| format!("`{text}`: {e}"));
        let from = self.from.as_deref().ok_or(("from", "whom is the mail from?".to_owned()))?;
        address(from).map_err(|why| ("from", why))?;
        self.to.iter().try_for_each(|to| address(to).map(drop)).map_err(|why| ("to", why))?;
        if self.to.is_empty() {
            return Err(("to", "there is nobody to write to".to_owned()));
        }
        match (self.username.is_some(), self.secret_place().is_some()) {
            (true, false) => Err(("secret", "where is the password of `username`?".to_owned())),
            (false, true) => Err(("username", "whose password is the secret?".to_owned())),
            _ => Ok(()),
        }
    }

    /// A key of another kind would be silently without effect.
    fn check_foreign(&self) -> Result<(), (&'static str, String)> {
        let mail = self.kind == ChannelKind::Smtp;
        let given = [
            ("url", self.url.is_some(), matches!(self.kind, ChannelKind::Webhook | ChannelKind::Slack)),
            ("server", self.server.is_some(), mail),
            ("tls", self.tls != MailTls::default(), mail),
            ("username", self.username.is_some(), mail),
            ("from", self.from.is_some(), mail),
            ("to", !self.to.is_empty(), mail),
            ("room", self.room.is_some(), self.kind == ChannelKind::Slack),
        ];
        match given.into_iter().find(|(_, given, meant)| *given && !meant) {
            Some((key, ..)) => Err((key, format!("has no meaning for the kind `{}`", self.kind.word()))),
            None if self.kind == ChannelKind::Slack && self.url.is_some() && self.room.is_none() => {
                Err(("url", "without a `room` the address is the secret".to_owned()))
            }
            None => Ok(()),
        }
    }
}

fn matches(pattern: &str, event: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some("") => true,
        Some(noun) => noun.ends_with('.') && event.starts_with(noun),
        None => pattern == event,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<(), &'static str> {
        let channel: Channel = toml_like(text);
        channel.check(&chancery_fetch::Config::default()).map_err(|(key, _)| key)
    }

    fn toml_like(text: &str) -> Channel {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn each_kind_has_what_it_needs_and_nothing_else() {
        for (given, wrong) in [
            (r#""kind":"webhook","url":"https://a.example/x","secret":"s""#, None),
            (r#""kind":"webhook","secret":"s""#, Some("url")),
            (r#""kind":"webhook","url":"https://a.example/x""#, Some("secret")),
            (r#""kind":"webhook","url":"http://a.example/x","secret":"s""#, Some("url")),
            (r#""kind":"webhook","url":"https://a.example/x","secret":"s","room":"C1""#, Some("room")),
            (r#""kind":"slack","secret":"s""#, None),
            (r#""kind":"slack","secret":"s","room":"C1""#, None),
            (r#""kind":"slack","secret":"s","secret_file":"f""#, Some("secret")),
            (r#""kind":"slack","secret":"s","url":"https://a.example/api""#, Some("url")),
            (r#""kind":"teams","secret_file":"f""#, None),
            (r#""kind":"teams","secret":"s","url":"https://a.example/x""#, Some("url")),
            (r#""kind":"smtp","server":"mail.example:587","from":"a@a.example","to":["b@a.example"]"#, None),
            (r#""kind":"smtp","server":"mail.example","from":"a@a.example","to":["b@a.example"]"#, Some("server")),
            (r#""kind":"smtp","server":"mail.example:25","from":"a@a.example","to":["b\n@a"]"#, Some("to")),
            (r#""kind":"smtp","server":"mail.example:25","from":"a@a.example","to":[]"#, Some("to")),
            (
                r#""kind":"smtp","server":"mail.example:25","tls":"none","from":"a@a.example","to":["b@a.example"]"#,
                Some("tls"),
            ),
            (r#""kind":"smtp","server":"127.0.0.1:25","tls":"none","from":"a@a.example","to":["b@a.example"]"#, None),
            (
                r#""kind":"smtp","server":"m.example:25","username":"u","from":"a@a.example","to":["b@a.example"]"#,
                Some("secret"),
            ),
        ] {
            let text = format!(r#"{{"name":"pager","events":["approval.*"],{given}}}"#);
            assert_eq!(check(&text).err(), wrong, "{given}");
        }
    }

    #[test]
    fn events_are_known_ones() {
        for (events, good) in [
            (r#"["*"]"#, true),
            (r#"["containment.*","finding.opened"]"#, true),
            (r#"["aproval.*"]"#, false),
            (r#"["containment"]"#, false),
            (r#"["contain*"]"#, false),
            ("[]", false),
        ] {
            let text = format!(r#"{{"name":"a","kind":"teams","secret":"s","events":{events}}}"#);
            assert_eq!(check(&text).is_ok(), good, "{events}");
        }
    }
}
