//! Opening: the directory, the database, and a look at the end of the log before anything is added to it.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chancery_model::{Clock, Random};
use futures_util::FutureExt;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Row as _};
use tokio::sync::{mpsc, watch};

use crate::log::tail;
use crate::pending::Pending;
use crate::store::Shared;
use crate::writer::Writer;
use crate::{Config, Store, StoreError, Tx, disk};

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// The one writer of a data directory. Several appear with a shared database.
const WRITER: u32 = 0;

/// Pages of the write-ahead log before they are folded into the database: 32 MiB, so that the folding (two syncs)
/// is rare beside the commits, and the file stays small.
const WAL_PAGES: &str = "8192";
/// The same in bytes.
const WAL_FILL: &str = "INSERT INTO filler VALUES (zeroblob(33554432))";

pub(crate) async fn open(config: &Config, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Result<Store, StoreError> {
    let (lock, database) = disk::prepare(&config.path)?;
    let mut connection = connect(config, &database).await?;
    require_durable(config, &mut connection).await?;
    MIGRATIONS.run(&mut connection).await.map_err(|e| cannot(config, &e))?;
    grow_wal(&mut connection).await?;
    let mut tx = Tx::new(connection);
    let tail = tail::examine(&mut tx, WRITER, clock.now()).await?;
    let readers = read_only(&database);
    let shared = Arc::new(Shared::new(clock, Pending::new(tail.sequenced), lock));
    let (jobs, inbox) = mpsc::unbounded_channel();
    let (done, finished) = watch::channel(false);
    let writer = Writer::new(tx, tail.chain, inbox, Arc::clone(&shared));
    let watched = Arc::clone(&shared);
    tokio::spawn(async move {
        if AssertUnwindSafe(writer.run()).catch_unwind().await.is_err() {
            watched.poison("the writer panicked");
        }
        done.send_replace(true);
    });
    Ok(Store::new(jobs, readers, shared, random, WRITER, finished))
}

/// Gives the write-ahead log its whole size before the first commit: a sync of bytes inside a file is one write and
/// one flush of the disk, while a file that grows takes the file system's journal along each time. What is rolled
/// back has been spilled into the file by then, and is overwritten by the commits.
async fn grow_wal(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    for step in ["BEGIN", "CREATE TABLE filler (bytes BLOB)", WAL_FILL, "ROLLBACK"] {
        sqlx::query(step).execute(&mut *connection).await?;
    }
    Ok(())
}

fn options(database: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(database)
        .busy_timeout(Duration::from_secs(5))
        .foreign_keys(true)
        .pragma("trusted_schema", "OFF")
        .pragma("temp_store", "MEMORY")
        .disable_statement_logging()
}

async fn connect(config: &Config, database: &Path) -> Result<SqliteConnection, StoreError> {
    options(database)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("fullfsync", "ON")
        .pragma("checkpoint_fullfsync", "ON")
        .pragma("secure_delete", "ON")
        .pragma("wal_autocheckpoint", WAL_PAGES)
        .pragma("journal_size_limit", "67108864")
        .pragma("cache_size", "-4096")
        .connect()
        .await
        .map_err(|e| cannot(config, &e))
}

fn read_only(database: &Path) -> SqlitePool {
    SqlitePoolOptions::new()
        .min_connections(0)
        .max_connections(4)
        .idle_timeout(Duration::from_secs(60))
        .connect_lazy_with(options(database).read_only(true).pragma("cache_size", "-1024"))
}

/// The promise rests on these two settings, so they are read back: some file systems refuse WAL silently.
async fn require_durable(config: &Config, connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let journal = sqlx::query("PRAGMA journal_mode").fetch_one(&mut *connection).await?;
    let synchronous = sqlx::query("PRAGMA synchronous").fetch_one(connection).await?;
    let (journal, synchronous): (String, i64) = (journal.try_get(0)?, synchronous.try_get(0)?);
    if journal == "wal" && synchronous == 2 {
        return Ok(());
    }
    let found = format!(
        "the file system does not allow durable commits (journal mode {journal}, synchronous {synchronous}); \
         put the data directory on a local disk"
    );
    Err(cannot(config, &found))
}

fn cannot(config: &Config, why: &dyn std::fmt::Display) -> StoreError {
    StoreError::Open { path: config.path.display().to_string(), why: why.to_string() }
}
