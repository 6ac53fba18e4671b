//! The tables, step by step: one text for both engines.
//!
//! The files are SQLite's. PostgreSQL reads them with a few words replaced, and has their checksums.

use sqlx::migrate::{Migration, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr};

pub(super) static SQLITE: Migrator = sqlx::migrate!("./migrations");

/// What is written differently. Texts are compared and ordered byte by byte, as in SQLite.
const WORDS: [(&str, &str); 4] = [
    (" BLOB", " BYTEA"),
    (" TEXT ", " TEXT COLLATE \"C\" "),
    (" TEXT,", " TEXT COLLATE \"C\","),
    (") WITHOUT ROWID;", ");"),
];

/// A step that carries old rows over, in words of SQLite: no database of PostgreSQL is so old that it has some.
const CARRIED_OVER: [(i64, &str, &str); 1] = [(5, "INSERT INTO blueprints", "GROUP BY blueprint;")];

pub(super) fn postgres() -> Migrator {
    Migrator::with_migrations(SQLITE.iter().map(translated).collect())
}

fn translated(step: &Migration) -> Migration {
    let mut text = step.sql.as_str().to_owned();
    for (_, begin, end) in CARRIED_OVER.iter().filter(|(version, ..)| *version == step.version) {
        text = without(&text, begin, end);
    }
    let text = text.lines().map(line).collect::<Vec<_>>().join("\n");
    Migration { sql: AssertSqlSafe(text).into_sql_str(), ..step.clone() }
}

/// Comments stay as they are.
fn line(line: &str) -> String {
    let (code, comment) = line.find("--").map_or((line, ""), |at| line.split_at(at));
    let mut code = code.to_owned();
    for (sqlite, postgres) in WORDS {
        code = code.replace(sqlite, postgres);
    }
    if code.ends_with(" TEXT") {
        code.push_str(" COLLATE \"C\"");
    }
    code + comment
}

fn without(text: &str, begin: &str, end: &str) -> String {
    let Some((before, rest)) = text.split_once(begin) else { return text.to_owned() };
    let after = rest.split_once(end).map_or("", |(_, after)| after);
    format!("{before}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_sqlite_are_replaced() {
        assert_eq!(line("    sealed BLOB   NOT NULL,"), "    sealed BYTEA   NOT NULL,");
        assert_eq!(line("    bodies       BLOB,"), "    bodies       BYTEA,");
        assert_eq!(line("    name TEXT NOT NULL,"), "    name TEXT COLLATE \"C\" NOT NULL,");
        assert_eq!(line("    blueprint TEXT,"), "    blueprint TEXT COLLATE \"C\",");
        assert_eq!(line("    session TEXT"), "    session TEXT COLLATE \"C\"");
        assert_eq!(line("ALTER TABLE a ADD COLUMN b TEXT;"), "ALTER TABLE a ADD COLUMN b TEXT;");
        assert_eq!(line(") WITHOUT ROWID;"), ");");
        assert_eq!(line("-- a BLOB of TEXT, or"), "-- a BLOB of TEXT, or");
    }

    #[test]
    fn nothing_of_sqlite_is_left() {
        for step in postgres().iter() {
            let code: String = step.sql.as_str().lines().filter_map(|l| l.split("--").next()).collect();
            for word in ["BLOB", "ROWID", "randomblob", "json_each", "AUTOINCREMENT"] {
                assert!(!code.contains(word), "{word} in migration {}", step.version);
            }
        }
    }
}
