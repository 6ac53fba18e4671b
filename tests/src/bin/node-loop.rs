//! A node of a shared database that says what it knows, until its standard input ends.
//!
//! `node-loop DIR URL TOKEN`: joins (or goes on), says `ready`, and answers each line of its standard input with one:
//! whether it may act (`fresh` or `stale`), and what it was told last of any agent.

use std::io::{BufRead, Write};
use std::process::exit;
use std::sync::{Arc, Mutex, PoisonError};

use chancery_it::{Seeded, WallClock};
use chancery_model::{Changed, Secret};
use chancery_store::{Config, Membership, Store};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [dir, url, token] = args.as_slice() else { exit(2) };
    let node = Membership { token: Some(Secret::new(token.clone())), ..Membership::default() };
    let config = Config { database: Some(Secret::new(url.clone())), node, ..Config::at(dir) };
    let seed = u64::from(std::process::id());
    let store = match Store::open(&config, Arc::new(WallClock), Arc::new(Seeded::new(seed))).await {
        Ok(store) => store,
        Err(why) => {
            say(&format!("refused {why}"));
            exit(3)
        }
    };
    let told = Arc::new(Mutex::new("nothing".to_owned()));
    let telling = Arc::clone(&told);
    store.observe(Box::new(move |changed| {
        if let Changed::Agent(agent) = changed {
            *telling.lock().unwrap_or_else(PoisonError::into_inner) = format!("{} {:?}", agent.name, agent.state);
        }
    }));
    say("ready");
    for _ in std::io::stdin().lock().lines() {
        // First whether it may act, as whoever acts does: what is looked at after that was known while it might.
        let may = if store.lease().is_fresh() { "fresh" } else { "stale" };
        say(&format!("{may} {}", told.lock().unwrap_or_else(PoisonError::into_inner)));
    }
    exit(0)
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    if out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush()).is_err() {
        exit(4);
    }
}
