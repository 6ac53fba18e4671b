//! Where those who follow the log stand. Derived from the log: a place that is lost is one from which it is read again.

use crate::row::{Columns, Row, int};
use crate::{Reader, Store, StoreError, Tx};

/// For each writer the sequence number that comes next for this follower; empty for one that never followed.
pub async fn places(from: impl Into<Reader<'_>>, name: &str) -> Result<Vec<(u32, u64)>, StoreError> {
    let sql = crate::sql("SELECT writer, seq FROM followers WHERE name = $1 ORDER BY writer").bind(name);
    from.into().all(sql, read).await
}

/// Moves a follower on. A place never goes back: whoever saves late saves nothing.
pub async fn save(store: &Store, name: &str, places: Vec<(u32, u64)>) -> Result<(), StoreError> {
    let name = name.to_owned();
    store.derive(move |tx| Box::pin(async move { put(tx, &name, &places).await }), || ()).await
}

/// The same within a change of what is derived too.
pub(crate) async fn put(tx: &mut Tx, name: &str, places: &[(u32, u64)]) -> Result<(), StoreError> {
    for (writer, seq) in places {
        let sql = crate::sql(
            "INSERT INTO followers (name, writer, seq) VALUES ($1, $2, $3) \
             ON CONFLICT (name, writer) DO UPDATE SET seq = excluded.seq WHERE excluded.seq > followers.seq",
        );
        tx.run(sql.bind(name).bind(i64::from(*writer)).bind(int(*seq)?)).await?;
    }
    Ok(())
}

fn read(row: &Row) -> Result<(u32, u64), StoreError> {
    Ok((row.number("writer")?, row.count("seq")?))
}
