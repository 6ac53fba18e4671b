//! (a) The process is killed at random moments under load, again and again on the same data.

use std::thread::sleep;
use std::time::Duration;

use super::subject::Subject;
use super::{ACKNOWLEDGED, Seen, seeded};
use crate::promises::{Size, size};

const AUTHORS: &str = "64";

/// Kills until a claim is broken or all cycles are done; returns cycles, acknowledgements and the breach.
fn kill_again_and_again(cycles: u64, mode: &[&str]) -> (u64, usize, Option<String>) {
    let dir = tempfile::tempdir().unwrap();
    let random = seeded("kill -9");
    let mut seen = Seen::new();
    for cycle in 1..=cycles {
        let mut running = Subject::append_loop(dir.path(), &format!("k{cycle}"), mode).start();
        assert!(running.wait_until_ready(), "the process does not start again after {} kills", cycle - 1);
        sleep(Duration::from_micros(random.between(2_000, 150_000)));
        running.kill();
        seen.extend(running.end().1);
        if let Err(breach) = ACKNOWLEDGED.check(dir.path(), &seen) {
            return (cycle, seen.len(), Some(breach));
        }
    }
    (cycles, seen.len(), None)
}

#[test]
fn no_acknowledged_entry_is_lost_to_kill_9() {
    let cycles = if size() == Size::Full { 1_000 } else { 20 };
    let (cycles, acknowledged, breach) = kill_again_and_again(cycles, &["load", AUTHORS]);
    assert_eq!(breach, None);
    assert!(acknowledged > 100 * cycles as usize / 20, "only {acknowledged} acknowledgements: nothing was tried");
    println!("promise P1 kill -9: {cycles} kills, {acknowledged} acknowledged entries, 0 lost, every chain verified");
}

#[test]
fn acknowledging_before_the_commit_would_be_noticed() {
    let (cycles, _, breach) = kill_again_and_again(20, &["load", AUTHORS, "early"]);
    let breach = breach.expect("20 kills did not show that acknowledgements came too early");
    println!("promise P1 kill -9, negative control: breach after {cycles} kills ({breach})");
}
