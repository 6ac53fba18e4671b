//! The task that keeps a node fit to act: it follows the feed, and renews the lease each time it is at its end.

use std::sync::Arc;
use std::time::Duration;

use chancery_model::{Clock, Hash, Span, Timestamp};
use sqlx::postgres::{PgListener, PgPool};

use crate::lease::LEASE;
use crate::link::{Pool, Source};
use crate::nodes::NOW;
use crate::row::Columns;
use crate::store::Shared;
use crate::{StoreError, sql};

/// Between two renewals, when nothing changes.
const EVERY: Duration = Duration::from_millis(500);
/// Between two looks whether others have confirmed.
const LOOK: Duration = Duration::from_millis(20);
/// Renewals between two clearings of what nobody needs any more.
const CLEARING: u32 = 240;
/// Rows of the feed are kept so long: who was away for longer reads everything anew.
const KEPT: Span = Span::hours(1);
/// A lease that is over by so much is over, whatever the database's clock has done.
const LONG_OVER: Span = Span::seconds(10);

/// What a node does beside the commits.
pub(crate) struct Keeper {
    node: u32,
    readers: PgPool,
    pool: Arc<Pool>,
    desk: Arc<Pool>,
    shared: Arc<Shared>,
    rounds: u32,
}

/// How a node came to be past a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It has applied it.
    Confirmed,
    /// It has not said so, and its leave to act is over: it refuses everything until it has.
    LeaseEnded,
}

/// One node is past a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// The node's name.
    pub node: String,
    /// How long after it was asked for.
    pub after: Span,
    /// How.
    pub how: How,
}

impl Keeper {
    pub(crate) fn new(node: u32, readers: PgPool, pool: Arc<Pool>, desk: Arc<Pool>, shared: Arc<Shared>) -> Self {
        Self { node, readers, pool, desk, shared, rounds: 0 }
    }

    /// Until the store is closed or fails.
    pub(crate) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        tokio::select! {
            () = shared.closing() => {}
            () = self.keep() => {}
        }
        shared.lease.give_up();
    }

    async fn keep(&mut self) {
        let mut listener = None;
        while self.shared.failure().is_none() {
            match self.round().await {
                Ok(()) => {}
                Err(e) if e.is_outage() => tracing::warn!(error = %e, "the lease of this node was not renewed"),
                Err(e) => {
                    self.shared.lease.give_up();
                    return self.shared.poison(&e.to_string());
                }
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = hint(&mut listener, &self.readers) => {}
            }
        }
    }

    /// Applies what changed, then says so. If something changed in between it is done once more: a lease is only given to
    /// who is at the end of the feed.
    pub(crate) async fn round(&mut self) -> Result<(), StoreError> {
        loop {
            let told = self.shared.feed.follow(&self.pool, |changed| self.shared.tell(changed)).await?;
            let sent = self.shared.clock.monotonic();
            if self.renew(told).await? {
                self.shared.lease.renewed(sent);
                break;
            }
            self.require_member().await?;
        }
        self.rounds += 1;
        if self.rounds.is_multiple_of(CLEARING) { self.clear().await } else { Ok(()) }
    }

    async fn renew(&self, told: u64) -> Result<bool, StoreError> {
        let text = sqlx::AssertSqlSafe(format!(
            "UPDATE nodes SET confirmed = $2, seen_at = {NOW}, lease_until = {NOW} + $3 WHERE number = $1 \
             AND left_at IS NULL AND $2 >= (SELECT COALESCE(MAX(number), 0) FROM feed)"
        ));
        let told = i64::try_from(told).unwrap_or(i64::MAX);
        Ok(self.desk.run(sql(text).bind(i64::from(self.node)).bind(told).bind(LEASE.0)).await? == 1)
    }

    async fn require_member(&self) -> Result<(), StoreError> {
        let sql = sql("SELECT 1 AS here FROM nodes WHERE number = $1 AND left_at IS NULL").bind(i64::from(self.node));
        match Source::Pool(&self.pool).one(sql, |row| row.int("here")).await? {
            Some(_) => Ok(()),
            None => Err(StoreError::Connect("this node has left: join again with a new data directory".to_owned())),
        }
    }

    async fn clear(&self) -> Result<(), StoreError> {
        let fed = format!("DELETE FROM feed WHERE at < {NOW} - $1 AND number < (SELECT MAX(number) FROM feed)");
        self.desk.run(sql(sqlx::AssertSqlSafe(fed)).bind(KEPT.0)).await?;
        let shown = format!("DELETE FROM shown_once WHERE dies < {NOW} - $1");
        self.desk.run(sql(sqlx::AssertSqlSafe(shown)).bind(KEPT.0)).await.map(drop)
    }
}

/// Returns when somebody says that something changed. That it is said is not relied upon.
async fn hint(listener: &mut Option<PgListener>, readers: &PgPool) {
    let listening = async {
        if listener.is_none() {
            let mut fresh = PgListener::connect_with(readers).await?;
            fresh.listen("chancery_feed").await?;
            *listener = Some(fresh);
        }
        match listener {
            Some(listener) => listener.recv().await.map(drop),
            None => Ok(()),
        }
    };
    if let Err(error) = listening.await {
        tracing::debug!(%error, "nobody says when something changes");
        *listener = None;
        std::future::pending::<()>().await;
    }
}

/// A node that has not confirmed yet: its lease as it was first seen, and when that was.
struct Late {
    lease_until: i64,
    since: Timestamp,
}

struct Other {
    name: String,
    confirmed: u64,
    lease_until: i64,
    over: i64,
}

/// Waits until each of the other nodes has applied the change, or may not act by what it knew before.
///
/// A lease that was seen at a moment was given before it, so that it is over a lease's length later on any clock. Who
/// has not applied the change gets no other one.
pub(crate) async fn confirmed(pool: &Pool, node: u32, clock: &dyn Clock, number: u64) -> Vec<Confirmation> {
    let begun = clock.monotonic();
    let mut late = std::collections::BTreeMap::<String, Late>::new();
    let mut done = std::collections::BTreeMap::<String, Confirmation>::new();
    loop {
        if let Ok(others) = others(pool, node).await {
            let now = clock.monotonic();
            for other in others.iter().filter(|other| !done.contains_key(&other.name)).collect::<Vec<_>>() {
                if let Some(how) = past(other, number, &mut late, now) {
                    let confirmation = Confirmation { node: other.name.clone(), after: now - begun, how };
                    done.insert(other.name.clone(), confirmation);
                }
            }
            if others.iter().all(|other| done.contains_key(&other.name)) {
                return done.into_values().collect();
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn past(
    other: &Other,
    number: u64,
    late: &mut std::collections::BTreeMap<String, Late>,
    now: Timestamp,
) -> Option<How> {
    if other.confirmed >= number {
        return Some(How::Confirmed);
    }
    let seen = Late { lease_until: other.lease_until, since: now };
    let known = late.entry(other.name.clone()).or_insert(seen);
    if known.lease_until != other.lease_until {
        *known = Late { lease_until: other.lease_until, since: now };
    }
    let ended = now >= known.since + LEASE || other.over > LONG_OVER.0;
    ended.then_some(How::LeaseEnded)
}

async fn others(pool: &Pool, node: u32) -> Result<Vec<Other>, StoreError> {
    let text = sqlx::AssertSqlSafe(format!(
        "SELECT name, confirmed, lease_until, {NOW} - lease_until AS late_by FROM nodes \
         WHERE left_at IS NULL AND number <> $1 ORDER BY number"
    ));
    let mut found = Vec::new();
    let read = |row: &crate::row::Row| {
        Ok(Other {
            name: row.text("name")?,
            confirmed: row.count("confirmed")?,
            lease_until: row.int("lease_until")?,
            over: row.int("late_by")?,
        })
    };
    Source::Pool(pool).each(sql(text).bind(i64::from(node)), read, |other| found.push(other)).await?;
    Ok(found)
}

/// Takes or keeps a job for so long; says whether it is this node's.
pub(crate) async fn lead(desk: &Pool, node: u32, name: &str, time: Span) -> Result<bool, StoreError> {
    let text = sqlx::AssertSqlSafe(format!(
        "INSERT INTO leases (name, node, until) VALUES ($1, $2, {NOW} + $3) ON CONFLICT (name) DO UPDATE \
         SET node = excluded.node, until = excluded.until WHERE leases.node = excluded.node OR leases.until < {NOW}"
    ));
    Ok(desk.run(sql(text).bind(name).bind(i64::from(node)).bind(time.0)).await? == 1)
}

/// Remembers a name for all nodes; says whether nobody did before.
pub(crate) async fn show_once(desk: &Pool, name: &Hash, dies: Timestamp) -> Result<bool, StoreError> {
    let text = "INSERT INTO shown_once (name, dies) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
    Ok(desk.run(sql(text).bind(name).bind(dies.0)).await? == 1)
}
