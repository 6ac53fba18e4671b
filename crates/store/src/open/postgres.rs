//! A database somewhere else: PostgreSQL.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use chancery_model::Secret;
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgSslMode};

use super::{Opened, Together, migrations};
use crate::StoreError;
use crate::link::{Link, Pool, Source};
use crate::row::Columns;

/// The kind of the advisory locks that writers hold as long as they live.
const WRITER_LOCK: i64 = 0x4348_414e;
/// How often, and how many times, it is asked for: who held it may have died a moment ago.
const EVERY: Duration = Duration::from_millis(100);
const TIMES: usize = 50;
/// Connections of one node at the most, beside the writer's and the one that listens.
const READERS: u32 = 8;
const DESK: u32 = 3;

/// What each session is told. A node that stops in the middle of a transaction must not hold up the others for longer than
/// its lease lasts anyway: what is between two statements of a change takes no time worth the name.
const SETTINGS: [(&str, &str); 5] = [
    ("synchronous_commit", "on"),
    ("default_transaction_isolation", "read committed"),
    ("idle_in_transaction_session_timeout", "1500"),
    ("client_encoding", "UTF8"),
    ("jit", "off"),
];

/// How to reach the database.
pub(crate) struct Server {
    options: PgConnectOptions,
}

pub(super) async fn open(url: &Secret) -> Result<Opened, StoreError> {
    let server = Server { options: options(url)? };
    let mut connection = server.options.connect().await.map_err(|e| cannot(&e))?;
    migrations::postgres().run(&mut connection).await.map_err(|e| cannot(&e))?;
    let mut link = Link::Postgres(connection);
    require_durable(&mut link).await?;
    let readers = server.pool(READERS, "on");
    let desk = Arc::new(Pool::Postgres(server.pool(DESK, "off")));
    Ok(Opened { link, readers: Pool::Postgres(readers.clone()), shared: Some(Together { server, readers, desk }) })
}

/// What is not said of a host is the strict form: a remote one has to show a certificate for its name.
fn options(url: &Secret) -> Result<PgConnectOptions, StoreError> {
    // The address is not in the error: it holds the password.
    let options = PgConnectOptions::from_str(url.expose())
        .map_err(|_| StoreError::Connect("the address is not `postgres://user:password@host:port/name`".to_owned()))?;
    let stated = url.expose().contains("sslmode=") || url.expose().contains("ssl-mode=");
    let host = options.get_host();
    let local = options.get_socket().is_some() || host.starts_with('/') || is_loopback(host);
    let options = if stated || local { options } else { options.ssl_mode(PgSslMode::VerifyFull) };
    Ok(options.application_name("chancery").options(SETTINGS).disable_statement_logging())
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

impl Server {
    fn pool(&self, most: u32, read_only: &str) -> PgPool {
        PgPoolOptions::new()
            .min_connections(0)
            .max_connections(most)
            .acquire_timeout(Duration::from_secs(5))
            .idle_timeout(Duration::from_secs(60))
            .connect_lazy_with(self.options.clone().options([("default_transaction_read_only", read_only)]))
    }

    /// A new connection for the writer, after it lost one. The session that was lost is ended if it is still there, and
    /// its locks are gone before this returns: whatever it was about to commit is committed by then or never.
    pub(crate) async fn reconnect(&self, writer: u32) -> Result<Link, StoreError> {
        let connection: PgConnection = self.options.connect().await.map_err(StoreError::Database)?;
        let mut link = Link::Postgres(connection);
        require_durable(&mut link).await?;
        let end = crate::sql(
            "SELECT pg_terminate_backend(pid) AS ended FROM pg_locks WHERE locktype = 'advisory' AND classid = $1 \
             AND objid = $2 AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
             AND granted AND pid <> pg_backend_pid()",
        );
        let end = end.bind(WRITER_LOCK).bind(i64::from(writer));
        Source::Link(&mut link).one(end, |row| row.int("ended")).await?;
        self.claim(&mut link, writer).await?;
        Ok(link)
    }

    /// Takes the writer's lock, which the session holds until it ends. Two processes with one writer's number would
    /// refuse each other's entries: the second is refused at once.
    pub(crate) async fn claim(&self, link: &mut Link, writer: u32) -> Result<(), StoreError> {
        for _ in 0..TIMES {
            if self.try_claim(link, writer).await? {
                return Ok(());
            }
            tokio::time::sleep(EVERY).await;
        }
        let why = format!("another process writes as node {writer}: stop that one, or give this one its own directory");
        Err(StoreError::Connect(why))
    }

    pub(crate) async fn try_claim(&self, link: &mut Link, writer: u32) -> Result<bool, StoreError> {
        let ask = crate::sql("SELECT pg_try_advisory_lock(CAST($1 AS INT), CAST($2 AS INT)) AS got");
        let ask = ask.bind(WRITER_LOCK).bind(i64::from(writer));
        Ok(Source::Link(link).one(ask, |row| row.int("got")).await? == Some(1))
    }
}

/// The promise rests on these settings, so they are read back.
async fn require_durable(link: &mut Link) -> Result<(), StoreError> {
    for (name, needed) in
        [("synchronous_commit", "on"), ("fsync", "on"), ("full_page_writes", "on"), ("server_encoding", "UTF8")]
    {
        let sql = crate::sql("SELECT current_setting($1) AS setting").bind(name);
        let found = Source::Link(&mut *link).one(sql, |row| row.text("setting")).await?.unwrap_or_default();
        if found != needed {
            return Err(StoreError::Connect(format!(
                "`{name}` is `{found}` and must be `{needed}`: change it in the database"
            )));
        }
    }
    Ok(())
}

fn cannot(why: &dyn std::fmt::Display) -> StoreError {
    StoreError::Connect(why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str) -> PgSslMode {
        options(&Secret::new(url.to_owned())).unwrap().get_ssl_mode()
    }

    #[test]
    fn a_remote_database_shows_a_certificate_unless_somebody_says_otherwise() {
        assert!(matches!(mode("postgres://a:b@db.example/c"), PgSslMode::VerifyFull));
        assert!(matches!(mode("postgres://a:b@10.0.0.7/c"), PgSslMode::VerifyFull));
        assert!(matches!(mode("postgres://a:b@db.example/c?sslmode=disable"), PgSslMode::Disable));
        assert!(matches!(mode("postgres://a:b@127.0.0.1/c"), PgSslMode::Prefer));
        assert!(matches!(mode("postgres://a:b@[::1]:5432/c"), PgSslMode::Prefer));
    }

    #[test]
    fn an_address_that_is_none_does_not_show_its_password() {
        let refused = options(&Secret::new("postgres://a:hunter2@db:port/c".to_owned())).unwrap_err();
        assert!(!refused.to_string().contains("hunter2"), "{refused}");
    }
}
