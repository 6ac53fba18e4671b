//! The texts that end a commit: as few messages to the database as can be.

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use crate::sessions;
use crate::sql::Engine;

const ENTRIES: &str = "INSERT INTO log_segments (writer, first_seq, count, committed_at, leaves, entries, bodies) \
     VALUES ($1, $2, $3, $4, $5, $6, $7)";

/// A change waits until those of other nodes are committed, and is committed before theirs: they are serial over all
/// nodes, as they are in one process. What runs in it sees all that was committed before.
const BEGIN: &str = "BEGIN; SELECT pg_advisory_xact_lock(1128808791)";

/// On SQLite one text ends it all: each statement of its own would cost two thread switches. PostgreSQL takes one
/// statement at a time, and a `COMMIT` after changes.
pub(crate) struct Ending {
    engine: Engine,
    /// A single statement commits by itself.
    entries: SqlStr,
    /// After changes.
    begun_entries: SqlStr,
    /// With sessions, and nothing before.
    sessions_entries: SqlStr,
    /// With sessions, after changes.
    begun_sessions_entries: SqlStr,
}

impl Ending {
    pub(crate) fn new(engine: Engine) -> Self {
        let sessions = sessions::insert_sql(engine, "$8");
        match engine {
            Engine::Sqlite => Self {
                engine,
                entries: ENTRIES.into_sql_str(),
                begun_entries: made(format!("{ENTRIES}; COMMIT")),
                sessions_entries: made(format!("BEGIN IMMEDIATE; {sessions}; {ENTRIES}; COMMIT")),
                begun_sessions_entries: made(format!("{sessions}; {ENTRIES}; COMMIT")),
            },
            Engine::Postgres => {
                let both = made(format!("WITH opened AS ({sessions}) {ENTRIES}"));
                let entries = ENTRIES.into_sql_str();
                Self {
                    engine,
                    begun_entries: entries.clone(),
                    entries,
                    begun_sessions_entries: both.clone(),
                    sessions_entries: both,
                }
            }
        }
    }

    pub(crate) fn begin(&self) -> &'static str {
        match self.engine {
            Engine::Sqlite => "BEGIN IMMEDIATE",
            Engine::Postgres => BEGIN,
        }
    }

    pub(crate) fn text(&self, begun: bool, sessions: bool) -> SqlStr {
        let text = match (begun, sessions) {
            (false, false) => &self.entries,
            (true, false) => &self.begun_entries,
            (false, true) => &self.sessions_entries,
            (true, true) => &self.begun_sessions_entries,
        };
        text.clone()
    }

    /// Does what changed go to other nodes?
    pub(crate) fn feeds(&self) -> bool {
        self.engine == Engine::Postgres
    }

    /// Is `COMMIT` not in the text?
    pub(crate) fn commits_apart(&self) -> bool {
        self.engine == Engine::Postgres
    }
}

/// A text made of constants only.
fn made(text: String) -> SqlStr {
    AssertSqlSafe(text).into_sql_str()
}
