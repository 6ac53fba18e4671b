//! Opening: the directory, the database, and a look at the end of the log before anything is added to it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use chancery_model::{Clock, Random};
use futures_util::FutureExt;
use tokio::sync::{mpsc, watch};

use crate::link::{Link, Pool};
use crate::log::tail;
use crate::pending::Pending;
use crate::store::Shared;
use crate::writer::Writer;
use crate::{Config, Store, StoreError, Tx, disk};

mod migrations;
pub(crate) mod postgres;
mod sqlite;

/// The one writer of a data directory. Several appear with a shared database.
const WRITER: u32 = 0;

/// An open database.
struct Opened {
    link: Link,
    readers: Pool,
    /// How to connect again, where a connection can be lost.
    server: Option<postgres::Server>,
}

pub(crate) async fn open(config: &Config, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Result<Store, StoreError> {
    let lock = disk::prepare(&config.path)?;
    let opened = match &config.database {
        None => sqlite::open(config).await?,
        Some(url) => postgres::open(url, WRITER).await?,
    };
    let mut tx = Tx::new(opened.link);
    let tail = tail::examine(&mut tx, WRITER, clock.now()).await?;
    let shared = Arc::new(Shared::new(clock, Pending::new(tail.sequenced), lock));
    let (jobs, inbox) = mpsc::unbounded_channel();
    let (done, finished) = watch::channel(false);
    let writer = Writer::new(tx, tail.chain, inbox, Arc::clone(&shared), opened.server);
    let watched = Arc::clone(&shared);
    tokio::spawn(async move {
        if AssertUnwindSafe(writer.run()).catch_unwind().await.is_err() {
            watched.poison("the writer panicked");
        }
        done.send_replace(true);
    });
    Ok(Store::new(jobs, opened.readers, shared, random, WRITER, finished))
}
