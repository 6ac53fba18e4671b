//! The task that keeps a node fit to act: it follows the feed, and renews the lease each time it is at its end.

use std::collections::BTreeMap;
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
/// An answer to such a look takes no longer, or there is none.
const ANSWER: Duration = Duration::from_secs(1);
/// Between two looks whether others have confirmed.
const LOOK: Duration = Duration::from_millis(20);
/// Renewals between two clearings of what nobody needs any more.
const CLEARING: u32 = 240;
/// Rows of the feed are kept so long: who was away for longer reads everything anew.
const KEPT: Span = Span::hours(1);
/// A lease that is over by so much is over, whatever the database's clock has done.
const LONG_OVER: Span = Span::seconds(10);
/// A node that is there and has not confirmed after that does not: what was stopped goes on there.
const UNCONFIRMED: Span = Span::seconds(5);
/// What was begun under a lease that is over is given so long to end, before it is looked at again.
const LAPSE: Duration = Duration::from_secs(1);

/// What a node does beside the commits.
pub(crate) struct Keeper {
    node: u32,
    readers: PgPool,
    pool: Arc<Pool>,
    desk: Arc<Pool>,
    shared: Arc<Shared>,
    rounds: u32,
    /// Something goes on that a change stops, so that less was confirmed than is known.
    behind: bool,
}

/// How a node came to be past a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It has applied it, and what the change stops has ended there.
    Confirmed,
    /// It has not said so, and its leave to act is over: it refuses everything until it has.
    LeaseEnded,
    /// It acts, and has not confirmed in time: something that the change stops may go on there.
    Unconfirmed,
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
        Self { node, readers, pool, desk, shared, rounds: 0, behind: false }
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
                () = self.shared.settling.progress(), if self.behind => {}
            }
        }
    }

    /// Applies what changed, then says so. If something changed in between it is done once more: a lease is only given to
    /// who is at the end of the feed.
    pub(crate) async fn round(&mut self) -> Result<(), StoreError> {
        loop {
            let tell = |number, changed: &[_]| self.shared.tell(Some(number), changed);
            let told = self.shared.feed.follow(&self.pool, tell).await?;
            let settled = self.shared.settling.settled(told).await;
            self.behind = settled < told;
            let sent = self.shared.clock.monotonic();
            if self.renew(told, settled).await? {
                self.renewed(sent).await;
                break;
            }
            self.require_member().await?;
        }
        self.rounds += 1;
        if self.rounds.is_multiple_of(CLEARING) { self.clear().await } else { Ok(()) }
    }

    /// A lease is for who knows everything; what is confirmed is less, while something that was stopped goes on.
    async fn renew(&self, told: u64, settled: u64) -> Result<bool, StoreError> {
        let text = sqlx::AssertSqlSafe(format!(
            "UPDATE nodes SET confirmed = $2, seen_at = {NOW}, lease_until = {NOW} + $3 WHERE number = $1 \
             AND left_at IS NULL AND $4 >= (SELECT COALESCE(MAX(number), 0) FROM feed)"
        ));
        let [told, settled] = [told, settled].map(|number| i64::try_from(number).unwrap_or(i64::MAX));
        let renew = sql(text).bind(i64::from(self.node)).bind(settled).bind(LEASE.0).bind(told);
        Ok(self.desk.run(renew).await? == 1)
    }

    /// The lease that was given counts at once if the one before it is not over. If it is, others may have relied on that:
    /// whatever was begun under it ends first.
    async fn renewed(&self, sent: Timestamp) {
        let lease = &self.shared.lease;
        if lease.goes_on(sent) {
            return;
        }
        match self.shared.settling.lapsed(LAPSE).await {
            true => lease.begins(sent),
            false => tracing::warn!("what was begun before the lease of this node ended goes on: it gets no other one"),
        }
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

/// The lease of another node as it was first seen, and when that was.
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

/// The leases of the other nodes, watched from a moment on: from when somebody reaches for the switch, and not only from
/// when the change is written. A node that stops then, and holds up the change itself, is waited for once and not twice.
#[derive(Default)]
pub struct Watch {
    watching: Option<Watching>,
}

struct Watching {
    pool: Arc<Pool>,
    node: u32,
    clock: Arc<dyn Clock>,
    /// The first look, which is taken while the change is being made.
    first: tokio::task::JoinHandle<BTreeMap<String, Late>>,
}

impl Watch {
    /// From now on. Must be called inside a tokio runtime.
    pub(crate) fn begin(pool: &Arc<Pool>, node: u32, clock: &Arc<dyn Clock>) -> Self {
        let (pool, clock) = (Arc::clone(pool), Arc::clone(clock));
        let first = tokio::spawn({
            let (pool, clock) = (Arc::clone(&pool), Arc::clone(&clock));
            async move {
                let mut late = BTreeMap::new();
                match others(&pool, node).await {
                    Ok(others) => {
                        let now = clock.monotonic();
                        others.iter().for_each(|other| {
                            ended(other, &mut late, now);
                        });
                    }
                    Err(e) => tracing::debug!(error = %e, "the database does not say what the nodes do"),
                }
                late
            }
        });
        Self { watching: Some(Watching { pool, node, clock, first }) }
    }

    /// Waits until every other node is past the change of this number ([`Durable::change`](crate::Durable::change)): it has
    /// told its observers, and what the change stops has ended there ([`Store::end_with`](crate::Store::end_with)); or its
    /// leave to act has ended. A node that is away is waited for until two seconds after the watch began, or after it renewed
    /// its lease last. One that is there and has not confirmed after five is [named](How::Unconfirmed). Returns at once where
    /// there are no other nodes.
    ///
    /// # Errors
    /// Of the database, if it does not say for five seconds what the nodes do.
    pub async fn confirmed(self, change: u64) -> Result<Vec<Confirmation>, StoreError> {
        match self.watching {
            Some(watching) if change > 0 => watching.confirmed(change).await,
            _ => Ok(Vec::new()),
        }
    }
}

impl Watching {
    async fn confirmed(self, number: u64) -> Result<Vec<Confirmation>, StoreError> {
        let begun = self.clock.monotonic();
        // Without a first look the leases are counted from the next one.
        let mut late = self.first.await.unwrap_or_default();
        let mut done = BTreeMap::<String, Confirmation>::new();
        loop {
            let others = others(&self.pool, self.node).await;
            let now = self.clock.monotonic();
            let overdue = now >= begun + UNCONFIRMED;
            match others {
                Ok(others) => {
                    for other in &others {
                        let how = past(other, number, &mut late, now).or(overdue.then_some(How::Unconfirmed));
                        if let (Some(how), false) = (how, done.contains_key(&other.name)) {
                            let confirmation = Confirmation { node: other.name.clone(), after: now - begun, how };
                            done.insert(other.name.clone(), confirmation);
                        }
                    }
                    if others.iter().all(|other| done.contains_key(&other.name)) {
                        return Ok(done.into_values().collect());
                    }
                }
                Err(e) if overdue => return Err(e),
                Err(e) => tracing::debug!(error = %e, "the database does not say what the nodes do"),
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn past(other: &Other, number: u64, late: &mut BTreeMap<String, Late>, now: Timestamp) -> Option<How> {
    // Looked at each time: a lease that was renewed counts from when that is seen.
    let ended = ended(other, late, now);
    match other.confirmed >= number {
        true => Some(How::Confirmed),
        false => ended.then_some(How::LeaseEnded),
    }
}

/// A lease that was seen at a moment was given before it, so that it is over a lease's length later on any clock. Who has
/// not applied the change gets no other one.
fn ended(other: &Other, late: &mut BTreeMap<String, Late>, now: Timestamp) -> bool {
    let seen = Late { lease_until: other.lease_until, since: now };
    let known = late.entry(other.name.clone()).or_insert(seen);
    if known.lease_until != other.lease_until {
        *known = Late { lease_until: other.lease_until, since: now };
    }
    now >= known.since + LEASE || other.over > LONG_OVER.0
}

/// One that has left a moment ago may not know it yet: its lease goes on until it asks for another one.
async fn others(pool: &Pool, node: u32) -> Result<Vec<Other>, StoreError> {
    let text = sqlx::AssertSqlSafe(format!(
        "SELECT name, confirmed, lease_until, {NOW} - lease_until AS late_by FROM nodes \
         WHERE (left_at IS NULL OR lease_until > {NOW} - $2) AND number <> $1 ORDER BY number"
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
    let sql = sql(text).bind(i64::from(node)).bind(LONG_OVER.0);
    match tokio::time::timeout(ANSWER, Source::Pool(pool).each(sql, read, |other| found.push(other))).await {
        Ok(read) => read.map(|()| found),
        Err(_) => Err(StoreError::Unavailable("the database does not answer".into())),
    }
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
