//! Durable appends a second through the store, against the same engine on the same disk doing nothing but durable
//! inserts of the same bytes: one row an entry, everything that waits in one transaction.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use chancery_store::Store;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::{mpsc, oneshot};

use crate::row::{Bar, Row};
use crate::scale::{ROUNDS, Scale, median};
use crate::{Fallible, text, world};

/// In flight, appends in a round, and the share of the ceiling that is to be reached.
const CASES: [(usize, usize, Bar); 3] =
    [(1, 1_000, Bar::None), (64, 20_000, Bar::None), (1_024, 100_000, Bar::RatioAtLeast(0.6))];

/// An append on its way.
type Doing = Pin<Box<dyn Future<Output = Fallible> + Send>>;

/// One row a case, and what a lone append waits beside one disk sync.
pub fn rows(scale: &Scale) -> Fallible<Vec<Row>> {
    let folder = tempfile::tempdir().map_err(text)?;
    world::runtime()?.block_on(async {
        let store = world::store(&folder.path().join("ours")).await?;
        let ceilings =
            [Ceiling::open(folder.path(), Form::Rows).await?, Ceiling::open(folder.path(), Form::Blob).await?];
        let mut rows = Vec::new();
        for (in_flight, count, bar) in CASES {
            rows.extend(case(&store, &ceilings, in_flight, scale.of(count), bar).await?);
        }
        let alone = 1e6 / rows[0].value;
        rows.push(
            Row::new("append/wait of a lone one", alone, "us")
                .beside("one disk sync", world::disk_sync(folder.path())?),
        );
        store.close().await;
        Ok(rows)
    })
}

async fn case(store: &Store, ceilings: &[Ceiling; 2], in_flight: usize, count: usize, bar: Bar) -> Fallible<[Row; 2]> {
    let (mut ours, mut rows, mut blob) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        rows.push(rate(in_flight, count, alone(ceilings[0].clone())).await?);
        blob.push(rate(in_flight, count, alone(ceilings[1].clone())).await?);
        ours.push(rate(in_flight, count, durable(store.clone())).await?);
    }
    let ours = Row::new(format!("append/{in_flight} in flight"), median(ours), "1/s");
    Ok([
        ours.clone().beside("SQLite alone, a row an entry, same batches", median(rows)).bar(bar),
        ours.beside("SQLite alone, a row a batch", median(blob)).bar(bar),
    ])
}

fn durable(store: Store) -> impl Fn(usize) -> Doing + Clone + Send + 'static {
    move |number| {
        let store = store.clone();
        Box::pin(async move { store.append(world::intent(number)).await.map(drop).map_err(text) })
    }
}

fn alone(ceiling: Ceiling) -> impl Fn(usize) -> Doing + Clone + Send + 'static {
    move |number| {
        let ceiling = ceiling.clone();
        Box::pin(async move { ceiling.append(number).await })
    }
}

/// Runs `count` appends with so many in flight, and returns how many a second were acknowledged.
async fn rate<F>(in_flight: usize, count: usize, append: F) -> Fallible<f64>
where
    F: Fn(usize) -> Doing + Clone + Send + 'static,
{
    let next = Arc::new(AtomicUsize::new(0));
    let since = Instant::now();
    let clients = (0..in_flight).map(|_| {
        let (next, append) = (Arc::clone(&next), append.clone());
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok::<(), String>(());
                }
                append(number).await?;
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.map_err(text)??;
    }
    Ok(count as f64 / since.elapsed().as_secs_f64())
}

type Waiting = (Vec<u8>, oneshot::Sender<()>);

/// In which form the ceiling's writer writes a batch.
#[derive(Clone, Copy)]
enum Form {
    /// A row an entry: what any table of entries does.
    Rows,
    /// One row with all entries one after the other: the least that SQLite can be asked to do.
    Blob,
}

/// SQLite by itself, behind the same kind of queue.
#[derive(Clone)]
struct Ceiling {
    queue: mpsc::UnboundedSender<Waiting>,
}

impl Ceiling {
    async fn open(folder: &Path, form: Form) -> Fallible<Self> {
        let options = SqliteConnectOptions::new()
            .filename(folder.join(format!("ceiling-{}.db", form as u8)))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("wal_autocheckpoint", "8192");
        let mut connection = options.connect().await.map_err(text)?;
        let table = "CREATE TABLE log (seq INTEGER PRIMARY KEY, leaf BLOB NOT NULL, entry BLOB NOT NULL)";
        sqlx::query(table).execute(&mut connection).await.map_err(text)?;
        let (queue, inbox) = mpsc::unbounded_channel();
        tokio::spawn(write(connection, inbox, form));
        Ok(Self { queue })
    }

    async fn append(&self, number: usize) -> Fallible {
        let (done, wait) = oneshot::channel();
        self.queue.send((world::intent_bytes(number), done)).map_err(text)?;
        wait.await.map_err(|_| "the ceiling's writer failed".to_owned())
    }
}

/// A failed write drops those who wait, which fails the run.
async fn write(mut connection: SqliteConnection, mut inbox: mpsc::UnboundedReceiver<Waiting>, form: Form) {
    let mut batch: Vec<Waiting> = Vec::new();
    while inbox.recv_many(&mut batch, 4_096).await > 0 {
        if let Err(why) = commit(&mut connection, &batch, form).await {
            return eprintln!("the ceiling's writer: {why}");
        }
        batch.drain(..).for_each(|(_, done)| done.send(()).unwrap_or(()));
    }
}

async fn commit(connection: &mut SqliteConnection, batch: &[Waiting], form: Form) -> Result<(), sqlx::Error> {
    let insert = "INSERT INTO log (leaf, entry) VALUES ($1, $2)";
    if let Form::Blob = form {
        let (leaves, entries) = (vec![7u8; 32 * batch.len()], batch.iter().flat_map(|(entry, _)| entry).copied());
        let row = sqlx::query(insert).bind(leaves).bind(entries.collect::<Vec<u8>>());
        return row.execute(connection).await.map(drop);
    }
    let mut transaction = connection.begin().await?;
    for (entry, _) in batch {
        sqlx::query(insert).bind(&[7u8; 32][..]).bind(entry).execute(&mut *transaction).await?;
    }
    transaction.commit().await
}
