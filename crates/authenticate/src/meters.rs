//! Where meters stand: reserved before an act, settled after it, added up over sliding windows.
//!
//! Reading, deciding and reserving is one step under the locks of the counters that the act touches, so that two acts
//! never both take what is left for one. What is reserved counts until it is settled, however long that takes. What was
//! settled counts until all of its bucket has left the window: never too little, at most a sixtieth of the window
//! too long.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chancery_model::{ActResult, Clock, Counts, Meter, Per, Span, Timestamp, Use, Window};
use serde_json::Value;

const SHARDS: u64 = 64;
/// Parts of a window.
const BUCKETS: i64 = 60;

/// All counters. Nothing is counted for whom nothing is known: an absent counter stands at 0.
pub struct Meters {
    shards: Vec<Mutex<Counters>>,
    clock: Arc<dyn Clock>,
    /// Wall and steady clock at the start: a step of the wall clock moves no window.
    started: (Timestamp, Timestamp),
}

type Counters = HashMap<Key, Counter>;

/// Whose use of which meter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    meter: Arc<str>,
    per: Per,
    subject: Arc<str>,
}

/// A counter that an act looks at.
#[derive(Clone, Debug)]
pub struct Touch<'m> {
    /// The meter.
    pub meter: &'m Meter,
    /// Which session, agent, sponsor, blueprint or person.
    pub subject: Arc<str>,
    /// What the act reserves; 0 if it only looks.
    pub amount: i64,
}

/// What an act reserved. Dropped, it is released: the act was not sent.
#[must_use = "a reservation that is dropped is released"]
pub struct Reservation {
    meters: Arc<Meters>,
    held: Vec<Held>,
}

struct Held {
    key: Key,
    counts: Counts,
    amount: i64,
    /// What of it stands in the counter.
    standing: i64,
}

#[derive(Debug)]
struct Counter {
    window: Window,
    /// Reserved and not settled.
    open: i64,
    /// Settled, oldest first.
    past: VecDeque<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    /// Nothing in it is younger than this.
    ends: Timestamp,
    amount: i64,
}

impl Meters {
    /// No counters.
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        let started = (clock.now(), clock.monotonic());
        Arc::new(Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), clock, started })
    }

    /// Where these counters stand.
    pub fn read(&self, touched: &[Touch<'_>]) -> Vec<i64> {
        let now = self.now();
        touched.iter().map(|touch| self.shard(&key(touch)).get_mut(&key(touch)).map_or(0, |c| c.value(now))).collect()
    }

    /// Lets `decide` look at where these counters stand, in their order, and reserves what the act needs if it says
    /// yes. Nobody else reserves on any of them in between. `decide` must not wait for anything.
    pub fn decide<T>(
        self: &Arc<Self>,
        touched: &[Touch<'_>],
        decide: impl FnOnce(&[i64]) -> (T, bool),
    ) -> (T, Option<Reservation>) {
        if touched.is_empty() {
            return (decide(&[]).0, None);
        }
        #[cfg(feature = "faults")]
        if faults::LATE.load(std::sync::atomic::Ordering::SeqCst) {
            return self.decide_late(touched, decide);
        }
        let (now, keys) = (self.now(), touched.iter().map(key).collect::<Vec<_>>());
        let mut locked = self.lock(&keys);
        let values: Vec<i64> =
            keys.iter().map(|key| locked.get(key).and_then(|c| c.get_mut(key)).map_or(0, |c| c.value(now))).collect();
        let (answer, yes) = decide(&values);
        if !yes {
            return (answer, None);
        }
        let mut reservation = Reservation { meters: Arc::clone(self), held: Vec::new() };
        for (touch, key) in touched.iter().zip(keys).filter(|(touch, _)| touch.amount > 0) {
            if let Some(counters) = locked.get(&key) {
                counter(counters, &key, touch.meter.window).open += touch.amount;
            }
            reservation.held.push(Held::new(touch, key, touch.amount));
        }
        (answer, Some(reservation))
    }

    /// Counts a use that the log tells of.
    pub fn restore(&self, meter: &Meter, settled: &Use, at: Timestamp) {
        let key = Key { meter: settled.meter.clone(), per: settled.per, subject: settled.subject.clone() };
        // The clock may have been set back since.
        let at = at.min(self.now());
        counter(&mut self.shard(&key), &key, meter.window).restore(at, settled.amount);
    }

    /// Forgets what counts nothing any more: counters whose windows are empty, and sessions that are not `alive`.
    pub fn sweep(&self, alive: impl Fn(&str) -> bool) {
        let now = self.now();
        for shard in &self.shards {
            guard(shard).retain(|key, counter| {
                let over = key.per == Per::Session && counter.open == 0 && !alive(&key.subject);
                counter.value(now) > 0 && !over
            });
        }
    }

    /// How many counters there are.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| guard(shard).len()).sum()
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn now(&self) -> Timestamp {
        let (wall, steady) = self.started;
        wall + (self.clock.monotonic() - steady)
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, Counters> {
        guard(&self.shards[place(key)])
    }

    /// Locks the shards of these keys, in the one order in which everybody locks them.
    fn lock(&self, keys: &[Key]) -> Locked<'_> {
        let mut places: Vec<usize> = keys.iter().map(place).collect();
        places.sort_unstable();
        places.dedup();
        Locked(places.into_iter().map(|place| (place, guard(&self.shards[place]))).collect())
    }
}

struct Locked<'m>(Vec<(usize, MutexGuard<'m, Counters>)>);

impl Locked<'_> {
    fn get(&mut self, key: &Key) -> Option<&mut Counters> {
        let wanted = place(key);
        self.0.iter_mut().find(|(place, _)| *place == wanted).map(|(_, counters)| &mut **counters)
    }
}

impl Held {
    fn new(touch: &Touch<'_>, key: Key, standing: i64) -> Self {
        Self { key, counts: touch.meter.counts.clone(), amount: touch.amount, standing }
    }

    fn used(&self, amount: i64) -> Use {
        Use { meter: self.key.meter.clone(), per: self.key.per, subject: self.key.subject.clone(), amount }
    }
}

impl Reservation {
    /// What is reserved, for the intent.
    pub fn uses(&self) -> Vec<Use> {
        self.held.iter().map(|held| held.used(held.amount)).collect()
    }

    /// Does what it comes to depend on the result?
    pub fn wants_result(&self) -> bool {
        self.held.iter().any(|held| matches!(held.counts, Counts::Result { .. }))
    }

    /// The act ended so: counts what it came to, and says it for the outcome. `result` is the upstream's answer.
    pub fn settle(mut self, ended: ActResult, result: Option<&Value>) -> Vec<Use> {
        let held = std::mem::take(&mut self.held);
        held.iter().map(|held| self.count(held, held.counts.settle(held.amount, ended, result))).collect()
    }

    fn count(&self, held: &Held, amount: i64) -> Use {
        let now = self.meters.now();
        if let Some(counter) = self.meters.shard(&held.key).get_mut(&held.key) {
            counter.open -= held.standing;
            counter.add(now, amount);
        }
        held.used(amount)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        for held in std::mem::take(&mut self.held) {
            let _: Use = self.count(&held, 0);
        }
    }
}

impl Counter {
    /// Everything that is reserved, and what was settled within the window.
    fn value(&mut self, now: Timestamp) -> i64 {
        if let Window::Last(window) = self.window {
            while self.past.front().is_some_and(|bucket| bucket.ends + window <= now) {
                self.past.pop_front();
            }
        }
        self.past.iter().fold(self.open, |sum, bucket| sum.saturating_add(bucket.amount))
    }

    fn add(&mut self, at: Timestamp, amount: i64) {
        if amount == 0 {
            return;
        }
        match self.past.back_mut().filter(|last| at < last.ends) {
            Some(last) => last.amount = last.amount.saturating_add(amount),
            None => self.past.push_back(Bucket { ends: self.end_of(at), amount }),
        }
    }

    /// The same for a use of before, which comes in any order.
    fn restore(&mut self, at: Timestamp, amount: i64) {
        let ends = self.end_of(at);
        match self.past.binary_search_by_key(&ends, |bucket| bucket.ends) {
            Ok(found) => self.past[found].amount = self.past[found].amount.saturating_add(amount),
            Err(place) => self.past.insert(place, Bucket { ends, amount }),
        }
    }

    fn end_of(&self, at: Timestamp) -> Timestamp {
        match self.window {
            Window::Session => Timestamp(i64::MAX),
            Window::Last(Span(length)) => {
                let width = (length / BUCKETS).max(1);
                Timestamp(at.0.div_euclid(width).saturating_add(1).saturating_mul(width))
            }
        }
    }
}

fn key(touch: &Touch<'_>) -> Key {
    Key { meter: touch.meter.name.clone(), per: touch.meter.per, subject: touch.subject.clone() }
}

fn place(key: &Key) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    usize::try_from(hasher.finish() % SHARDS).unwrap_or(0)
}

fn counter<'c>(counters: &'c mut Counters, key: &Key, window: Window) -> &'c mut Counter {
    let counter = counters.entry(key.clone()).or_insert_with(|| Counter { window, open: 0, past: VecDeque::new() });
    // The window is the one that is declared now.
    counter.window = window;
    counter
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A way to be wrong, so that tests can show that they would notice.
#[cfg(feature = "faults")]
pub mod faults {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use super::{Held, Meters, Reservation, Touch, key};

    /// Nothing stands in the counters before it is settled.
    pub static LATE: AtomicBool = AtomicBool::new(false);

    impl Meters {
        pub(super) fn decide_late<T>(
            self: &Arc<Self>,
            touched: &[Touch<'_>],
            decide: impl FnOnce(&[i64]) -> (T, bool),
        ) -> (T, Option<Reservation>) {
            let (answer, yes) = decide(&self.read(touched));
            let reserving = touched.iter().filter(|touch| touch.amount > 0);
            for touch in reserving.clone() {
                super::counter(&mut self.shard(&key(touch)), &key(touch), touch.meter.window);
            }
            let held = reserving.map(|touch| Held::new(touch, key(touch), 0)).collect();
            (answer, yes.then(|| Reservation { meters: Arc::clone(self), held }))
        }
    }
}

impl std::fmt::Debug for Meters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meters").field("counters", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
