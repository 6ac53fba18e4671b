//! Opening: the directory, the database, and a look at the end of the log before anything is added to it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use chancery_model::{Clock, Random};
use futures_util::FutureExt;
use tokio::sync::{mpsc, watch};

use crate::keeper::Keeper;
use crate::lease::Lease;
use crate::link::{Link, Pool};
use crate::log::tail;
use crate::membership::{self, Identity};
use crate::pending::Pending;
use crate::store::Shared;
use crate::writer::Writer;
use crate::{Config, Store, StoreError, Tx, disk, feed, nodes};

mod migrations;
pub(crate) mod postgres;
mod sqlite;

/// The one writer of a database in a data directory.
const WRITER: u32 = 0;

/// An open database.
struct Opened {
    link: Link,
    readers: Pool,
    shared: Option<Together>,
}

/// What comes with a database that others use too.
struct Together {
    server: postgres::Server,
    /// The readers once more, as the driver knows them.
    readers: sqlx::postgres::PgPool,
    desk: Arc<Pool>,
}

pub(crate) async fn open(config: &Config, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Result<Store, StoreError> {
    let lock = disk::prepare(&config.path)?;
    let opened = match &config.database {
        None => sqlite::open(config).await?,
        Some(url) => postgres::open(url).await?,
    };
    let mut tx = Tx::new(opened.link);
    let identity = match &opened.shared {
        None => None,
        Some(together) => Some(identify(&mut tx, together, config, &*random).await?),
    };
    let number = identity.as_ref().map_or(WRITER, |identity| identity.number);
    // Before anything else is read: what is read later holds everything up to here.
    let (lease, told) = match identity {
        None => (Lease::for_ever(Arc::clone(&clock)), 0),
        Some(_) => (Lease::none_yet(Arc::clone(&clock)), feed::end(&mut tx).await?),
    };
    let tail = tail::examine(&mut tx, number, clock.now()).await?;
    let shared = Arc::new(Shared::new(clock, Pending::new(tail.sequenced), lock, lease, told));
    let (jobs, inbox) = mpsc::unbounded_channel();
    let (done, finished) = watch::channel(false);
    let readers = Arc::new(opened.readers);
    let desk = opened.shared.as_ref().map(|together| Arc::clone(&together.desk));
    let (server, listening) = opened.shared.map(|together| (together.server, together.readers)).unzip();
    let writer = Writer::new(tx, tail.chain, inbox, Arc::clone(&shared), (Arc::clone(&readers), server));
    let watched = Arc::clone(&shared);
    tokio::spawn(async move {
        if AssertUnwindSafe(writer.run()).catch_unwind().await.is_err() {
            watched.poison("the writer panicked");
        }
        done.send_replace(true);
    });
    let keeper = desk.as_ref().zip(listening).map(|(desk, listening)| {
        Keeper::new(number, listening, Arc::clone(&readers), Arc::clone(desk), Arc::clone(&shared))
    });
    let store = Store::new(jobs, (readers, desk), shared, random, number, finished);
    if let Some((identity, keeper)) = identity.zip(keeper) {
        take_part(&store, &identity, config, keeper).await?;
    }
    Ok(store)
}

/// Who this process is, with the lock on its number: a node that joins takes the first that nobody else is about to take.
async fn identify(
    tx: &mut Tx,
    together: &Together,
    config: &Config,
    random: &dyn Random,
) -> Result<Identity, StoreError> {
    let mut identity = Identity::find(tx, &config.path, random).await?;
    if identity.joined {
        together.server.claim(tx.link(), identity.number).await?;
        return Ok(identity);
    }
    while !together.server.try_claim(tx.link(), identity.number).await? {
        identity.number += 1;
    }
    Ok(identity)
}

/// Joins if it has not yet, then follows the others.
async fn take_part(store: &Store, identity: &Identity, config: &Config, mut keeper: Keeper) -> Result<(), StoreError> {
    let now = store.shared().clock.now();
    let settings = config.node.clone();
    if identity.joined {
        let number = identity.number;
        let start = store.derive(
            move |tx| Box::pin(async move { nodes::start(tx, number, &settings.address, &settings.role, now).await }),
            || (),
        );
        start.await?;
    } else if identity.founds {
        // Nobody is there whom it could join.
        let (node, _) = identity.join(&settings, now)?;
        store.derive(move |tx| Box::pin(async move { membership::found(tx, &node).await }), || ()).await?;
    } else {
        let (node, entry) = identity.join(&settings, now)?;
        let join = store.write(entry, move |tx| {
            Box::pin(async move { membership::enter(tx, &node, settings.token.as_ref()).await })
        });
        join.await?;
    }
    keeper.round().await?;
    tokio::spawn(keeper.run());
    Ok(())
}
