//! Appends to a store and says on its standard output what was acknowledged, until it is killed.
//!
//! `append-loop DIR RUN load N [early]`: N authors append without end; each acknowledgement is a line `ack TAG SEQ`.
//! `append-loop DIR RUN once BYTES [early]`: says `ready`, waits for a line on its standard input, appends one entry
//! with a body of so many bytes, tries a second one without, and ends.
//! `early` is for negative controls: it says `ack TAG` *before* it appends, as a program without the promise would.
//! It ends when its standard input ends, and with status 3 when the store refuses to write.

use std::io::{BufRead, Write};
use std::process::exit;
use std::sync::Arc;

use chancery_it::{Seeded, WallClock};
use chancery_model::{Body, Draft, Kind, Timestamp};
use chancery_store::{Config, Store, StoreError};

/// The exit statuses that a test looks at.
const REFUSED: i32 = 3;
const CANNOT_SAY: i32 = 4;
const USAGE: i32 = 2;

#[derive(Clone)]
struct Author {
    store: Store,
    run: String,
    early: bool,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [dir, run, mode, rest @ ..] = args.as_slice() else { exit(USAGE) };
    let early = rest.last().is_some_and(|last| last == "early");
    let seed = u64::from(std::process::id());
    let config = Config::at(dir);
    let store = match Store::open(&config, Arc::new(WallClock), Arc::new(Seeded::new(seed))).await {
        Ok(store) => store,
        Err(why) => refused(&why),
    };
    let author = Author { store, run: run.clone(), early };
    match (mode.as_str(), rest.first().and_then(|n| n.parse().ok())) {
        ("once", Some(bytes)) => author.once(bytes).await,
        ("load", Some(in_flight)) => author.load(in_flight).await,
        _ => exit(USAGE),
    }
}

impl Author {
    async fn load(self, in_flight: usize) {
        std::thread::spawn(|| {
            wait_for_line();
            exit(0);
        });
        say("ready");
        let tasks: Vec<_> = (0..in_flight).map(|n| tokio::spawn(self.clone().without_end(n))).collect();
        for task in tasks {
            drop(task.await);
        }
    }

    async fn without_end(self, author: usize) {
        for round in 0u64.. {
            // Every eighth entry brings a body: its commit is a transaction, the others' is a single statement.
            let body = if round.is_multiple_of(8) { 700 } else { 0 };
            if let Err(why) = self.append(format!("{}.{author}.{round}", self.run), body).await {
                refused(&why);
            }
        }
    }

    async fn once(self, bytes: usize) {
        say("ready");
        wait_for_line();
        let first = self.append(format!("{}.first", self.run), bytes).await;
        let second = self.append(format!("{}.second", self.run), 0).await;
        match first.and(second) {
            Ok(()) => exit(0),
            Err(why) => refused(&why),
        }
    }

    async fn append(&self, tag: String, body: usize) -> Result<(), StoreError> {
        if self.early {
            say(&format!("ack {tag}"));
        }
        let durable = self.store.append(draft(&tag, body)).await?;
        if !self.early {
            say(&format!("ack {tag} {}", durable.position().seq));
        }
        Ok(())
    }
}

fn draft(tag: &str, bytes: usize) -> Draft {
    let body = (bytes > 0).then(|| Body { name: "arguments", content: vec![b'x'; bytes] });
    Draft {
        kind: Kind::Intent,
        at: Timestamp(1),
        detail: Some(tag.to_owned()),
        bodies: body.into_iter().collect(),
        ..Draft::default()
    }
}

fn wait_for_line() {
    let mut line = String::new();
    // The end of the input is as good as a line.
    drop(std::io::stdin().lock().read_line(&mut line));
}

/// One line, in one write: a reader sees it whole or not at all.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    if out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush()).is_err() {
        exit(CANNOT_SAY);
    }
}

fn refused(why: &StoreError) -> ! {
    say(&format!("refused {why}"));
    exit(REFUSED)
}
