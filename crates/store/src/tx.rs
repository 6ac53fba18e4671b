//! The hands of a change, and the eyes of everybody.

use chancery_model::Changed;
use futures_util::TryStreamExt;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Connection, Sqlite};

use crate::row::Columns;
use crate::{Store, StoreError};

pub(crate) type Sql<'q> = Query<'q, Sqlite, SqliteArguments>;

/// A change in the making. Only the store makes one, and hands it to the closure of [`Store::write`].
/// What the closure wrote is committed together with its entry, or not at all.
pub struct Tx {
    connection: SqliteConnection,
    changed: Vec<Changed>,
    /// Something was erased, and its old form is still in the write-ahead log.
    remains: bool,
}

impl Tx {
    pub(crate) fn new(connection: SqliteConnection) -> Self {
        Self { connection, changed: Vec::new(), remains: false }
    }

    /// Runs a statement; says how many rows it changed.
    pub(crate) async fn run(&mut self, sql: Sql<'_>) -> Result<u64, StoreError> {
        Ok(sql.execute(&mut self.connection).await?.rows_affected())
    }

    /// Runs a statement that takes no parameters (`BEGIN`, `SAVEPOINT`, `COMMIT` …).
    pub(crate) async fn control(&mut self, sql: &'static str) -> Result<(), StoreError> {
        self.run(sqlx::query(sql)).await.map(drop)
    }

    /// Notes what observers are to be told, should this be committed.
    pub(crate) fn note(&mut self, changed: Changed) {
        self.changed.push(changed);
    }

    /// How much has been noted so far.
    pub(crate) fn noted(&self) -> usize {
        self.changed.len()
    }

    /// Forgets what was noted after the mark: that change was undone.
    pub(crate) fn forget_after(&mut self, mark: usize) {
        self.changed.truncate(mark);
    }

    /// Everything that was noted, in order.
    pub(crate) fn take_noted(&mut self) -> Vec<Changed> {
        std::mem::take(&mut self.changed)
    }

    /// Notes that something was erased: its old form must leave the write-ahead log too.
    pub(crate) fn erased(&mut self) {
        self.remains = true;
    }

    /// After a commit that erased something: empties the write-ahead log. A reader that still looks at the old
    /// state prevents it; then it is tried again after the next commit. It never waits, for everybody would wait.
    pub(crate) async fn scrub(&mut self) {
        if self.remains {
            match self.truncate_wal().await {
                Ok(done) => self.remains = !done,
                Err(e) => tracing::warn!(error = %e, "erased data is still in the write-ahead log"),
            }
        }
    }

    async fn truncate_wal(&mut self) -> Result<bool, StoreError> {
        self.control("PRAGMA busy_timeout = 0").await?;
        let truncated =
            Reader::from(&mut *self).one(sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)"), |row| row.int("busy")).await;
        self.control("PRAGMA busy_timeout = 5000").await?;
        Ok(truncated? == Some(0))
    }

    pub(crate) async fn close(self) {
        if let Err(e) = self.connection.close().await {
            tracing::warn!(error = %e, "the writer's connection did not close cleanly");
        }
    }
}

/// Where to read: the store as last committed, or a change in the making as it stands.
pub enum Reader<'a> {
    /// The last commit, over the read-only pool.
    Store(&'a Store),
    /// The transaction with its own changes.
    Tx(&'a mut Tx),
}

impl<'a> From<&'a Store> for Reader<'a> {
    fn from(store: &'a Store) -> Self {
        Self::Store(store)
    }
}

impl<'a> From<&'a mut Tx> for Reader<'a> {
    fn from(tx: &'a mut Tx) -> Self {
        Self::Tx(tx)
    }
}

impl Reader<'_> {
    pub(crate) async fn all<T>(
        self,
        sql: Sql<'_>,
        read: fn(&SqliteRow) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut found = Vec::new();
        self.each(sql, read, |one| found.push(one)).await?;
        Ok(found)
    }

    /// One by one: a row as the driver has it takes several times what is made of it.
    pub(crate) async fn each<T>(
        self,
        sql: Sql<'_>,
        read: fn(&SqliteRow) -> Result<T, StoreError>,
        mut take: impl FnMut(T),
    ) -> Result<(), StoreError> {
        let mut rows = match self {
            Self::Store(store) => sql.fetch(store.readers()),
            Self::Tx(tx) => sql.fetch(&mut tx.connection),
        };
        while let Some(row) = rows.try_next().await? {
            take(read(&row)?);
        }
        Ok(())
    }

    pub(crate) async fn one<T>(
        self,
        sql: Sql<'_>,
        read: fn(&SqliteRow) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let row = match self {
            Self::Store(store) => sql.fetch_optional(store.readers()).await?,
            Self::Tx(tx) => sql.fetch_optional(&mut tx.connection).await?,
        };
        row.as_ref().map(read).transpose()
    }
}
