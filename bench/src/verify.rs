//! How fast `chancery-verify` checks a whole log on one core, against hashing the same leaves and nodes and no more.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use chancery_model::Position;
use chancery_tlog::bundle::Builder;
use chancery_tlog::{Checkpoint, Hash, Signer, leaf_hash, node_hash, salted_hash};

use crate::row::{Bar, Row};
use crate::scale::{ROUNDS, Scale, median};
use crate::{Fallible, text, usage, world};

const ENTRIES: usize = 1_000_000;
const ORIGIN: &str = "bench.example/log";
/// A body of a common size: the arguments of a call.
const BODY: &[u8] = &[b'{'; 180];
const SALT: [u8; 32] = [9; 32];

/// Without bodies, and with one an entry.
pub fn rows(scale: &Scale) -> Fallible<Vec<Row>> {
    let folder = tempfile::tempdir().map_err(text)?;
    let count = scale.of(ENTRIES);
    let bare = one(folder.path(), count, false)?;
    let full = one(folder.path(), count / 2, true)?;
    let named = |name: &str, (ours, floor): (f64, f64)| {
        Row::new(format!("verify/{name}"), ours, "1/s").beside("hashing the leaves and nodes alone", floor)
    };
    Ok(vec![
        named("entries on one core", bare).bar(Bar::AtLeast(1e6)),
        named("entries on one core, ratio", bare).bar(Bar::RatioAtLeast(0.5)),
        named("entries with a body each", full),
    ])
}

/// Entries a second of processor time: ours, and the floor.
fn one(folder: &Path, count: usize, bodies: bool) -> Fallible<(f64, f64)> {
    let bundle = bundle(folder, count, bodies)?;
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        floor.push(count as f64 / hashing(count, bodies));
        ours.push(count as f64 / verifying(&bundle)?);
    }
    std::fs::remove_file(&bundle).map_err(text)?;
    Ok((median(ours), median(floor)))
}

/// Writes a log of one writer as a bundle.
fn bundle(folder: &Path, count: usize, bodies: bool) -> Fallible<PathBuf> {
    let signer = Signer::from_seed(ORIGIN, &[3; 32]).map_err(text)?;
    let mut tree = chancery_tlog::Tree::new();
    chained(count, bodies, |entry| {
        tree.push(leaf_hash(entry));
        tree.take_filled();
        Ok(())
    })?;
    let checkpoint = Checkpoint::new(ORIGIN, tree.size(), tree.root());
    let note = checkpoint.sign(&signer).map_err(text)?;
    let path = folder.join("bundle.tar");
    let mut file = BufWriter::new(File::create(&path).map_err(text)?);
    let mut builder = Builder::new(&checkpoint, &note, signer.key());
    chained(count, bodies, |entry| {
        let body = bodies.then_some((0u8, &SALT, BODY));
        builder.push(entry, body).map_err(text)?;
        file.write_all(&builder.take()).map_err(text)
    })?;
    file.write_all(&builder.finish(&checkpoint).map_err(text)?).and_then(|()| file.flush()).map_err(text)?;
    Ok(path)
}

/// Every entry in turn, each holding the hash of the one before.
fn chained(count: usize, bodies: bool, mut each: impl FnMut(&[u8]) -> Fallible) -> Fallible {
    let commitment = chancery_model::Commitment { name: "arguments".to_owned(), hash: salted_hash(&SALT, BODY) };
    let commitments = if bodies { std::slice::from_ref(&commitment) } else { &[] };
    let sealed = world::intent(count).seal(commitments);
    let (mut prev, mut entry): (Hash, Vec<u8>) = ([0; 32], Vec::new());
    for seq in 0..count as u64 {
        entry.clear();
        sealed.finish(Position { writer: 0, seq }, &prev, &mut entry);
        prev = leaf_hash(&entry);
        each(&entry)?;
    }
    Ok(())
}

/// Seconds of processor time of the verifier, which must find the log sound.
fn verifying(bundle: &Path) -> Fallible<f64> {
    let own = std::env::current_exe().map_err(text)?;
    let before = usage::ended_children()?;
    let mut command = Command::new(own.with_file_name("chancery-verify"));
    let status = command.arg(bundle).stdout(Stdio::null()).status().map_err(|why| format!("{command:?}: {why}"))?;
    if !status.success() {
        return Err(format!("{command:?} refused the log ({status})"));
    }
    Ok((usage::ended_children()? - before).as_secs_f64())
}

/// Seconds of processor time for the hashes that no verifier can do without.
fn hashing(count: usize, bodies: bool) -> f64 {
    let entry = world::intent_bytes(count);
    let before = usage::this_thread();
    let mut last = [0; 32];
    for _ in 0..count {
        last = node_hash(&leaf_hash(std::hint::black_box(&entry)), &last);
        if bodies {
            std::hint::black_box(salted_hash(&SALT, std::hint::black_box(BODY)));
        }
    }
    std::hint::black_box(last);
    (usage::this_thread() - before).as_secs_f64()
}
