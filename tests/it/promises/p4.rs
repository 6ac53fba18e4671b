//! P4: any rewrite, truncation, reordering, fork or forgery of the log is detected offline with one old checkpoint.
//!
//! The log is made by the real recorder, and verified by the library that `chancery-verify` is a thin shell around.

mod log;
mod mutants;

use std::sync::atomic::{AtomicUsize, Ordering};

use chancery_tlog::{Checkpoint, Signer};
use chancery_verify::{Check, Failure, Options, verify};

use super::{Size, size};
use log::{File, Log, ORIGIN, pack, recorded, signer, unpack};
use mutants::{KINDS, mutant};

/// Entries and structural mutants.
fn sizes() -> (usize, usize) {
    match size() {
        Size::Small => (100, 1_000),
        Size::Full => (1_000, 10_000),
    }
}

const CHECKS: [Check; 9] = [
    Check::Archive,
    Check::Manifest,
    Check::Signature,
    Check::Root,
    Check::Tiles,
    Check::Chain,
    Check::Bodies,
    Check::Erasures,
    Check::Extends,
];

/// What was detected, in words; nothing if the bundle verified. A failure to read is neither.
fn detected(bundle: &[u8], options: &Options) -> Option<String> {
    match verify(bundle, options) {
        Ok(_) => None,
        Err(Failure::Detected(detected)) => Some(detected.to_string()),
        Err(Failure::Io(e)) => panic!("reading from memory failed: {e}"),
    }
}

fn without(check: Check) -> Options {
    Options { without: Some(check), ..Options::default() }
}

fn since(note: &str) -> Options {
    Options { checkpoint: Some(note.to_owned()), ..Options::default() }
}

/// Counts, on two threads, for how many of `0..count` the question is answered with yes.
fn count(count: usize, yes: impl Fn(usize) -> bool + Sync) -> usize {
    let found = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for half in 0..2 {
            let (yes, found) = (&yes, &found);
            scope.spawn(move || {
                let mine = (half..count).step_by(2).filter(|&i| yes(i)).count();
                found.fetch_add(mine, Ordering::Relaxed);
            });
        }
    });
    found.into_inner()
}

/// Flips one bit of byte `place`, another bit for each place.
fn flipped(bundle: &[u8], place: usize) -> Vec<u8> {
    let mut mutant = bundle.to_vec();
    mutant[place] ^= 1 << (place % 8);
    mutant
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_changed_byte_is_detected() {
    let (n, _) = sizes();
    let bundle = recorded(n).await;
    assert_eq!(detected(&bundle, &Options::default()), None);
    let full = Options::default();
    let found = count(bundle.len(), |place| {
        let seen = detected(&flipped(&bundle, place), &full).is_some();
        assert!(seen, "byte {place} of {} was changed, and nobody noticed", bundle.len());
        seen
    });
    println!("promise P4 bytes: {n} entries, each of {found} bytes of the bundle changed, all detected");
    assert_eq!(found, bundle.len());
}

/// The control of the test above: with a check taken away, changed bytes go unnoticed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verifier_with_a_check_removed_misses_changed_bytes() {
    let bundle = recorded(20).await;
    let mut told = vec![];
    for check in [Check::Archive, Check::Manifest, Check::Signature, Check::Tiles, Check::Bodies] {
        let options = without(check);
        let missed = count(bundle.len(), |place| detected(&flipped(&bundle, place), &options).is_none());
        assert!(missed > 0, "{check:?} is never needed");
        told.push(format!("{check:?} {missed}"));
    }
    println!("promise P4 control: of {} changed bytes a verifier misses without {}", bundle.len(), told.join(", "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_of_structure_is_detected() {
    let (n, structural) = sizes();
    let bundle = recorded(n.max(300)).await;
    let files = unpack(&bundle);
    assert!(pack(&files) == bundle, "the test's own archive is not the recorder's");
    let made = AtomicUsize::new(0);
    let full = Options::default();
    // Some mutants happen to be the original; twice as many are tried until enough were made.
    let found = count(structural * 2, |number| {
        let Some((name, bent)) = mutant(number, &files) else { return false };
        if made.fetch_add(1, Ordering::Relaxed) >= structural {
            made.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        let seen = detected(&bent, &full).is_some();
        assert!(seen, "mutant {number} ({name}) was not noticed");
        seen
    });
    let kinds = KINDS.len();
    println!("promise P4 structure: {found} mutants of {kinds} kinds, all detected");
    assert_eq!(found, structural);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_truncation_of_the_file_is_detected() {
    let bundle = recorded(30).await;
    let full = Options::default();
    let found = count(bundle.len(), |end| detected(&bundle[..end], &full).is_some());
    assert_eq!(found, bundle.len());
    let longer = [&bundle[..], &[0]].concat();
    assert!(detected(&longer, &full).is_some());
}

/// What only an older checkpoint can show, and what not even that can.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_rewritten_with_the_key_is_detected_only_with_an_older_checkpoint() {
    let (n, _) = sizes();
    let original = Log::of(&unpack(&recorded(n).await));
    let old = Log { entries: original.entries[..n / 2].to_vec() }.checkpoint(ORIGIN).sign(&signer()).unwrap();
    assert_eq!(detected(&original.signed(&signer()), &since(&old)), None);
    for i in 0..n {
        let mut fork = original.clone();
        fork.rewrite(i);
        let bundle = fork.signed(&signer());
        assert_eq!(detected(&bundle, &Options::default()), None, "entry {i}: nothing in the fork itself is wrong");
        let seen = detected(&bundle, &since(&old));
        assert_eq!(seen.is_some(), i < n / 2, "entry {i} rewritten, checkpoint at {}: {seen:?}", n / 2);
        assert_eq!(detected(&bundle, &Options { without: Some(Check::Extends), ..since(&old) }), None);
    }
    let shorter = Log { entries: original.entries[..n / 2 - 1].to_vec() }.signed(&signer());
    assert_eq!(detected(&shorter, &Options::default()), None);
    assert!(detected(&shorter, &since(&old)).is_some(), "an older copy was put back");
    println!(
        "promise P4 fork: {n} re-signed forks, detected with an older checkpoint where it covers the change, else not"
    );
}

/// Somebody rewrites the whole database, without the log's key or with one of their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_rewritten_without_the_key_is_detected() {
    let original = Log::of(&unpack(&recorded(60).await));
    let (checkpoint, full) = (original.checkpoint(ORIGIN), Options::default());
    let note = checkpoint.sign(&signer()).unwrap();
    let mut fork = original.clone();
    fork.rewrite(30);
    let under_old_note = fork.bundle(&checkpoint, &note, &signer());
    assert!(detected(&under_old_note, &full).is_some());
    assert_eq!(detected(&under_old_note, &without(Check::Root)), None, "control: no recomputed root");
    let stated = fork.checkpoint(ORIGIN);
    let signature = note.split_once("\n\n").unwrap().1;
    let forged = fork.bundle(&stated, &format!("{}\n{signature}", stated.text()), &signer());
    assert!(detected(&forged, &full).is_some());
    assert_eq!(detected(&forged, &without(Check::Signature)), None, "control: no signature");
    let theirs = Signer::from_seed(ORIGIN, &[66; 32]).unwrap();
    let own_key = fork.signed(&theirs);
    assert_eq!(detected(&own_key, &full), None, "with a key of their own, the bundle alone shows nothing");
    let known = Options { key: Some(signer().key().clone()), ..Options::default() };
    assert!(detected(&own_key, &known).is_some());
    assert!(detected(&own_key, &since(&note)).is_some());
}

/// The writer itself left something out, and everything above it was built honestly.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_in_a_chain_is_detected_though_tree_and_signature_fit() {
    let original = Log::of(&unpack(&recorded(40).await));
    for i in 0..39 {
        let mut gap = original.clone();
        gap.entries.remove(i);
        let bundle = gap.signed(&signer());
        let seen = detected(&bundle, &Options::default()).unwrap_or_default();
        assert!(seen.contains(&format!("entry {i} ")), "entry {i} left out: {seen}");
        // Without its erasure an erased body is missing too: then another check finds it.
        let erasure = original.entries[i].1.is_empty();
        assert!(erasure || detected(&bundle, &without(Check::Chain)).is_none(), "control: no chains, entry {i}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_taken_away_is_detected_unless_the_log_says_so() {
    let original = Log::of(&unpack(&recorded(40).await));
    for i in 0..40 {
        let mut poorer = original.clone();
        if poorer.entries[i].1.pop().is_none() {
            continue;
        }
        let bundle = poorer.signed(&signer());
        let seen = detected(&bundle, &Options::default()).unwrap_or_default();
        assert!(seen.contains("erased it"), "body of entry {i}: {seen}");
        assert_eq!(detected(&bundle, &without(Check::Erasures)), None, "control: no erasures");
    }
}

/// Every check has, above or here, a bundle that only it rejects.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_check_is_needed() {
    let bundle = recorded(40).await;
    let files = unpack(&bundle);
    let original = Log::of(&files);
    let old = Log { entries: original.entries[..20].to_vec() }.checkpoint(ORIGIN).sign(&signer()).unwrap();
    for check in CHECKS {
        let bent = only_for(check, &bundle, &files, &original);
        let seen = detected(&bent, &since(&old));
        assert!(seen.is_some(), "{check:?}: not detected at all");
        let options = Options { without: Some(check), ..since(&old) };
        assert_eq!(detected(&bent, &options), None, "{check:?}: another check found it as well ({seen:?})");
    }
}

fn only_for(check: Check, bundle: &[u8], files: &[File], original: &Log) -> Vec<u8> {
    let mut files = files.to_vec();
    let mut log = original.clone();
    let checkpoint = original.checkpoint(ORIGIN);
    let note = checkpoint.sign(&signer()).unwrap();
    match check {
        // The owner's name in the first header.
        Check::Archive => return flipped(bundle, 270),
        Check::Manifest => files[0].content = b"{\"format\":1}\n".to_vec(),
        Check::Signature => {
            let place = note.len() - 20;
            files[2].content[place] ^= 1;
        }
        Check::Root => {
            let last = log.entries.len() - 1;
            log.rewrite(last);
            return log.bundle(&checkpoint, &note, &signer());
        }
        Check::Tiles => {
            let tile = files.iter().position(|file| file.path.starts_with("tile/0/")).unwrap();
            files[tile].content[7] ^= 1;
        }
        Check::Chain => {
            // Two entries without bodies change places behind the old checkpoint.
            let (entry, bodies) = log.entries.pop().unwrap();
            log.entries.pop();
            log.entries.push((entry, bodies));
            return log.signed(&signer());
        }
        Check::Bodies => {
            let place = log.entries.iter().rposition(|(_, bodies)| !bodies.is_empty()).unwrap();
            log.entries[place].1[0].2.push(b'!');
            return log.signed(&signer());
        }
        Check::Erasures => {
            let place = log.entries.iter().rposition(|(_, bodies)| !bodies.is_empty()).unwrap();
            log.entries[place].1.clear();
            return log.signed(&signer());
        }
        Check::Extends => {
            log.rewrite(3);
            return log.signed(&signer());
        }
    }
    pack(&files)
}

/// A message that says where to look is half the find.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_entry_or_body_is_named() {
    let bundle = recorded(300).await;
    let files = unpack(&bundle);
    for i in [0, 1, 17, 255, 256, 299] {
        let mut log = Log::of(&files);
        let (checkpoint, full) = (log.checkpoint(ORIGIN), Options::default());
        let last = log.entries[i].0.len() - 1;
        log.entries[i].0[last] ^= 1;
        let rebuilt = unpack(&log.bundle(&checkpoint, &checkpoint.sign(&signer()).unwrap(), &signer()));
        let mut bent = files.clone();
        let group = bent.iter().position(|f| f.path.starts_with(&format!("tile/entries/{:03}", i / 256))).unwrap();
        bent[group].content.clone_from(&rebuilt[group].content);
        let seen = detected(&pack(&bent), &full).unwrap();
        assert!(seen.contains(&format!(": entry {i}: hash: expected ")), "entry {i}: {seen}");
    }
    let checkpoint = Checkpoint::new(ORIGIN, 0, chancery_tlog::EMPTY_ROOT);
    let empty = Log { entries: vec![] }.bundle(&checkpoint, &checkpoint.sign(&signer()).unwrap(), &signer());
    assert_eq!(detected(&empty, &Options::default()), None, "an empty log is a log");
}
