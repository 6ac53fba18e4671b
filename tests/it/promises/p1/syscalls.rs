//! (c) A fault at every system call with which one append reaches the disk or its author.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;

use chancery_it::{Seeded, WallClock};
use chancery_model::{Body, Draft, Timestamp};
use chancery_store::{Config, Store};

use super::power::strace_or_skip;
use super::subject::{Subject, command};
use super::{ACKNOWLEDGED, Seen, block_on};
use crate::promises::{Size, size};

const CALLS: [&str; 9] =
    ["write", "writev", "pwrite64", "fsync", "fdatasync", "ftruncate", "fallocate", "rename", "unlink"];
const FAULTS: [&str; 3] = ["error=EIO", "error=ENOSPC", "signal=KILL"];

/// The call, what happens to it, and the how-manieth.
type Fault = (&'static str, &'static str, u32);

/// With this much in the write-ahead log, an append of `LARGE` bytes goes over the 32 MiB at which it is folded.
const WAL_BYTES: usize = 26 << 20;
/// In so many entries.
const HISTORY: usize = 13;
const LARGE: &str = "8000000";

/// No append makes more calls of one kind than this in one thread.
const MOST: u32 = 60;

/// Data with a history, as the process finds it.
fn history(dir: &Path) -> Seen {
    block_on(async {
        let config = Config::at(dir);
        let store = Store::open(&config, Arc::new(WallClock), Arc::new(Seeded::new(1))).await.unwrap();
        let mut seen = Seen::new();
        for n in 0..20 {
            let tag = format!("history {n}");
            let draft = Draft { at: Timestamp(1), detail: Some(tag.clone()), ..Draft::default() };
            seen.insert(tag, Some(store.append(draft).await.unwrap().position().seq));
        }
        store.close().await;
        seen
    })
}

fn copy(from: &Path, to: &Path) {
    for file in std::fs::read_dir(from).unwrap() {
        let path = file.unwrap().path();
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// Watches the process with `strace`, which makes the n-th such call in each thread fail. Returns once it watches.
fn inject(pid: u32, trace: &Path, call: &str, fault: &str, n: u32) -> Child {
    let mut strace = command("strace")
        .args(["-f", "-p", &pid.to_string(), "-o"])
        .arg(trace)
        .args(["-e", &format!("trace={call}"), "-e", &format!("inject={call}:{fault}:when={n}")])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(strace.stderr.as_mut().unwrap()).read_line(&mut said).unwrap();
    assert!(said.contains("attached"), "strace cannot watch: {said}");
    strace
}

/// Data as a kill leaves it: a write-ahead log so full that the next large append folds it into the database.
fn history_in_the_wal(dir: &Path) -> Seen {
    let scratch = tempfile::tempdir().unwrap();
    block_on(async {
        let config = Config::at(scratch.path());
        let store = Store::open(&config, Arc::new(WallClock), Arc::new(Seeded::new(1))).await.unwrap();
        let mut seen = Seen::new();
        for n in 0..HISTORY {
            let tag = format!("wal {n}");
            let bodies = vec![Body { name: "arguments", content: vec![7; WAL_BYTES / HISTORY] }];
            let draft = Draft { at: Timestamp(1), detail: Some(tag.clone()), bodies, ..Draft::default() };
            seen.insert(tag, Some(store.append(draft).await.unwrap().position().seq));
        }
        copy(scratch.path(), dir);
        store.close().await;
        seen
    })
}

/// One append with one fault; whether the fault was met, and the breach.
fn one_append(template: &Path, history: &Seen, fault: Fault, mode: &[&str]) -> (bool, Option<String>) {
    let (call, fault, n) = fault;
    let dir = tempfile::tempdir().unwrap();
    copy(template, dir.path());
    let trace = tempfile::NamedTempFile::new().unwrap();
    let mut running = Subject::append_loop(dir.path(), "one", mode).start();
    assert!(running.wait_until_ready());
    let mut strace = inject(running.child.id(), trace.path(), call, fault, n);
    running.send_line();
    let (_, mut seen) = running.end();
    strace.wait().unwrap();
    seen.extend(history.clone());
    let said = std::fs::read_to_string(trace.path()).unwrap();
    let met = said.contains("(INJECTED)") || said.contains("killed by SIGKILL");
    (met, ACKNOWLEDGED.check(dir.path(), &seen).err())
}

#[test]
fn no_fault_at_any_system_call_of_an_append_makes_a_false_acknowledgement() {
    if !strace_or_skip("faults at every system call") {
        return;
    }
    let template = tempfile::tempdir().unwrap();
    let history = history(template.path());
    let mut met = 0;
    let mut synced = 0;
    for (call, fault) in CALLS.iter().flat_map(|call| FAULTS.map(|fault| (*call, fault))) {
        for n in 1..=MOST {
            let (hit, breach) = one_append(template.path(), &history, (call, fault, n), &["once", "700"]);
            assert_eq!(breach, None, "{fault} at {call} number {n}");
            if !hit {
                break;
            }
            met += 1;
            synced += u32::from(call.ends_with("sync"));
        }
    }
    assert!(synced >= 3, "no sync was ever hit: nothing was tried");
    assert!(met >= 20, "only {met} faults were met: nothing was tried");
    println!("promise P1 system calls: {met} faults (EIO, ENOSPC, SIGKILL), each at a call of its own, 0 false");
}

/// The longest append there is: it also folds the write-ahead log into the database. Each of its syncs is hit; of its
/// thousands of writes a sample is, and only at full size.
#[test]
fn no_fault_while_the_log_is_folded_makes_a_false_acknowledgement() {
    if !strace_or_skip("faults at every system call") {
        return;
    }
    let template = tempfile::tempdir().unwrap();
    let history = history_in_the_wal(template.path());
    let (mut writes, mut syncs) = (0, 0);
    for fault in FAULTS {
        let breach = |call, n| {
            let (hit, breach) = one_append(template.path(), &history, (call, fault, n), &["once", LARGE]);
            assert_eq!(breach, None, "{fault} at {call} number {n}");
            hit
        };
        for call in ["fsync", "fdatasync"] {
            syncs += (1..MOST).take_while(|n| breach(call, *n)).count();
        }
        if size() == Size::Full {
            writes += (1..).step_by(97).take_while(|n| breach("pwrite64", *n)).count();
        }
    }
    assert!(syncs >= FAULTS.len() * 3, "only {syncs} syncs were hit: the log was not folded");
    println!("promise P1 system calls, while the log is folded: {syncs} faults at syncs, {writes} at writes, 0 false");
}

#[test]
fn acknowledging_before_the_first_write_would_be_noticed() {
    if !strace_or_skip("faults at every system call") {
        return;
    }
    let template = tempfile::tempdir().unwrap();
    let history = history(template.path());
    let (hit, breach) =
        one_append(template.path(), &history, ("pwrite64", "signal=KILL", 1), &["once", "700", "early"]);
    assert!(hit, "the process was not killed");
    let breach = breach.expect("a kill at the first write did not show that the acknowledgement came too early");
    println!("promise P1 system calls, negative control: {breach}");
}
