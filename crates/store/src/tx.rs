//! The hands of a change, and the eyes of everybody.

use chancery_model::Changed;
use sqlx::SqlSafeStr;

use crate::link::{Link, Read, Source};
use crate::row::{Columns, json};
use crate::sql::{Engine, Sql};
use crate::{Store, StoreError};

/// A change in the making. Only the store makes one, and hands it to the closure of [`Store::write`].
/// What the closure wrote is committed together with its entry, or not at all.
pub struct Tx {
    link: Link,
    changed: Vec<Changed>,
    /// Something was erased, and its old form is still in the write-ahead log.
    remains: bool,
}

impl Tx {
    pub(crate) fn new(link: Link) -> Self {
        Self { link, changed: Vec::new(), remains: false }
    }

    pub(crate) fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    pub(crate) fn engine(&self) -> Engine {
        self.link.engine()
    }

    /// Goes on over another connection; what was noted stays noted. Returns the connection that was lost.
    pub(crate) fn replace(&mut self, link: Link) -> Link {
        std::mem::replace(&mut self.link, link)
    }

    /// Runs a statement; says how many rows it changed.
    pub(crate) async fn run(&mut self, sql: Sql<'_>) -> Result<u64, StoreError> {
        self.link.run(sql).await
    }

    /// Runs statements that take no parameters (`BEGIN`, `SAVEPOINT`, `COMMIT` …).
    pub(crate) async fn control(&mut self, text: impl SqlSafeStr) -> Result<(), StoreError> {
        self.link.control(text).await
    }

    /// Notes what observers are to be told, should this be committed.
    pub(crate) fn note(&mut self, changed: Changed) {
        self.changed.push(changed);
    }

    /// Everything that was noted, as other nodes read it; nothing if there is nothing.
    pub(crate) fn noted_text(&self) -> Result<Option<String>, StoreError> {
        if self.changed.is_empty() { Ok(None) } else { json(&self.changed).map(Some) }
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
    /// PostgreSQL reuses the place of what is gone at its own time (`docs/decisions/0027-one-text-two-engines.md`).
    pub(crate) async fn scrub(&mut self) {
        if self.remains && self.engine() == Engine::Sqlite {
            match self.truncate_wal().await {
                Ok(done) => self.remains = !done,
                Err(e) => tracing::warn!(error = %e, "erased data is still in the write-ahead log"),
            }
        }
    }

    async fn truncate_wal(&mut self) -> Result<bool, StoreError> {
        self.control("PRAGMA busy_timeout = 0").await?;
        let truncated =
            Reader::from(&mut *self).one(crate::sql("PRAGMA wal_checkpoint(TRUNCATE)"), |row| row.int("busy")).await;
        self.control("PRAGMA busy_timeout = 5000").await?;
        Ok(truncated? == Some(0))
    }

    pub(crate) async fn close(self) {
        if let Err(e) = self.link.close().await {
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

impl<'a> Reader<'a> {
    pub(crate) async fn all<T>(self, sql: Sql<'_>, read: Read<T>) -> Result<Vec<T>, StoreError> {
        let mut found = Vec::new();
        self.each(sql, read, |one| found.push(one)).await?;
        Ok(found)
    }

    /// One by one.
    pub(crate) async fn each<T>(self, sql: Sql<'_>, read: Read<T>, take: impl FnMut(T)) -> Result<(), StoreError> {
        self.source().each(sql, read, take).await
    }

    pub(crate) async fn one<T>(self, sql: Sql<'_>, read: Read<T>) -> Result<Option<T>, StoreError> {
        self.source().one(sql, read).await
    }

    pub(crate) fn engine(&self) -> Engine {
        match self {
            Self::Store(store) => store.readers().engine(),
            Self::Tx(tx) => tx.engine(),
        }
    }

    fn source(self) -> Source<'a> {
        match self {
            Self::Store(store) => Source::Pool(store.readers()),
            Self::Tx(tx) => Source::Link(&mut tx.link),
        }
    }
}
