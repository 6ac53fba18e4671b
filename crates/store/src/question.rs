//! What the two kinds of questions have in common that a person answers while somebody polls: of devices (RFC 8628), and over
//! a back channel (OpenID CIBA Core 1.0). Each has a table of its own, with these columns of the same names.

use chancery_model::{Consent, Hash, SessionId, Timestamp};

use crate::row::{Columns, Row, json};
use crate::{Reader, StoreError, Tx};

/// Longer than any session lasts: the second use must still be seen as one.
const KEPT: i64 = 48 * 3_600 * 1_000_000;

/// The table of one kind.
pub(crate) struct Questions(pub(crate) &'static str);

impl Questions {
    /// Forgets old ones.
    pub(crate) async fn forget(&self, tx: &mut Tx, now: Timestamp) -> Result<(), StoreError> {
        let text = format!("DELETE FROM {} WHERE expires_at < $1", self.0);
        tx.run(crate::sql(sqlx::AssertSqlSafe(text)).bind(now.0 - KEPT)).await.map(drop)
    }

    /// How many of this client wait for an answer.
    pub(crate) async fn waiting_of(&self, from: Reader<'_>, client: &str, now: Timestamp) -> Result<u64, StoreError> {
        let text = format!(
            "SELECT COUNT(*) AS n FROM {} WHERE client = $1 AND answered_at IS NULL AND expires_at > $2",
            self.0
        );
        let sql = crate::sql(sqlx::AssertSqlSafe(text)).bind(client).bind(now.0);
        Ok(from.one(sql, |row| row.count("n")).await?.unwrap_or(0))
    }

    /// Notes the answer; says whether it still waited for one.
    pub(crate) async fn answer(
        &self,
        tx: &mut Tx,
        hash: &Hash,
        consent: Option<&Consent>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let text = format!(
            "UPDATE {} SET answered_at = $3, consent = $2 WHERE hash = $1 AND answered_at IS NULL AND expires_at > $3",
            self.0
        );
        let consent = consent.map(json).transpose()?;
        let sql = crate::sql(sqlx::AssertSqlSafe(text)).bind(hash.to_vec()).bind(consent).bind(now.0);
        Ok(tx.run(sql).await? == 1)
    }

    /// Redeems it for a session; says whether it was unused.
    pub(crate) async fn redeem(&self, tx: &mut Tx, hash: &Hash, session: &SessionId) -> Result<bool, StoreError> {
        let text =
            format!("UPDATE {} SET session = $2 WHERE hash = $1 AND session IS NULL AND consent IS NOT NULL", self.0);
        let sql = crate::sql(sqlx::AssertSqlSafe(text)).bind(hash.to_vec()).bind(session.as_str());
        Ok(tx.run(sql).await? == 1)
    }
}

/// What was allowed, of a row.
pub(crate) fn consent(row: &Row) -> Result<Option<Consent>, StoreError> {
    row.text_or_none("consent")?.map(|_| row.json("consent")).transpose()
}
