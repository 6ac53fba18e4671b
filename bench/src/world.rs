//! Time, randomness and the disk of this machine, and the entry that every measurement writes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chancery_model::{Authority, Clock, Draft, Kind, Outcome, Random, Timestamp, What, Who, Why};
use chancery_store::{Config, Store};

use crate::scale::median;
use crate::{Fallible, text};

/// The system's clocks.
pub struct SystemClock(Instant);

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        micros(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }
    fn monotonic(&self) -> Timestamp {
        micros(self.0.elapsed())
    }
}

fn micros(since: Duration) -> Timestamp {
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// The system's generator.
struct SystemRandom(File);

impl Random for SystemRandom {
    fn fill(&self, buffer: &mut [u8]) {
        let mut source = &self.0;
        if let Err(why) = source.read_exact(buffer) {
            eprintln!("error: no random numbers: {why}");
            std::process::abort();
        }
    }
}

/// The clock.
pub fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock(Instant::now()))
}

/// The generator.
pub fn random() -> Fallible<Arc<dyn Random>> {
    Ok(Arc::new(SystemRandom(File::open("/dev/urandom").map_err(text)?)))
}

/// A store in this directory.
pub async fn store(path: &Path) -> Fallible<Store> {
    Store::open(&Config::at(path), clock(), random()?).await.map_err(text)
}

/// A runtime as the product uses it.
pub fn runtime() -> Fallible<tokio::runtime::Runtime> {
    tokio::runtime::Runtime::new().map_err(text)
}

/// An intent as the gateway writes it, without its bodies.
pub fn intent(number: usize) -> Draft {
    let some = |value: &str| Some(value.to_owned());
    Draft {
        kind: Kind::Intent,
        at: Timestamp(1_795_000_000_000_000 + number as i64),
        who: Who {
            agent: some("agt_01jd0r2m6h8x3v5k7n9q1s3t5w"),
            name: some("crm-assistant"),
            human: some("ana@acme.example"),
            ..Who::default()
        },
        what: What {
            server: some("billing"),
            action: some("tools/call"),
            tool: some("refund"),
            fields: BTreeMap::from([
                ("amount".to_owned(), number.to_string()),
                ("customer".to_owned(), "c-1042".to_owned()),
            ]),
            ..What::default()
        },
        why: Why { reason: some("the customer was charged twice"), trace: some("4bf92f3577b34da6a3ce929d0e0e4736") },
        authority: Authority {
            session: some("ses_01jd0r2m6h8x3v5k7n9q1s3t5w"),
            token: some("tok_5f1c2a"),
            grants: vec!["grt_01jd0r2m6h8x3v5k7n9q1s3t5w".into()],
            policies: vec!["refund-small".into()],
            policy_version: Some("5f2b7c0d9e1a4c3b8f6d5e4a3b2c1d0f5f2b7c0d9e1a4c3b8f6d5e4a3b2c1d0f".into()),
            ..Authority::default()
        },
        decision: Some(Outcome::Allow),
        ..Draft::default()
    }
}

/// The bytes of that intent in the log.
pub fn intent_bytes(number: usize) -> Vec<u8> {
    let position = chancery_model::Position { writer: 0, seq: number as u64 };
    let mut bytes = Vec::new();
    intent(number).seal(&[]).finish(position, &[7; 32], &mut bytes);
    bytes
}

/// The middle time of one small write made durable (4 KiB and fdatasync), in microseconds.
pub fn disk_sync(folder: &Path) -> Fallible<f64> {
    let mut file = File::create(folder.join("sync-probe")).map_err(text)?;
    let mut once = || {
        let since = Instant::now();
        file.write_all(&[0x5a; 4096]).and_then(|()| file.sync_data()).map_err(text)?;
        Ok(since.elapsed().as_secs_f64() * 1e6)
    };
    let taken: Vec<f64> = (0..300).map(|_| once()).collect::<Fallible<_>>()?;
    Ok(median(taken))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_entry_is_of_a_common_size() {
        let size = super::intent_bytes(1_000_000).len();
        assert!((300..600).contains(&size), "{size}");
    }
}
