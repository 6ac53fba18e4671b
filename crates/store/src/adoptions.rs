//! Which discovered object a person took for which registered identity.

use chancery_model::{AgentId, Timestamp, Urn};

use crate::row::{Columns, Row, damaged};
use crate::{Reader, StoreError, Tx};

/// Writes down that this object is that identity.
pub async fn insert(tx: &mut Tx, object: u64, agent: &AgentId, by: &str, at: Timestamp) -> Result<(), StoreError> {
    let sql = crate::sql("INSERT INTO adoptions (object, agent, adopted_by, adopted_at) VALUES ($1, $2, $3, $4)")
        .bind(crate::row::int(object)?)
        .bind(agent.as_str())
        .bind(by)
        .bind(at.0);
    tx.run(sql).await.map(drop)
}

/// The name of the identity that this object is.
pub async fn of_object(from: impl Into<Reader<'_>>, urn: &Urn) -> Result<Option<String>, StoreError> {
    let sql = crate::sql(
        "SELECT a.name AS name FROM objects o JOIN adoptions d ON d.object = o.id JOIN agents a ON a.id = d.agent \
         WHERE o.urn = $1",
    )
    .bind(urn.as_str());
    from.into().one(sql, |row| row.text("name")).await
}

/// Every object that was adopted until then, and the name of the identity that it is.
pub async fn until(from: impl Into<Reader<'_>>, at: Timestamp) -> Result<Vec<(Urn, String)>, StoreError> {
    let sql = crate::sql(
        "SELECT o.urn AS urn, a.name AS name FROM adoptions d JOIN objects o ON o.id = d.object \
         JOIN agents a ON a.id = d.agent WHERE d.adopted_at <= $1 ORDER BY o.id",
    )
    .bind(at.0);
    from.into().all(sql, read).await
}

fn read(row: &Row) -> Result<(Urn, String), StoreError> {
    let urn = row.text("urn")?.parse().map_err(|_| damaged("urn", "not a name"))?;
    Ok((urn, row.text("name")?))
}
