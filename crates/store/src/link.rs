//! Connections: one that writes, and a pool that reads, of either engine.

use futures_util::{Stream, TryStreamExt};
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{Connection, SqlSafeStr};

use crate::StoreError;
use crate::row::Row;
use crate::sql::{Engine, Sql};

/// The connection of a writer.
pub(crate) enum Link {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// The connections of readers.
pub(crate) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// Where a statement is read from.
pub(crate) enum Source<'a> {
    Link(&'a mut Link),
    Pool(&'a Pool),
}

/// What makes a thing of a row.
pub(crate) type Read<T> = fn(&Row) -> Result<T, StoreError>;

impl Link {
    pub(crate) fn engine(&self) -> Engine {
        match self {
            Self::Sqlite(_) => Engine::Sqlite,
            Self::Postgres(_) => Engine::Postgres,
        }
    }

    /// Runs a statement; says how many rows it changed.
    pub(crate) async fn run(&mut self, sql: Sql<'_>) -> Result<u64, StoreError> {
        Ok(match self {
            Self::Sqlite(connection) => sql.sqlite()?.execute(connection).await?.rows_affected(),
            Self::Postgres(connection) => sql.postgres()?.execute(connection).await?.rows_affected(),
        })
    }

    /// Runs statements that take no parameters and give nothing back (`BEGIN`, `SAVEPOINT`, `COMMIT` …): on
    /// PostgreSQL in one message, and without preparing them.
    pub(crate) async fn control(&mut self, text: impl SqlSafeStr) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(connection) => sqlx::query(text).execute(connection).await.map(|_| ())?,
            Self::Postgres(connection) => sqlx::raw_sql(text).execute(connection).await.map(|_| ())?,
        }
        Ok(())
    }

    pub(crate) async fn close(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(connection) => connection.close().await,
            Self::Postgres(connection) => connection.close().await,
        }
    }
}

impl Pool {
    pub(crate) fn engine(&self) -> Engine {
        match self {
            Self::Sqlite(_) => Engine::Sqlite,
            Self::Postgres(_) => Engine::Postgres,
        }
    }

    /// Runs a statement that is a commit of its own; says how many rows it changed.
    pub(crate) async fn run(&self, sql: Sql<'_>) -> Result<u64, StoreError> {
        Ok(match self {
            Self::Sqlite(pool) => sql.sqlite()?.execute(pool).await?.rows_affected(),
            Self::Postgres(pool) => sql.postgres()?.execute(pool).await?.rows_affected(),
        })
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl Source<'_> {
    /// One by one: a row as the driver has it takes several times what is made of it.
    pub(crate) async fn each<T>(self, sql: Sql<'_>, read: Read<T>, take: impl FnMut(T)) -> Result<(), StoreError> {
        match self {
            Self::Link(Link::Sqlite(link)) => drain(sql.sqlite()?.fetch(link), Row::Sqlite, read, take).await,
            Self::Link(Link::Postgres(link)) => drain(sql.postgres()?.fetch(link), Row::Postgres, read, take).await,
            Self::Pool(Pool::Sqlite(pool)) => drain(sql.sqlite()?.fetch(pool), Row::Sqlite, read, take).await,
            Self::Pool(Pool::Postgres(pool)) => drain(sql.postgres()?.fetch(pool), Row::Postgres, read, take).await,
        }
    }

    pub(crate) async fn one<T>(self, sql: Sql<'_>, read: Read<T>) -> Result<Option<T>, StoreError> {
        let row = match self {
            Self::Link(Link::Sqlite(link)) => sql.sqlite()?.fetch_optional(link).await?.map(Row::Sqlite),
            Self::Link(Link::Postgres(link)) => sql.postgres()?.fetch_optional(link).await?.map(Row::Postgres),
            Self::Pool(Pool::Sqlite(pool)) => sql.sqlite()?.fetch_optional(pool).await?.map(Row::Sqlite),
            Self::Pool(Pool::Postgres(pool)) => sql.postgres()?.fetch_optional(pool).await?.map(Row::Postgres),
        };
        row.as_ref().map(read).transpose()
    }
}

async fn drain<R, T>(
    mut rows: impl Stream<Item = Result<R, sqlx::Error>> + Unpin,
    row: fn(R) -> Row,
    read: Read<T>,
    mut take: impl FnMut(T),
) -> Result<(), StoreError> {
    while let Some(found) = rows.try_next().await? {
        take(read(&row(found))?);
    }
    Ok(())
}
