//! The room itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use chancery_model::{Changed, Clock, Random};
use chancery_store::Store;
use tokio::sync::Mutex;

use crate::inventory::Inventory;
use crate::strangers::Met;

/// What is known of other systems, and how it becomes known.
pub struct Discovery {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    /// Where our own servers are spoken to, by their names.
    pub(crate) endpoints: BTreeMap<String, Vec<String>>,
    pub(crate) inventory: RwLock<Inventory>,
    /// One at a time brings the inventory up to date.
    pub(crate) refreshing: Mutex<()>,
    /// Something of our own nouns is not in the inventory yet.
    pub(crate) stale: Arc<AtomicBool>,
    /// Who called, and is nobody here.
    pub(crate) met: std::sync::Mutex<Met>,
}

impl Discovery {
    /// Over this store. Nothing is read yet.
    pub fn new(store: &Store, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        let stale = Arc::new(AtomicBool::new(true));
        let noted = stale.clone();
        store.observe(Box::new(move |changed| {
            if is_own(changed) {
                noted.store(true, Ordering::Release);
            }
        }));
        Self {
            store: store.clone(),
            clock,
            random,
            endpoints: BTreeMap::new(),
            inventory: RwLock::default(),
            refreshing: Mutex::new(()),
            stale,
            met: std::sync::Mutex::default(),
        }
    }

    /// The same, and what is spoken to at these addresses are our own servers of these names.
    #[must_use]
    pub fn with_endpoints(self, endpoints: BTreeMap<String, Vec<String>>) -> Self {
        Self { endpoints, ..self }
    }

    /// Looks at the inventory as it stands in memory.
    pub(crate) fn look<T>(&self, question: impl FnOnce(&Inventory) -> T) -> T {
        question(&self.inventory.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Does it change who has which rights by our own nouns?
fn is_own(changed: &Changed) -> bool {
    matches!(
        changed,
        Changed::Agent(_)
            | Changed::Blueprint(_)
            | Changed::Person(_)
            | Changed::Group(_)
            | Changed::Grant(_)
            | Changed::Tool(_)
            | Changed::Connection(_)
    )
}
