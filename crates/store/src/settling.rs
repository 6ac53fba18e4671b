//! What a change stops has to end before this node says that it has the change.
//!
//! Observers take a change over at once; what was begun before it goes on until somebody ends it. A node confirms a change
//! when both are done. The same is demanded of a lease that was over: whatever was begun under it ends before there is
//! another one, so that nobody goes on where they stood when the process was stopped.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use chancery_model::Changed;
use futures_util::future::{BoxFuture, join_all};
use tokio::sync::Notify;

use crate::faults;

/// So long a confirmation waits for what takes no longer: one commit of the node's row instead of two.
const SHORTLY: Duration = Duration::from_millis(15);

/// Why something has to end.
#[derive(Clone, Copy, Debug)]
pub enum Stop<'a> {
    /// This was changed, and observers know; the number of the change where nodes share the database.
    Changed(Option<u64>, &'a Changed),
    /// The lease was over for a moment: whatever began before that.
    Lapse,
}

/// Somebody who ends things. What is returned is over when nothing of them goes on any more, however long that takes.
pub type Ender = Box<dyn Fn(Stop<'_>) -> Option<BoxFuture<'static, ()>> + Send + Sync>;

/// The changes of which something may go on.
#[derive(Default)]
pub(crate) struct Settling {
    enders: RwLock<Vec<Arc<Ender>>>,
    open: Mutex<BTreeSet<u64>>,
    ended: Notify,
    /// Keeps that something ended for whoever asks later.
    progress: Notify,
}

impl Settling {
    pub(crate) fn add(&self, ender: Ender) {
        self.enders.write().unwrap_or_else(PoisonError::into_inner).push(Arc::new(ender));
    }

    /// Ends what these changes stop, in a task of its own. A change with a number is open until then; if the task fails,
    /// for ever.
    pub(crate) fn begin(self: &Arc<Self>, number: Option<u64>, changed: &[Changed]) {
        let ending: Vec<_> = changed.iter().flat_map(|changed| self.end(Stop::Changed(number, changed))).collect();
        if ending.is_empty() {
            return;
        }
        self.open().extend(number);
        let settling = Arc::clone(self);
        tokio::spawn(async move {
            join_all(ending).await;
            if let Some(number) = number {
                settling.open().remove(&number);
                settling.ended.notify_waiters();
                settling.progress.notify_one();
            }
        });
    }

    /// Up to where everything has ended, of what was told up to here. What is about to end is waited for.
    pub(crate) async fn settled(&self, told: u64) -> u64 {
        let before = |first: Option<&u64>| first.map_or(told, |first| told.min(first - 1));
        let _ = tokio::time::timeout(SHORTLY, async {
            loop {
                // Before looking, so that no end after it is missed.
                let mut ended = std::pin::pin!(self.ended.notified());
                ended.as_mut().enable();
                if faults::hasty() || before(self.open().first()) == told {
                    return;
                }
                ended.await;
            }
        })
        .await;
        if faults::hasty() { told } else { before(self.open().first()) }
    }

    /// Returns when something ended, at once if it did since this was asked last.
    pub(crate) async fn progress(&self) {
        self.progress.notified().await;
    }

    /// Ends whatever began under a lease that was over; says whether it is gone.
    pub(crate) async fn lapsed(&self, patience: Duration) -> bool {
        tokio::time::timeout(patience, join_all(self.end(Stop::Lapse))).await.is_ok()
    }

    fn end(&self, stop: Stop<'_>) -> Vec<BoxFuture<'static, ()>> {
        let enders = self.enders.read().unwrap_or_else(PoisonError::into_inner);
        enders.iter().filter_map(|ender| ender(stop)).collect()
    }

    fn open(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use chancery_model::{Containment, ContainmentId, Scope, Timestamp};
    use tokio::sync::oneshot;

    use super::*;

    fn stops() -> Changed {
        Changed::Containment(Arc::new(Containment {
            id: ContainmentId::new(Timestamp(1), &Zeros),
            scope: Scope::Everything,
            subject: Containment::ALL.to_owned(),
            reason: "a test".into(),
            by: "a test".into(),
            at: Timestamp(1),
            lifted_at: None,
            lifted_by: None,
            lift_reason: None,
        }))
    }

    struct Zeros;

    impl chancery_model::Random for Zeros {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(0);
        }
    }

    #[tokio::test]
    async fn a_change_is_open_until_what_it_stops_has_ended() {
        let settling = Arc::new(Settling::default());
        settling.begin(Some(7), &[stops()]);
        assert_eq!(settling.settled(7).await, 7, "nobody has anything to end");

        let (end, ended) = oneshot::channel::<()>();
        let ended = Mutex::new(Some(ended));
        settling.add(Box::new(move |stop| match stop {
            Stop::Changed(..) => {
                let ended = ended.lock().unwrap().take()?;
                Some(Box::pin(async move { drop(ended.await) }))
            }
            Stop::Lapse => None,
        }));
        settling.begin(Some(8), &[stops()]);
        settling.begin(Some(9), &[stops()]);
        assert_eq!(settling.settled(9).await, 7, "of what comes after it nothing is said either");
        end.send(()).unwrap();
        assert_eq!(settling.settled(9).await, 9);
    }

    #[tokio::test]
    async fn what_began_under_a_lease_that_was_over_is_waited_for() {
        let settling = Settling::default();
        let goes_on = Arc::new(AtomicBool::new(true));
        let looking = Arc::clone(&goes_on);
        settling.add(Box::new(move |stop| match stop {
            Stop::Lapse if looking.load(Ordering::SeqCst) => Some(Box::pin(std::future::pending())),
            _ => None,
        }));
        assert!(!settling.lapsed(Duration::from_millis(50)).await);
        goes_on.store(false, Ordering::SeqCst);
        assert!(settling.lapsed(Duration::from_secs(1)).await);
    }
}
