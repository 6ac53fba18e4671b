//! Columns to fields and back.

use std::str::FromStr;

use chancery_model::{Hash, Timestamp};
use serde::Serialize;
use serde::de::{DeserializeOwned, IntoDeserializer, value};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::StoreError;

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

impl Columns for SqliteRow {
    fn text(&self, name: &str) -> Result<String, StoreError> {
        Ok(self.try_get(name)?)
    }

    fn text_or_none(&self, name: &str) -> Result<Option<String>, StoreError> {
        Ok(self.try_get(name)?)
    }

    fn int(&self, name: &str) -> Result<i64, StoreError> {
        Ok(self.try_get(name)?)
    }

    fn blob(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        Ok(self.try_get(name)?)
    }

    fn hash_or_none(&self, name: &str) -> Result<Option<Hash>, StoreError> {
        let blob: Option<Vec<u8>> = self.try_get(name)?;
        blob.map(|blob| blob.try_into().map_err(|_| damaged(name, "not a hash"))).transpose()
    }

    fn int_or_none(&self, name: &str) -> Result<Option<i64>, StoreError> {
        Ok(self.try_get(name)?)
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
