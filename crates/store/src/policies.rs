//! Every policy set that was ever in force, so that a decision can be explained with the policies as they were.

use std::collections::BTreeMap;

use chancery_model::Timestamp;

use crate::row::{Columns, Row, damaged};
use crate::{Reader, StoreError, Tx};

/// The files of a policy set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySet {
    /// Digest of the set, as decisions name it.
    pub version: String,
    /// File name to text.
    pub files: BTreeMap<String, String>,
    /// When it was last put in force.
    pub loaded_at: Timestamp,
}

/// Notes that a set is in force. One that was so before only gets a new time.
pub async fn put(tx: &mut Tx, set: &PolicySet) -> Result<(), StoreError> {
    let files = serde_json::to_string(&set.files).map_err(|e| damaged("files", &e.to_string()))?;
    let sql = crate::sql(
        "INSERT INTO policy_sets (version, files, loaded_at) VALUES ($1, $2, $3) \
         ON CONFLICT (version) DO UPDATE SET loaded_at = excluded.loaded_at",
    )
    .bind(&set.version)
    .bind(files)
    .bind(set.loaded_at.0);
    tx.run(sql).await.map(drop)
}

/// The set with this digest.
pub async fn get(from: impl Into<Reader<'_>>, version: &str) -> Result<Option<PolicySet>, StoreError> {
    from.into().one(crate::sql("SELECT * FROM policy_sets WHERE version = $1").bind(version), read).await
}

/// The set that was put in force last.
pub async fn newest(from: impl Into<Reader<'_>>) -> Result<Option<PolicySet>, StoreError> {
    from.into().one(crate::sql("SELECT * FROM policy_sets ORDER BY loaded_at DESC, version LIMIT 1"), read).await
}

fn read(row: &Row) -> Result<PolicySet, StoreError> {
    let files = serde_json::from_str(&row.text("files")?).map_err(|e| damaged("files", &e.to_string()))?;
    Ok(PolicySet { version: row.text("version")?, files, loaded_at: row.time("loaded_at")? })
}
