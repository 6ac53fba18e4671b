//! The store through its own front door, on real files.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use chancery_model::{
    Agent, AgentId, AgentKind, AgentState, BearerUse, Body, Change, Clock, Draft, Header, Kind, Position, Random,
    Secret, Timestamp,
};
use chancery_tlog::leaf_hash;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tempfile::TempDir;

use crate::{Config, Store, StoreError, log};

mod change;
mod engines;
mod erase;
mod failure;
mod group;
mod nodes;
mod nouns;
mod opening;
mod oversight;
mod people;
mod tree;

/// Each look at it is a microsecond later.
struct Ticking(AtomicI64);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.fetch_add(1, Ordering::Relaxed))
    }
    fn monotonic(&self) -> Timestamp {
        self.now()
    }
}

/// Different bytes every time, the same in every run.
struct Counting(AtomicU64);

impl Random for Counting {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            let next = self.0.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            chunk.copy_from_slice(&next.to_be_bytes()[..chunk.len()]);
        }
    }
}

/// A data directory, and what goes with it.
struct Place {
    dir: TempDir,
    database: Option<Secret>,
}

impl Place {
    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn config(&self) -> Config {
        Config { database: self.database.clone(), ..Config::at(self.path()) }
    }

    /// Somebody with a database client changes what is stored, behind our back.
    async fn meddle(&self, sql: &str) {
        match (&self.database, chancery_lend::engine()) {
            (Some(database), Some(server)) => drop(server.sql(database.expose(), sql)),
            _ => {
                let file = SqliteConnectOptions::new().filename(self.path().join("chancery.db"));
                let mut connection = file.connect().await.unwrap();
                sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
        }
    }

    /// Exchanges some letters in the commit that begins with this entry.
    async fn forge(&self, seq: u64, old: &str, new: &str) {
        let entries = match self.database {
            None => format!("CAST(REPLACE(entries, '{old}', '{new}') AS BLOB)"),
            Some(_) => {
                let hex = |text: &str| format!("encode('{text}', 'hex')");
                format!("decode(REPLACE(encode(entries, 'hex'), {}, {}), 'hex')", hex(old), hex(new))
            }
        };
        self.meddle(&format!("UPDATE log_segments SET entries = {entries} WHERE first_seq = {seq}")).await;
    }
}

fn place() -> Place {
    let database = chancery_lend::engine().map(|server| Secret::new(server.database()));
    Place { dir: tempfile::tempdir().unwrap(), database }
}

use group::session;

async fn try_open(config: Config) -> Result<Store, StoreError> {
    let clock = Arc::new(Ticking(AtomicI64::new(1_795_000_000_000_000)));
    let random = Arc::new(Counting(AtomicU64::new(1)));
    Store::open(&config, clock, random).await
}

async fn open(place: &Place) -> Store {
    try_open(place.config()).await.unwrap()
}

fn draft(detail: &str) -> Draft {
    Draft { kind: Kind::Decision, at: Timestamp(7), detail: Some(detail.to_owned()), ..Draft::default() }
}

fn draft_with_body(detail: &str, content: &[u8]) -> Draft {
    Draft { bodies: vec![Body { name: "arguments", content: content.to_vec() }], ..draft(detail) }
}

fn change_of(agent: &Agent, verb: &str) -> Draft {
    let change = Change { noun: "agent".into(), id: agent.id.to_string(), verb: verb.to_owned(), after: None };
    Draft { kind: Kind::Change, change: Some(change), ..draft(&agent.name) }
}

fn agent(name: &str, number: u64) -> Agent {
    let now = Timestamp::from_seconds(1_795_000_000);
    Agent {
        id: AgentId::new(now, &Counting(AtomicU64::new(number << 32))),
        name: name.to_owned(),
        kind: AgentKind::Agent,
        sponsor: "ada@example.com".into(),
        owner: "grace@example.com".into(),
        purpose: "tests".into(),
        blueprint: None,
        manifest: None,
        state: AgentState::Registered,
        epoch: 0,
        bearer: BearerUse::Refused,
        key_thumbprint: None,
        public_jwk: None,
        created_at: now,
        expires_at: Timestamp::from_seconds(1_800_000_000),
    }
}

/// Every entry's `detail`, in order, after every hash and link was computed again.
async fn verified(store: &Store) -> Vec<String> {
    let mut details = Vec::new();
    let mut prev = [0; 32];
    let mut scan = log::forward(store, Position { writer: 0, seq: 0 });
    while let Some(segment) = scan.next().await.unwrap() {
        for ((position, bytes), entry) in segment.entries().zip(segment.decoded()) {
            let header = Header::decode(bytes).unwrap();
            assert_eq!(header.position, position);
            assert_eq!(position.seq, details.len() as u64);
            assert_eq!(header.prev, prev, "the chain is broken at {}", position.seq);
            prev = leaf_hash(bytes);
            assert_eq!(segment.leaf(position.seq), Some(&prev));
            details.push(entry.unwrap().draft.detail.unwrap());
        }
    }
    details
}

async fn commits(store: &Store) -> usize {
    let mut scan = log::newest_first(store, 0);
    let mut count = 0;
    while scan.next().await.unwrap().is_some() {
        count += 1;
    }
    count
}
