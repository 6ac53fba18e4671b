//! Webhooks as Standard Webhooks 1.0 says: the id names the message however often it comes, the signature is over id,
//! time and body.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chancery_fetch::{Ask, Fetcher};
use chancery_model::{Secret, Timestamp};
use chancery_store::deliveries::Delivery;
use http::{HeaderName, HeaderValue};

use super::message::Sent;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
/// What a secret begins with.
const PREFIX: &str = "whsec_";
/// The fewest bytes of a secret: 192 bits.
const SHORTEST: usize = 24;

/// Sends one message.
pub(crate) async fn send(url: &str, secret: &Secret, delivery: &Delivery, now: Timestamp, fetcher: &Fetcher) -> Sent {
    let ask = match signed(url, secret, delivery, now) {
        Ok(ask) => ask,
        Err(why) => return Sent::again(why),
    };
    Sent::by_http(&fetcher.fetch(ask).await)
}

fn signed(url: &str, secret: &Secret, delivery: &Delivery, now: Timestamp) -> Result<Ask, String> {
    let time = now.seconds();
    let signature = signatures(secret, &delivery.id, time, &delivery.payload)?;
    let value = |text: &str| HeaderValue::from_str(text).map_err(|e| e.to_string());
    Ok(Ask::post(url, "application/cloudevents+json; charset=utf-8", delivery.payload.clone())
        .header(ID, value(&delivery.id)?)
        .header(TIMESTAMP, value(&time.to_string())?)
        .header(SIGNATURE, value(&signature)?))
}

/// One for each secret: while a secret is replaced, both stand in the one that is stored, with a space between.
fn signatures(secret: &Secret, id: &str, time: i64, body: &str) -> Result<String, String> {
    let content = format!("{id}.{time}.{body}");
    let each = secret.expose().split_whitespace().map(|secret| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key_bytes(secret)?);
        Ok(format!("v1,{}", STANDARD.encode(hmac::sign(&key, content.as_bytes()))))
    });
    let all: Vec<String> = each.collect::<Result<_, String>>()?;
    if all.is_empty() { Err("the secret is empty".to_owned()) } else { Ok(all.join(" ")) }
}

fn key_bytes(secret: &str) -> Result<Vec<u8>, String> {
    let encoded = secret.strip_prefix(PREFIX).ok_or_else(|| format!("the secret does not begin with `{PREFIX}`"))?;
    let bytes = STANDARD.decode(encoded).map_err(|_| "the secret is not base64 after its prefix".to_owned())?;
    if bytes.len() < SHORTEST {
        return Err(format!("the secret has {} bytes, and at least {SHORTEST} are needed", bytes.len()));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign(secret: &str) -> Result<String, String> {
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        signatures(&Secret::new(secret.to_owned()), id, 1_614_265_330, r#"{"test": 2432232314}"#)
    }

    /// The example of the Standard Webhooks specification.
    #[test]
    fn the_signature_is_the_one_of_the_specification() {
        let known = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").as_deref(), Ok(known));
        let other = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let both = sign(&format!("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw {other}")).unwrap();
        assert!(both.starts_with(known) && both.split(' ').count() == 2);
    }

    #[test]
    fn what_is_no_secret_signs_nothing() {
        for bad in ["", " ", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_", "whsec_AAAA", "whsec_%%%"] {
            assert!(sign(bad).is_err(), "{bad}");
        }
    }
}
