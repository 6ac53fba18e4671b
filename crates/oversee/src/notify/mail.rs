//! E-mail: plain text, by a mail server that is told who we are only over TLS.

use std::path::Path;
use std::time::{Duration, SystemTime};

use chancery_model::{Secret, Timestamp};
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};

use super::config::{Channel, MailTls};
use super::message::{Message, Sent};

/// For each step of the conversation, and for all of it.
const STEP: Duration = Duration::from_secs(10);
const WHOLE: Duration = Duration::from_secs(30);

/// A channel's way to its mail server.
pub(crate) struct Mailer {
    host: String,
    port: u16,
    tls: Tls,
}

impl Mailer {
    /// `authorities`: a PEM file of certificate authorities that are trusted besides the system's.
    pub(crate) fn new(channel: &Channel, authorities: Option<&Path>) -> Result<Self, String> {
        let (host, port) = channel.mail_server().ok_or("there is no `server` of the form `host:port`")?;
        let tls = match channel.tls {
            MailTls::None => Tls::None,
            MailTls::Starttls => Tls::Required(parameters(host, authorities)?),
            MailTls::Implicit => Tls::Wrapper(parameters(host, authorities)?),
        };
        Ok(Self { host: host.trim_matches(['[', ']']).to_owned(), port, tls })
    }

    /// Sends one mail to all recipients.
    pub(crate) async fn send(
        &self,
        channel: &Channel,
        password: Option<&Secret>,
        message: &Message,
        now: Timestamp,
    ) -> Sent {
        let mail = match mail(channel, message, now) {
            Ok(mail) => mail,
            Err(why) => return Sent::again(why),
        };
        let transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&self.host)
            .port(self.port)
            .tls(self.tls.clone())
            .timeout(Some(STEP));
        let transport = match (&channel.username, password) {
            (Some(user), Some(password)) => {
                transport.credentials(Credentials::new(user.clone(), password.expose().trim().to_owned()))
            }
            _ => transport,
        };
        match tokio::time::timeout(WHOLE, transport.build().send(mail)).await {
            Ok(Ok(response)) => Sent::delivered(format!("SMTP {}", response.code())),
            Ok(Err(error)) => Sent::again(format!("SMTP: {}", chain(&error))),
            Err(_) => Sent::again(format!("SMTP: {} took longer than {} s", self.host, WHOLE.as_secs())),
        }
    }
}

/// An error with what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn parameters(host: &str, authorities: Option<&Path>) -> Result<TlsParameters, String> {
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(path) = authorities {
        let pem = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let roots = Certificate::from_pem(&pem).map_err(|e| format!("{}: {e}", path.display()))?;
        builder = builder.add_root_certificate(roots);
    }
    builder.build().map_err(|e| chain(&e))
}

/// Mails of one thread belong together: they refer to one mail that never was.
fn mail(channel: &Channel, message: &Message, now: Timestamp) -> Result<lettre::Message, String> {
    let from: lettre::message::Mailbox =
        channel.from.as_deref().unwrap_or_default().parse().map_err(|e| format!("from: {e}"))?;
    let domain = from.email.domain().to_owned();
    let word = |text: &str| text.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let mut builder = lettre::Message::builder()
        .from(from)
        .subject(message.headline())
        .date(SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(now.seconds()).unwrap_or_default()))
        .message_id(Some(format!("<{}.{}@{domain}>", message.id, channel.name)))
        .references(format!("<{}@chancery.invalid>", word(&message.subject)))
        .header(ContentType::TEXT_PLAIN)
        .raw_header(header("Auto-Submitted", "auto-generated"));
    for to in &channel.to {
        builder = builder.to(to.parse().map_err(|e| format!("to: {e}"))?);
    }
    builder.body(text(message)).map_err(|e| e.to_string())
}

/// RFC 3834, section 5: no vacation notice answers this.
fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

fn text(message: &Message) -> String {
    let facts: String = message.facts().iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!(
        "{}\r\n\r\n{facts}\r\n{}\r\n\r\n{} · {} · {}\r\n",
        message.data.summary, message.data.link, message.event, message.id, message.time
    )
}
