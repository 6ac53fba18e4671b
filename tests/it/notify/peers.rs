//! Other people's libraries take what we send: `standardwebhooks` checks signatures, `aiosmtpd` takes mail over STARTTLS.

use chancery_oversee::notify::MailTls;

use super::channels::{SECRET, mail, webhook, with};
use super::sinks::{MailSink, WebSink, delivered, eventually, suspend};
use crate::gateway::peers::{command, directory, output};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_peoples_library_verifies_our_webhooks() {
    let Some(peers) = directory("standardwebhooks") else { return };
    let sink = WebSink::start().await;
    let app = with([webhook("pager", &sink, &["agent.suspended"])]).clock(std::sync::Arc::new(chancery_it::WallClock));
    let app = app.start().await;
    app.secret("pager", SECRET).await;
    app.register("crm", "agent").await;
    suspend(&app, "crm").await;
    let came = sink.until(1).await.remove(0);
    let headers: serde_json::Map<String, serde_json::Value> = ["webhook-id", "webhook-timestamp", "webhook-signature"]
        .iter()
        .map(|name| ((*name).to_owned(), came.header(name).into()))
        .collect();
    let given = serde_json::json!({
        "secret": SECRET, "headers": headers, "body": String::from_utf8(came.body.to_vec()).unwrap(),
    });
    let python = peers.join("venv/bin/python");
    let mut verify = command(&python, &peers, &["verify_webhook.py"]);
    verify.env("GIVEN", given.to_string());
    let said = output(verify).await;
    let said: serde_json::Value = serde_json::from_slice(&said.stdout).expect("what it found");
    assert_eq!(said["type"], "agent.suspended", "{said}");
    assert_eq!((&said["changed_refused"], &said["late_refused"]), (&true.into(), &true.into()), "{said}");
    app.stop().await;
}

/// Without TLS no mail goes anywhere but to this machine, and with it only to whom its certificate names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_goes_over_starttls_to_a_server_that_is_trusted_or_not_at_all() {
    let Some(peers) = directory("aiosmtpd") else { return };
    let files = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (files.path().join("c.pem"), files.path().join("k.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let python = peers.join("venv/bin/python");
    let inbox = files.path().join("inbox");
    let mut server = command(&python, &peers, &["smtp_sink.py"]);
    server.env("CERTIFICATE", &certificate).env("KEY", &key).env("INBOX", &inbox);
    let server = crate::gateway::peers::Running::start(server);
    let plain = MailSink::start().await;
    let channel = |name: &str, port: &str| {
        let mut channel = mail(name, &plain, &["agent.suspended"]);
        channel.server = Some(format!("localhost:{port}"));
        channel.tls = MailTls::Starttls;
        channel
    };
    let plain_port = plain.server.rsplit_once(':').unwrap().1.to_owned();
    let trusting = |authorities: bool| {
        let channels = [channel("tls", &server.url), channel("plain", &plain_port)];
        let certificate = certificate.clone();
        with(channels).config(move |config| config.fetch.authorities = authorities.then_some(certificate))
    };
    for (trusted, mails) in [(false, 0), (true, 1)] {
        let app = trusting(trusted).start().await;
        app.register("crm", "agent").await;
        suspend(&app, "crm").await;
        for name in ["tls", "plain"] {
            delivered(&app, name, |log| log.iter().any(|one| one["attempts"] != 0)).await;
        }
        let log = delivered(&app, "tls", |_| true).await;
        assert_eq!(log[0]["state"] == "delivered", trusted, "{log:?}");
        let came = || std::fs::read_to_string(&inbox).unwrap_or_default().matches("Message-ID:").count();
        eventually("mails", async || came() == mails).await;
        let log = delivered(&app, "plain", |_| true).await;
        assert_eq!(log[0]["state"], "waiting", "a server without STARTTLS is told nothing: {log:?}");
        app.stop().await;
    }
    assert!(plain.mails().is_empty());
    assert!(std::fs::read_to_string(&inbox).unwrap().contains("X-Tls: TLS"), "the mail came over TLS");
}
