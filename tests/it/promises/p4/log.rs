//! A log in pieces: made by the real recorder, taken apart, bent, and put together again.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use chancery_model::{ActResult, Body, Clock, Draft, Entry, Kind, Outcome, Position, Random, Timestamp, What, Who};
use chancery_record::Recorder;
use chancery_store::{Config, Store};
use chancery_tlog::bundle::{BLOCK, Builder, END, push_member, read_header, take_body};
use chancery_tlog::{Checkpoint, Entries, Hash, Signer, Tree, leaf_hash, sha256};

pub const ORIGIN: &str = "log.example/p4";

pub fn signer() -> Signer {
    Signer::from_seed(ORIGIN, &[4; 32]).unwrap()
}

/// The log of a run of the real recorder: `n` entries, every tenth act's arguments erased.
pub async fn recorded(n: usize) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(Ticking(AtomicI64::new(1_795_000_000_000_000)));
    let config = Config::at(directory.path().join("data"));
    let store = Store::open(&config, Arc::clone(&clock), Arc::new(Counting(AtomicU64::new(0)))).await.unwrap();
    let recorder = Recorder::new(store, signer(), clock);
    let mut written = 0;
    for act in 0.. {
        if written + 3 > n {
            break;
        }
        let receipt = recorder.before(intent(act)).await.unwrap();
        recorder.after(receipt.position(), outcome(act)).await;
        recorder.flush().await;
        written += 2;
        if act % 10 == 9 {
            recorder.erase_body(receipt.position(), "arguments", Who::default(), None).await.unwrap();
            written += 1;
        }
    }
    while written < n {
        recorder.decided(Draft { decision: Some(Outcome::Deny), ..Draft::default() }).await.unwrap();
        written += 1;
    }
    let mut bundle = Vec::new();
    let signed = recorder.export_to(&mut bundle, |_, _| {}).await.unwrap();
    assert_eq!(signed.checkpoint.size, n as u64);
    recorder.store().close().await;
    bundle
}

fn intent(act: usize) -> Draft {
    Draft {
        kind: Kind::Intent,
        at: Timestamp(1_795_000_000_000_000 + act as i64),
        who: Who { agent: Some("agt_1".into()), human: Some("mara@acme.example".into()), ..Who::default() },
        what: What { server: Some("billing".into()), tool: Some("refund".into()), ..What::default() },
        decision: Some(Outcome::Allow),
        bodies: vec![Body { name: "arguments", content: format!("{{\"invoice\":{act}}}").into_bytes() }],
        ..Draft::default()
    }
}

fn outcome(act: usize) -> Draft {
    let bodies = vec![Body { name: "result", content: format!("refunded {act}").into_bytes() }];
    Draft { result: Some(ActResult::Succeeded), bodies, ..Draft::default() }
}

struct Ticking(AtomicI64);
impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.fetch_add(1, Ordering::Relaxed))
    }
    fn monotonic(&self) -> Timestamp {
        self.now()
    }
}

struct Counting(AtomicU64);
impl Random for Counting {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(32) {
            let hash = sha256(&self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes());
            chunk.copy_from_slice(&hash[..chunk.len()]);
        }
    }
}

/// A file of the archive.
#[derive(Clone, PartialEq)]
pub struct File {
    pub path: String,
    pub content: Vec<u8>,
}

/// Takes an archive apart.
pub fn unpack(bundle: &[u8]) -> Vec<File> {
    let mut rest = bundle;
    let mut files = vec![];
    while rest != END {
        let (path, length) = read_header(rest.first_chunk().unwrap()).unwrap();
        let length = length as usize;
        files.push(File { path: path.to_owned(), content: rest[BLOCK..BLOCK + length].to_vec() });
        rest = &rest[BLOCK + length.next_multiple_of(BLOCK)..];
    }
    files
}

/// Puts an archive together, in good form whatever is in it.
pub fn pack(files: &[File]) -> Vec<u8> {
    let mut bundle = vec![];
    files.iter().for_each(|file| push_member(&mut bundle, &file.path, &file.content));
    bundle.extend_from_slice(&END);
    bundle
}

/// Which commitment of its entry it is the body of, salt, content.
pub type StoredBody = (u8, Hash, Vec<u8>);

/// The entries of a log with their bodies: what an administrator with the whole database in hand can rewrite.
#[derive(Clone)]
pub struct Log {
    pub entries: Vec<(Vec<u8>, Vec<StoredBody>)>,
}

impl Log {
    pub fn of(files: &[File]) -> Self {
        let mut entries: Vec<(Vec<u8>, Vec<StoredBody>)> = vec![];
        for file in files {
            if file.path.starts_with("tile/entries/") {
                entries.extend(Entries::new(&file.content).map(|entry| (entry.unwrap().to_vec(), vec![])));
            } else if file.path.starts_with("bodies/") {
                let group = (entries.len() - 1) / 256 * 256;
                let mut rest = &file.content[..];
                while let Some(body) = take_body(&mut rest) {
                    let stored = (body.commitment, *body.salt, body.content.to_vec());
                    entries[group + usize::from(body.entry)].1.push(stored);
                }
            }
        }
        Self { entries }
    }

    pub fn root(&self) -> Hash {
        let mut tree = Tree::new();
        self.entries.iter().for_each(|(entry, _)| tree.push(leaf_hash(entry)));
        tree.root()
    }

    pub fn checkpoint(&self, origin: &str) -> Checkpoint {
        Checkpoint::new(origin, self.entries.len() as u64, self.root())
    }

    /// The bundle of these entries under `note`, whether or not the note is theirs.
    pub fn bundle(&self, checkpoint: &Checkpoint, note: &str, signer: &Signer) -> Vec<u8> {
        let mut builder = Builder::new(checkpoint, note, signer.key());
        for (entry, bodies) in &self.entries {
            let bodies = bodies.iter().map(|(number, salt, content)| (*number, salt, content.as_slice()));
            builder.push(entry, bodies).unwrap();
        }
        builder.close()
    }

    /// The bundle of these entries, signed anew.
    pub fn signed(&self, signer: &Signer) -> Vec<u8> {
        let checkpoint = self.checkpoint(ORIGIN);
        self.bundle(&checkpoint, &checkpoint.sign(signer).unwrap(), signer)
    }

    /// Chains the entries anew, as their writer would have: sequence numbers and hashes fit again.
    pub fn chain(&mut self) {
        let mut prev = [0; 32];
        for (seq, (bytes, _)) in self.entries.iter_mut().enumerate() {
            let entry = Entry::decode(bytes).unwrap();
            bytes.clear();
            let position = Position { writer: 0, seq: seq as u64 };
            entry.draft.seal(&entry.header.commitments).finish(position, &prev, bytes);
            prev = leaf_hash(bytes);
        }
    }

    /// Says something else in entry `i`, and makes everything after it fit.
    pub fn rewrite(&mut self, i: usize) {
        let (bytes, _) = &mut self.entries[i];
        let mut entry = Entry::decode(bytes).unwrap();
        entry.draft.who.human = Some("somebody else".into());
        bytes.clear();
        entry.draft.seal(&entry.header.commitments).finish(entry.header.position, &entry.header.prev, bytes);
        self.chain();
    }
}
