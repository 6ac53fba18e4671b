//! Many rows in one statement: an array of arrays goes in as one parameter, in JSON.

use crate::StoreError;
use crate::row::json;
use crate::sql::Engine;

/// The columns of a table, and which of them are numbers.
pub(crate) type Columns = [(&'static str, bool)];

/// `INSERT` of all rows that `parameter` holds. It is made of constants only.
pub(crate) fn insert(engine: Engine, table: &str, columns: &Columns, parameter: &str) -> String {
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    format!("INSERT INTO {table} ({}) {}", names.join(", "), select(engine, columns, parameter))
}

/// The rows that `parameter` holds, with these columns.
pub(crate) fn select(engine: Engine, columns: &Columns, parameter: &str) -> String {
    let value = |(at, (name, number)): (usize, &(&str, bool))| match engine {
        Engine::Postgres if *number => format!("CAST(value ->> {at} AS BIGINT) AS {name}"),
        _ => format!("value ->> {at} AS {name}"),
    };
    let values: Vec<String> = columns.iter().enumerate().map(value).collect();
    let from = match engine {
        Engine::Sqlite => format!("json_each({parameter})"),
        Engine::Postgres => format!("json_array_elements(CAST({parameter} AS JSON)) AS rows (value)"),
    };
    format!("SELECT {} FROM {from} WHERE true", values.join(", "))
}

/// Rows as the parameter wants them.
pub(crate) fn rows(rows: &[serde_json::Value]) -> Result<String, StoreError> {
    json(&rows)
}
