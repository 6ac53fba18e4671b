//! What lives in other systems: what is known now, and what was known when.

use chancery_model::{Changed, NodeKind, Object, ObjectBody, ObjectState, SweepId, Timestamp, Urn};
use serde_json::json;
use sqlx::AssertSqlSafe;

use crate::row::{Columns, Row, damaged, int, json as text_of, word};
use crate::{Reader, StoreError, Tx, bulk};

/// What is known of an object now.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Its number.
    pub id: u64,
    /// What it is and is said to be.
    pub object: Object,
    /// Whether it is there.
    pub state: ObjectState,
    /// When it was seen first.
    pub first_seen: Timestamp,
    /// Since when this is known of it.
    pub changed_at: Timestamp,
    /// The registered identity that a person took it for.
    pub adopted_by: Option<String>,
}

/// What a sweep has to know to tell what is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub urn: String,
    /// What is known of it, in short.
    pub digest: String,
    /// Whether it is there.
    pub state: ObjectState,
    /// In how many complete sweeps in a row it was not seen.
    pub misses: u32,
}

/// An object of which something new is known.
#[derive(Clone, Debug)]
pub struct Put {
    /// Its number, if it has one already.
    pub id: Option<u64>,
    /// What it is.
    pub object: Object,
    /// The same, in short.
    pub digest: String,
}

/// An object that was not seen.
#[derive(Clone, Debug)]
pub struct Mark {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub urn: String,
    /// What it is now.
    pub state: ObjectState,
    /// In how many complete sweeps in a row it was not seen.
    pub misses: u32,
}

/// Whose observations these are, and of when.
#[derive(Clone, Debug)]
pub struct Stamp {
    /// The sweep.
    pub sweep: SweepId,
    /// When it held.
    pub observed_at: Timestamp,
    /// When it is written down.
    pub recorded_at: Timestamp,
}

/// Something that was known.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// Its number; later ones have higher ones.
    pub id: u64,
    /// Of which object.
    pub urn: Urn,
    /// By which sweep.
    pub sweep: SweepId,
    /// Whether it was there.
    pub state: ObjectState,
    /// When it held.
    pub observed_at: Timestamp,
    /// When it was written down.
    pub recorded_at: Timestamp,
    /// What was said of it; nothing where that did not change.
    pub body: Option<ObjectBody>,
}

/// Which objects of the list.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Of this kind.
    pub kind: Option<NodeKind>,
    /// Of this system.
    pub source: Option<String>,
    /// In this state.
    pub state: Option<ObjectState>,
    /// With this in their name, whatever the case of its letters.
    pub text: Option<String>,
    /// After this number.
    pub after: u64,
    /// At most so many.
    pub most: u32,
}

const OBJECTS: [(&str, bool); 13] = [
    ("id", true),
    ("urn", false),
    ("source", false),
    ("scope", false),
    ("kind", false),
    ("name", false),
    ("within", false),
    ("state", false),
    ("digest", false),
    ("misses", true),
    ("first_seen", true),
    ("changed_at", true),
    ("observation", true),
];

const OBSERVATIONS: [(&str, bool); 8] = [
    ("id", true),
    ("object", true),
    ("urn", false),
    ("sweep", false),
    ("state", false),
    ("observed_at", true),
    ("recorded_at", true),
    ("body", false),
];

const MARKS: [(&str, bool); 3] = [("id", true), ("state", false), ("misses", true)];

/// Writes down what is new of these, and that they are there. Returns their numbers, in their order.
pub async fn put(tx: &mut Tx, stamp: &Stamp, puts: &[Put]) -> Result<Vec<u64>, StoreError> {
    if puts.is_empty() {
        return Ok(Vec::new());
    }
    let (mut object, mut observation) = (highest(&mut *tx, "objects").await?, highest(&mut *tx, "observations").await?);
    let (mut ids, mut objects, mut observations) = (Vec::new(), Vec::new(), Vec::new());
    let present = word(&ObjectState::Present)?;
    for put in puts {
        let Object { urn, is } = &put.object;
        let id = put.id.unwrap_or_else(|| {
            object += 1;
            object
        });
        observation += 1;
        ids.push(id);
        objects.push(json!([
            int(id)?,
            urn.as_str(),
            urn.source(),
            urn.scope(),
            urn.kind(),
            is.name,
            is.within,
            present,
            put.digest,
            0,
            stamp.observed_at.0,
            stamp.observed_at.0,
            int(observation)?
        ]));
        let body = text_of(is)?;
        observations.push(seen(observation, (id, urn.as_str()), stamp, &present, Some(&body))?);
    }
    let text = format!(
        "{} ON CONFLICT (id) DO UPDATE SET name = excluded.name, within = excluded.within, state = excluded.state, \
         digest = excluded.digest, misses = excluded.misses, changed_at = excluded.changed_at, \
         observation = excluded.observation",
        bulk::insert(tx.engine(), "objects", &OBJECTS, "$1")
    );
    tx.run(crate::sql(AssertSqlSafe(text)).bind(bulk::rows(&objects)?)).await?;
    observe(tx, &observations).await?;
    tx.note(Changed::Inventory(observation));
    Ok(ids)
}

/// Writes down that these were not seen.
pub async fn mark(tx: &mut Tx, stamp: &Stamp, marks: &[Mark]) -> Result<(), StoreError> {
    if marks.is_empty() {
        return Ok(());
    }
    let mut observation = highest(&mut *tx, "observations").await?;
    let (mut rows, mut observations) = (Vec::new(), Vec::new());
    for mark in marks {
        observation += 1;
        let state = word(&mark.state)?;
        rows.push(json!([int(mark.id)?, state, mark.misses]));
        observations.push(seen(observation, (mark.id, &mark.urn), stamp, &state, None)?);
    }
    let text = format!(
        "UPDATE objects SET state = marked.state, misses = marked.misses, changed_at = $2 FROM ({}) AS marked \
         WHERE objects.id = marked.id",
        bulk::select(tx.engine(), &MARKS, "$1")
    );
    tx.run(crate::sql(AssertSqlSafe(text)).bind(bulk::rows(&rows)?).bind(stamp.observed_at.0)).await?;
    observe(tx, &observations).await?;
    tx.note(Changed::Inventory(observation));
    Ok(())
}

fn seen(
    id: u64,
    (object, urn): (u64, &str),
    stamp: &Stamp,
    state: &str,
    body: Option<&str>,
) -> Result<serde_json::Value, StoreError> {
    let (observed, recorded) = (stamp.observed_at.0, stamp.recorded_at.0);
    Ok(json!([int(id)?, int(object)?, urn, stamp.sweep.as_str(), state, observed, recorded, body]))
}

async fn observe(tx: &mut Tx, rows: &[serde_json::Value]) -> Result<(), StoreError> {
    let text = bulk::insert(tx.engine(), "observations", &OBSERVATIONS, "$1");
    tx.run(crate::sql(AssertSqlSafe(text)).bind(bulk::rows(rows)?)).await.map(drop)
}

/// The highest number of a table.
async fn highest(from: impl Into<Reader<'_>>, table: &'static str) -> Result<u64, StoreError> {
    let text = format!("SELECT COALESCE(MAX(id), 0) AS highest FROM {table}");
    let highest = from.into().one(crate::sql(AssertSqlSafe(text)), |row| row.count("highest")).await?;
    Ok(highest.unwrap_or_default())
}

/// The number of the newest observation; 0 if there is none.
pub async fn newest_observation(from: impl Into<Reader<'_>>) -> Result<u64, StoreError> {
    highest(from, "observations").await
}

/// Everything of a source and scope.
pub async fn known(
    from: impl Into<Reader<'_>>,
    (source, scope): (&str, &str),
    take: impl FnMut(Known),
) -> Result<(), StoreError> {
    let sql = crate::sql("SELECT id, urn, digest, state, misses FROM objects WHERE source = $1 AND scope = $2")
        .bind(source)
        .bind(scope);
    from.into().each(sql, read_known, take).await
}

/// Where the objects of a source and scope stand in it: number, name and place.
pub async fn places(
    from: impl Into<Reader<'_>>,
    (source, scope): (&str, &str),
) -> Result<Vec<(u64, String, Option<String>)>, StoreError> {
    let sql =
        crate::sql("SELECT id, urn, within FROM objects WHERE source = $1 AND scope = $2").bind(source).bind(scope);
    from.into().all(sql, |row| Ok((row.count("id")?, row.text("urn")?, row.text_or_none("within")?))).await
}

/// Writes down that a sweep did not see these and did not call them missing.
pub async fn hold(tx: &mut Tx, sweep: &SweepId, objects: &[u64]) -> Result<(), StoreError> {
    const HELD: [(&str, bool); 2] = [("sweep", false), ("object", true)];
    if objects.is_empty() {
        return Ok(());
    }
    let row = |id: &u64| Ok(json!([sweep.as_str(), int(*id)?]));
    let rows = objects.iter().map(row).collect::<Result<Vec<_>, StoreError>>()?;
    let text = bulk::insert(tx.engine(), "held_objects", &HELD, "$1");
    tx.run(crate::sql(AssertSqlSafe(text)).bind(bulk::rows(&rows)?)).await.map(drop)
}

/// Those that a sweep held and that nobody saw or marked since.
pub async fn held(from: impl Into<Reader<'_>>, sweep: &SweepId) -> Result<Vec<Known>, StoreError> {
    let sql = crate::sql(
        "SELECT o.id AS id, o.urn AS urn, o.digest AS digest, o.state AS state, o.misses AS misses \
         FROM held_objects h JOIN objects o ON o.id = h.object WHERE h.sweep = $1 AND o.state = 'present' ORDER BY o.id",
    )
    .bind(sweep.as_str());
    from.into().all(sql, read_known).await
}

const FULL: &str = "SELECT o.id AS id, o.urn AS urn, o.state AS state, o.first_seen AS first_seen, \
     o.changed_at AS changed_at, b.body AS body, a.name AS adopted_by FROM objects o \
     JOIN observations b ON b.id = o.observation LEFT JOIN adoptions d ON d.object = o.id LEFT JOIN agents a ON a.id = d.agent";

/// The one of this name.
pub async fn get(from: impl Into<Reader<'_>>, urn: &Urn) -> Result<Option<Stored>, StoreError> {
    let text = format!("{FULL} WHERE o.urn = $1");
    from.into().one(crate::sql(AssertSqlSafe(text)).bind(urn.as_str()), read_stored).await
}

/// Those that are wanted, in the order of their numbers.
pub async fn list(from: impl Into<Reader<'_>>, wanted: &Wanted) -> Result<Vec<Stored>, StoreError> {
    // `%` and `_` of the text count as themselves.
    let pattern = wanted.text.as_ref().map(|text| {
        let text = text.to_lowercase().replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        format!("%{text}%")
    });
    let sql = format!(
        "{FULL} WHERE o.id > $1 AND ($2 = '' OR o.kind = $2) AND ($3 = '' OR o.source = $3) AND ($4 = '' OR o.state = $4) \
         AND ($5 = '' OR LOWER(o.name) LIKE $5 ESCAPE '\\') ORDER BY o.id LIMIT $6"
    );
    let sql = crate::sql(AssertSqlSafe(sql))
        .bind(int(wanted.after)?)
        .bind(wanted.kind.map_or("", NodeKind::as_str))
        .bind(wanted.source.clone().unwrap_or_default())
        .bind(wanted.state.map_or(Ok(String::new()), |state| word(&state))?)
        .bind(pattern.unwrap_or_default())
        .bind(i64::from(wanted.most));
    from.into().all(sql, read_stored).await
}

/// Those of this name, at most so many.
pub async fn called(from: impl Into<Reader<'_>>, name: &str, most: u32) -> Result<Vec<Urn>, StoreError> {
    let sql = crate::sql("SELECT urn FROM objects WHERE name = $1 AND state <> 'gone' ORDER BY id LIMIT $2")
        .bind(name)
        .bind(i64::from(most));
    from.into().all(sql, read_urn).await
}

/// How many there are of each kind and state.
pub async fn counts(from: impl Into<Reader<'_>>) -> Result<Vec<(NodeKind, ObjectState, u64)>, StoreError> {
    let sql =
        crate::sql("SELECT kind, state, COUNT(*) AS objects FROM objects GROUP BY kind, state ORDER BY kind, state");
    from.into().all(sql, |row| Ok((row.word("kind")?, row.word("state")?, row.count("objects")?))).await
}

/// What was known of an object, oldest first.
pub async fn history(from: impl Into<Reader<'_>>, object: u64) -> Result<Vec<Observation>, StoreError> {
    let sql = crate::sql("SELECT * FROM observations WHERE object = $1 ORDER BY id").bind(int(object)?);
    from.into().all(sql, read_observation).await
}

/// What became known after this observation, in order.
pub async fn since(
    from: impl Into<Reader<'_>>,
    observation: u64,
    take: impl FnMut(Observation),
) -> Result<(), StoreError> {
    let sql = crate::sql("SELECT * FROM observations WHERE id > $1 ORDER BY id").bind(int(observation)?);
    from.into().each(sql, read_observation, take).await
}

/// What held until one time, as it was known at another, in order.
pub async fn as_of(
    from: impl Into<Reader<'_>>,
    (held, known): (Timestamp, Timestamp),
    take: impl FnMut(Observation),
) -> Result<(), StoreError> {
    let sql = crate::sql("SELECT * FROM observations WHERE observed_at <= $1 AND recorded_at <= $2 ORDER BY id")
        .bind(held.0)
        .bind(known.0);
    from.into().each(sql, read_observation, take).await
}

fn read_urn(row: &Row) -> Result<Urn, StoreError> {
    row.text("urn")?.parse().map_err(|_| damaged("urn", "not a name"))
}

fn read_known(row: &Row) -> Result<Known, StoreError> {
    Ok(Known {
        id: row.count("id")?,
        urn: row.text("urn")?,
        digest: row.text("digest")?,
        state: row.word("state")?,
        misses: row.number("misses")?,
    })
}

fn read_stored(row: &Row) -> Result<Stored, StoreError> {
    Ok(Stored {
        id: row.count("id")?,
        object: Object { urn: read_urn(row)?, is: row.json("body")? },
        state: row.word("state")?,
        first_seen: row.time("first_seen")?,
        changed_at: row.time("changed_at")?,
        adopted_by: row.text_or_none("adopted_by")?,
    })
}

fn read_observation(row: &Row) -> Result<Observation, StoreError> {
    let body = row.text_or_none("body")?;
    Ok(Observation {
        id: row.count("id")?,
        urn: read_urn(row)?,
        sweep: row.id("sweep")?,
        state: row.word("state")?,
        observed_at: row.time("observed_at")?,
        recorded_at: row.time("recorded_at")?,
        body: body.map(|_| row.json("body")).transpose()?,
    })
}
