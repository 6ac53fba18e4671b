//! What follows from an attempt: done, later, or a finding.

use std::time::Duration;

use chancery_model::{Change, Draft, Finding, Kind, Random, Severity, Span, Timestamp, Who};
use chancery_store::deliveries::{self, Delivery, DeliveryState, Gone};
use chancery_store::{StoreError, findings};

use super::message::{Sent, Verdict};
use super::{Inner, Line, locked};

/// The finding that attempts are in vain, and what it is about: this and the channel's name.
pub(super) const FAILING: &str = "channel-failing";
pub(super) const SUBJECT: &str = "channel/";
/// The finding that a channel said it is gone.
const GONE: &str = "channel-gone";
/// So many attempts of one message in vain, about four minutes, are a finding.
const WORRYING: u32 = 8;
/// After so many, about a day, a message is given up.
const MOST: u32 = 105;
/// The pause after the first attempt, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(900);

impl Inner {
    /// Writes down what became of an attempt.
    pub(super) async fn settle(&self, line: &Line, delivery: Delivery, sent: Sent) -> Result<(), StoreError> {
        let now = self.parts.clock.now();
        let attempts = delivery.attempts + 1;
        let tried = Delivery { attempts, answer: sent.answer.clone(), posted: sent.posted, ..delivery };
        let tried = match sent.verdict {
            Verdict::Delivered => Delivery { state: DeliveryState::Delivered, ended_at: Some(now), ..tried },
            Verdict::Gone => Delivery { next_at: now, ..tried },
            Verdict::Again(_) if attempts >= MOST => {
                Delivery { state: DeliveryState::Failed, ended_at: Some(now), ..tried }
            }
            Verdict::Again(asked) => {
                let pause = asked.unwrap_or_else(|| pause(attempts, &*self.parts.random));
                Delivery { next_at: now + span(pause), ..tried }
            }
        };
        deliveries::record(&self.parts.store, tried).await?;
        match sent.verdict {
            Verdict::Delivered => self.is_well(&line.channel.name, now).await,
            Verdict::Gone => self.is_gone(&line.channel.name, &sent.answer, now).await,
            Verdict::Again(_) if attempts >= WORRYING => self.is_failing(&line.channel.name, &sent.answer, now).await,
            Verdict::Again(_) => Ok(()),
        }
    }

    /// Once for each time it begins.
    async fn is_failing(&self, channel: &str, answer: &str, now: Timestamp) -> Result<(), StoreError> {
        if locked(&self.failing).contains(channel) {
            return Ok(());
        }
        let evidence = format!("channel `{channel}` takes no messages: {answer}");
        self.open(found(FAILING, channel, Severity::High, evidence, now), None).await?;
        locked(&self.failing).insert(channel.to_owned());
        Ok(())
    }

    async fn is_well(&self, channel: &str, now: Timestamp) -> Result<(), StoreError> {
        if !locked(&self.failing).contains(channel) {
            return Ok(());
        }
        self.close(FAILING, channel, now).await?;
        locked(&self.failing).remove(channel);
        Ok(())
    }

    async fn is_gone(&self, channel: &str, answer: &str, now: Timestamp) -> Result<(), StoreError> {
        let evidence =
            format!("channel `{channel}` answered that it is gone ({answer}): nothing is sent there any more");
        let gone = Gone { channel: channel.to_owned(), since: now, answer: answer.to_owned() };
        self.open(found(GONE, channel, Severity::High, evidence, now), Some(gone)).await?;
        locked(&self.gone).insert(channel.to_owned());
        Ok(())
    }

    /// Somebody asks for it.
    pub(super) async fn again(&self, channel: &str, id: Option<&str>, by: &str) -> Result<u64, StoreError> {
        let now = self.parts.clock.now();
        let after = id.map(|id| serde_json::json!({ "id": id }).to_string());
        let draft = self.draft(by, "channel", channel, "retry", after);
        let (name, id) = (channel.to_owned(), id.map(str::to_owned));
        let write = self.parts.store.write(draft, move |tx| {
            Box::pin(async move {
                deliveries::set_back(tx, &name).await?;
                deliveries::again(tx, &name, id.as_deref(), now).await
            })
        });
        let tried = write.await?.value;
        if locked(&self.gone).contains(channel) {
            self.close(GONE, channel, now).await?;
            locked(&self.gone).remove(channel);
        }
        Ok(tried)
    }

    async fn open(&self, finding: Finding, gone: Option<Gone>) -> Result<(), StoreError> {
        let after = serde_json::to_string(&finding).ok();
        let draft = self.draft("system", "finding", &format!("{}/{}", finding.rule, finding.subject), "open", after);
        let write = self.parts.store.write(draft, move |tx| {
            Box::pin(async move {
                if let Some(gone) = &gone {
                    deliveries::set_gone(tx, gone).await?;
                }
                findings::open(tx, &finding).await
            })
        });
        write.await.map(drop)
    }

    async fn close(&self, rule: &'static str, channel: &str, now: Timestamp) -> Result<(), StoreError> {
        let subject = format!("{SUBJECT}{channel}");
        let draft = self.draft("system", "finding", &format!("{rule}/{subject}"), "close", None);
        let write = self
            .parts
            .store
            .write(draft, move |tx| Box::pin(async move { findings::close(tx, rule, &subject, now).await.map(drop) }));
        write.await.map(drop)
    }

    pub(super) fn draft(&self, by: &str, noun: &str, id: &str, verb: &str, after: Option<String>) -> Draft {
        let change = Change { noun: noun.to_owned(), id: id.to_owned(), verb: verb.to_owned(), after };
        let who = Who { human: Some(by.to_owned()), ..Who::default() };
        Draft { kind: Kind::Change, at: self.parts.clock.now(), who, change: Some(change), ..Draft::default() }
    }
}

fn found(rule: &str, channel: &str, severity: Severity, evidence: String, now: Timestamp) -> Finding {
    Finding {
        rule: rule.to_owned(),
        subject: format!("{SUBJECT}{channel}"),
        severity,
        evidence,
        owasp: "NHI9".to_owned(),
        opened_at: now,
        closed_at: None,
    }
}

/// Twice as long each time, and up to a quarter more or less: those who failed together do not come together again.
fn pause(attempts: u32, random: &dyn Random) -> Duration {
    let doubled = FIRST_PAUSE * (1 << attempts.saturating_sub(1).min(16));
    let [byte] = random.bytes();
    doubled.min(LONGEST_PAUSE) * (192 + u32::from(byte) / 2) / 256
}

fn span(duration: Duration) -> Span {
    Span(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(u8);

    impl Random for Fixed {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(self.0);
        }
    }

    #[test]
    fn pauses_grow_to_a_bound_and_differ() {
        let of = |attempts, byte| pause(attempts, &Fixed(byte)).as_millis();
        assert_eq!((of(1, 0), of(1, 128), of(2, 128), of(5, 128)), (750, 1_000, 2_000, 16_000));
        assert_eq!((of(12, 0), of(60, 128)), (675_000, 900_000));
        assert!(of(3, 255) < 5_000);
        let all: u128 = (1..MOST).map(|attempts| of(attempts, 128)).sum();
        assert!((23..25).contains(&(all / 3_600_000)), "a message is given up after about a day: {all} ms");
        let worrying: u128 = (1..WORRYING).map(|attempts| of(attempts, 128)).sum();
        assert!((100_000..300_000).contains(&worrying), "{worrying}");
    }
}
