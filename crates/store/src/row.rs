//! Columns to fields and back.

use std::str::FromStr;

use chancery_model::{Hash, Timestamp};
use serde::Serialize;
use serde::de::{DeserializeOwned, IntoDeserializer, value};
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, TypeInfo as _, ValueRef as _};

use crate::StoreError;

/// A row of either engine.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// The column `name`, as the driver decodes it.
macro_rules! get {
    ($row:expr, $name:expr) => {
        match $row {
            Row::Sqlite(row) => row.try_get($name).map_err(StoreError::from),
            Row::Postgres(row) => row.try_get($name).map_err(StoreError::from),
        }
    };
}

/// Typed access to the columns of a row, by name.
pub(crate) trait Columns {
    fn text(&self, name: &str) -> Result<String, StoreError>;
    fn text_or_none(&self, name: &str) -> Result<Option<String>, StoreError>;
    fn int(&self, name: &str) -> Result<i64, StoreError>;
    fn int_or_none(&self, name: &str) -> Result<Option<i64>, StoreError>;
    fn blob(&self, name: &str) -> Result<Vec<u8>, StoreError>;

    fn time_or_none(&self, name: &str) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.int_or_none(name)?.map(Timestamp))
    }

    fn time(&self, name: &str) -> Result<Timestamp, StoreError> {
        self.int(name).map(Timestamp)
    }

    /// A counter or size: an integer that is never negative.
    fn count(&self, name: &str) -> Result<u64, StoreError> {
        u64::try_from(self.int(name)?).map_err(|_| damaged(name, "a negative count"))
    }

    fn number<T: TryFrom<i64>>(&self, name: &str) -> Result<T, StoreError> {
        T::try_from(self.int(name)?).map_err(|_| damaged(name, "a number out of range"))
    }

    fn hash(&self, name: &str) -> Result<Hash, StoreError> {
        self.blob(name)?.try_into().map_err(|_| damaged(name, "not a hash"))
    }

    fn hash_or_none(&self, name: &str) -> Result<Option<Hash>, StoreError>;

    fn id<T: FromStr>(&self, name: &str) -> Result<T, StoreError> {
        self.text(name)?.parse().map_err(|_| damaged(name, "not an id"))
    }

    fn id_or_none<T: FromStr>(&self, name: &str) -> Result<Option<T>, StoreError> {
        let text = self.text_or_none(name)?;
        text.map(|text| text.parse().map_err(|_| damaged(name, "not an id"))).transpose()
    }

    /// What was written with [`json`].
    fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T, StoreError> {
        serde_json::from_str(&self.text(name)?).map_err(|e| damaged(name, &e.to_string()))
    }

    /// One of an enum's names.
    fn word<T: DeserializeOwned>(&self, name: &str) -> Result<T, StoreError> {
        let text = self.text(name)?;
        let reader: value::StrDeserializer<'_, value::Error> = text.as_str().into_deserializer();
        T::deserialize(reader).map_err(|e| damaged(name, &e.to_string()))
    }
}

impl Columns for Row {
    fn text(&self, name: &str) -> Result<String, StoreError> {
        get!(self, name)
    }

    fn text_or_none(&self, name: &str) -> Result<Option<String>, StoreError> {
        get!(self, name)
    }

    fn int(&self, name: &str) -> Result<i64, StoreError> {
        self.int_or_none(name)?.ok_or_else(|| damaged(name, "nothing"))
    }

    fn int_or_none(&self, name: &str) -> Result<Option<i64>, StoreError> {
        match self {
            Self::Sqlite(row) => Ok(row.try_get(name)?),
            Self::Postgres(row) => postgres_int(row, name),
        }
    }

    fn blob(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        get!(self, name)
    }

    fn hash_or_none(&self, name: &str) -> Result<Option<Hash>, StoreError> {
        let blob: Option<Vec<u8>> = get!(self, name)?;
        blob.map(|blob| blob.try_into().map_err(|_| damaged(name, "not a hash"))).transpose()
    }
}

/// Columns are BIGINT; an expression may be of a narrower type, or a truth value.
fn postgres_int(row: &PgRow, name: &str) -> Result<Option<i64>, StoreError> {
    let raw = row.try_get_raw(name)?;
    match raw.type_info().name() {
        "INT4" => Ok(row.try_get::<Option<i32>, _>(name)?.map(i64::from)),
        "BOOL" => Ok(row.try_get::<Option<bool>, _>(name)?.map(i64::from)),
        _ => Ok(row.try_get(name)?),
    }
}

/// An enum's name, as it stands in JSON too.
pub(crate) fn word(value: &impl Serialize) -> Result<String, StoreError> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        other => Err(StoreError::Damaged(format!("{other:?} is not the name of a state"))),
    }
}

/// Several values in one column.
pub(crate) fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| StoreError::Damaged(e.to_string()))
}

/// Counters are unsigned in Rust and BIGINT in SQL.
pub(crate) fn int(count: u64) -> Result<i64, StoreError> {
    i64::try_from(count).map_err(|_| StoreError::Damaged(format!("{count} does not fit a column")))
}

pub(crate) fn damaged(column: &str, why: &str) -> StoreError {
    StoreError::Damaged(format!("column `{column}` holds {why}"))
}
