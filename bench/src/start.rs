//! How long a start takes until the server is ready, and the memory it holds, idle and after load.

use crate::process::Server;
use crate::product::{self, Filling, Place};
use crate::row::{Bar, Row};
use crate::scale::{ROUNDS, Scale, median};
use crate::{Fallible, text, usage};

const MANY: usize = 100_000;

/// A fresh server, and one with a hundred thousand agents and grants.
pub fn rows(scale: &Scale) -> Fallible<Vec<Row>> {
    let (fresh, fresh_memory) = starts(0)?;
    let many = scale.of(MANY);
    let (full, full_memory) = starts(many)?;
    Ok(vec![
        Row::new("start/ready, fresh", fresh, "s"),
        Row::new("start/memory idle, fresh", fresh_memory, "MiB").bar(Bar::AtMost(64.0)),
        Row::new(format!("start/ready, {many} grants and agents"), full, "s").bar(Bar::AtMost(5.0)),
        Row::new(format!("start/memory idle, {many} grants and agents"), full_memory, "MiB").bar(Bar::AtMost(400.0)),
    ])
}

/// Seconds until ready and MiB then, the middle of several starts on one directory.
fn starts(agents: usize) -> Fallible<(f64, f64)> {
    let folder = tempfile::tempdir().map_err(text)?;
    let echo = Server::floor("mcp")?;
    let keys = product::keys()?;
    let filling = Filling { agents, keys: &keys, upstream: echo.address };
    let place = Place::fill(&folder.path().join("ours"), &filling)?.prepared()?;
    let (mut seconds, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let server = place.start()?;
        seconds.push(server.ready_after.as_secs_f64());
        memory.push(usage::resident(server.pid())?);
    }
    Ok((median(seconds), median(memory)))
}
