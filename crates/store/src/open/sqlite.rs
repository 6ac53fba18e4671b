//! A database in the data directory: SQLite, for one process.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Row as _};

use super::{Opened, migrations};
use crate::link::{Link, Pool};
use crate::{Config, StoreError, disk};

/// Pages of the write-ahead log before they are folded into the database: 32 MiB, so that the folding (two syncs)
/// is rare beside the commits, and the file stays small.
const WAL_PAGES: &str = "8192";
/// The same in bytes.
const WAL_FILL: &str = "INSERT INTO filler VALUES (zeroblob(33554432))";

pub(super) async fn open(config: &Config) -> Result<Opened, StoreError> {
    let database = disk::database(&config.path)?;
    let mut connection = connect(config, &database).await?;
    require_durable(config, &mut connection).await?;
    migrations::SQLITE.run(&mut connection).await.map_err(|e| cannot(config, &e))?;
    grow_wal(&mut connection).await?;
    let readers = Pool::Sqlite(read_only(&database));
    Ok(Opened { link: Link::Sqlite(connection), readers, shared: None })
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
