//! One text for two engines: a statement and its parameters, before it is known where they run.

use std::borrow::Cow;

use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments};
use sqlx::{Arguments, SqlSafeStr, SqlStr};

use crate::StoreError;

/// Which database is underneath.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

/// A statement that both engines understand, or one that was chosen for the engine it runs on.
pub(crate) struct Sql<'q> {
    text: SqlStr,
    values: Vec<Value<'q>>,
}

/// A parameter. There are no others: times, counters and truth values are integers.
pub(crate) enum Value<'q> {
    Text(Option<Cow<'q, str>>),
    Int(Option<i64>),
    Bytes(Option<Cow<'q, [u8]>>),
}

/// A statement whose parameters are bound with [`Sql::bind`], in the order of their numbers (`$1`, `$2` …).
pub(crate) fn sql<'q>(text: impl SqlSafeStr) -> Sql<'q> {
    Sql { text: text.into_sql_str(), values: Vec::with_capacity(8) }
}

impl<'q> Sql<'q> {
    /// The next parameter.
    pub(crate) fn bind(mut self, value: impl Into<Value<'q>>) -> Self {
        self.values.push(value.into());
        self
    }

    pub(crate) fn sqlite(self) -> Result<Query<'q, Sqlite, SqliteArguments>, StoreError> {
        let mut arguments = SqliteArguments::default();
        arguments.reserve(self.values.len(), 0);
        for value in self.values {
            let added = match value {
                Value::Text(text) => arguments.add(text),
                Value::Int(int) => arguments.add(int),
                Value::Bytes(bytes) => arguments.add(bytes.map(Cow::into_owned)),
            };
            added.map_err(|e| StoreError::Database(sqlx::Error::Encode(e)))?;
        }
        Ok(sqlx::query_with(self.text, arguments))
    }

    pub(crate) fn postgres(self) -> Result<Query<'q, Postgres, PgArguments>, StoreError> {
        let mut arguments = PgArguments::default();
        arguments.reserve(self.values.len(), 0);
        for value in self.values {
            let added = match value {
                Value::Text(Some(text)) if text.contains('\0') => return Err(no_nul()),
                Value::Text(text) => arguments.add(text.as_deref()),
                Value::Int(int) => arguments.add(int),
                Value::Bytes(bytes) => arguments.add(bytes.as_deref()),
            };
            added.map_err(|e| StoreError::Database(sqlx::Error::Encode(e)))?;
        }
        Ok(sqlx::query_with(self.text, arguments))
    }
}

/// PostgreSQL has no text with a NUL character in it. Who writes one is refused, before the database is asked.
pub(crate) fn no_nul() -> StoreError {
    StoreError::Conflict("a text with a NUL character cannot be stored in PostgreSQL".to_owned())
}

macro_rules! value {
    ($($from:ty => $kind:ident, $value:ident: $into:expr;)*) => {$(
        impl<'q> From<$from> for Value<'q> {
            fn from($value: $from) -> Self {
                Self::$kind($into)
            }
        }
    )*};
}

value! {
    &'q str => Text, text: Some(Cow::Borrowed(text));
    &'q String => Text, text: Some(Cow::Borrowed(text));
    String => Text, text: Some(Cow::Owned(text));
    Option<&'q str> => Text, text: text.map(Cow::Borrowed);
    Option<&'q String> => Text, text: text.map(|text| Cow::Borrowed(text.as_str()));
    &'q Option<String> => Text, text: text.as_deref().map(Cow::Borrowed);
    Option<String> => Text, text: text.map(Cow::Owned);
    i64 => Int, int: Some(int);
    Option<i64> => Int, int: int;
    &'q [u8] => Bytes, bytes: Some(Cow::Borrowed(bytes));
    &'q [u8; 32] => Bytes, bytes: Some(Cow::Borrowed(bytes));
    &'q Vec<u8> => Bytes, bytes: Some(Cow::Borrowed(bytes));
    Vec<u8> => Bytes, bytes: Some(Cow::Owned(bytes));
    Option<&'q [u8]> => Bytes, bytes: bytes.map(Cow::Borrowed);
    Option<Vec<u8>> => Bytes, bytes: bytes.map(Cow::Owned);
}
