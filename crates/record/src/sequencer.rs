//! From durable entries to a signed tree: verify, then sign, then publish.

use std::collections::HashMap;
use std::time::Duration;

use chancery_model::{Position, Span};
use chancery_store::log::{self, Leaves, Publication, Sequenced};
use chancery_tlog::{Checkpoint, EMPTY_ROOT, Hash, Plan, Tile, Tree, leaf_hash, verify_consistency};

use crate::{RecordError, Recorder};

/// How often the sequencer looks for new entries: twice as often as an entry must be in the tree.
const EVERY: Duration = Duration::from_millis(500);
/// The job that one node has at a time, and how long it has it without saying that it still does.
const JOB: &str = "sequencer";
const TERM: Span = Span::seconds(3);
/// How often, and how many times, another node looks whether it was done.
const LOOK: Duration = Duration::from_millis(100);
const LOOKS: u32 = 100;
/// Entries taken into the tree in one step.
const STEP: u64 = 1 << 16;

impl Recorder {
    /// Puts everything that is durable into the tree and signs it. Returns the tree's size.
    ///
    /// Before anything is signed, the grown tree is proven consistent with the last signed checkpoint, from the tiles
    /// as they are stored; after a restart the new entries themselves are hashed again.
    ///
    /// # Errors
    /// [`RecordError::Inconsistent`] if what is stored is not what was signed: nothing was signed then.
    pub async fn sequence_once(&self) -> Result<u64, RecordError> {
        let this = self.clone();
        // In a task of its own, which goes on when whoever asked has left: a publication that is on its way to the
        // store must be known here, or the next one would publish the same entries again.
        tokio::spawn(async move { this.sequence_here_or_there().await })
            .await
            .map_err(|e| RecordError::Interrupted(e.to_string()))?
    }

    /// One node signs at a time. The others wait until it has signed what is durable now, and take over if it ended.
    async fn sequence_here_or_there(&self) -> Result<u64, RecordError> {
        let store = &self.inner.store;
        if !store.is_shared() {
            return self.sequence().await;
        }
        let ends = log::writers(store).await?;
        for _ in 0..LOOKS {
            if self.leads().await? {
                return self.sequence().await;
            }
            if log::is_sequenced(store, &ends).await? {
                return Ok(log::size(store).await?);
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(RecordError::Interrupted("the node that signs did not do so within ten seconds".to_owned()))
    }

    /// Is it this node that signs, for the next few seconds?
    async fn leads(&self) -> Result<bool, RecordError> {
        Ok(self.inner.store.lead(JOB, TERM).await?)
    }

    async fn sequence(&self) -> Result<u64, RecordError> {
        let mut held = self.inner.tree.lock().await;
        let shared = self.inner.store.is_shared();
        // Another node may have signed since.
        let signed = if shared { Some(log::size(&self.inner.store).await?) } else { None };
        let known = held.take().filter(|tree| signed.is_none_or(|signed| signed == tree.size()));
        // What comes from the database is hashed again, as after a restart.
        let from_disk = known.is_none() || shared;
        let mut tree = match known {
            Some(tree) => tree,
            None => self.load().await?,
        };
        loop {
            let runs = log::unsequenced(&self.inner.store, STEP).await?;
            if runs.is_empty() {
                break;
            }
            if from_disk {
                self.hash_again(&runs).await?;
            }
            tree = self.step(tree, &runs).await?;
        }
        let size = tree.size();
        *held = Some(tree);
        Ok(size)
    }

    /// Sequences at least once a second until `stop`; then waits for outcomes and sequences a last time. Where several
    /// nodes write, it is done by the one that has the job, and a database that is away is waited for.
    ///
    /// Where several nodes write and `sign` is false, another one signs, and this only waits for outcomes.
    ///
    /// # Errors
    /// The first error: the process should exit, since nothing can be recorded or signed any more.
    pub async fn run(self, stop: impl Future<Output = ()>, sign: bool) -> Result<(), RecordError> {
        if self.inner.store.is_shared() && !sign {
            stop.await;
            self.flush().await;
            return Ok(());
        }
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                _ = ticks.tick() => self.sequence_if_ours().await?,
            }
        }
        self.flush().await;
        self.sequence_if_ours().await?;
        // The next node need not wait until our term is over.
        drop(self.inner.store.lead(JOB, Span(0)).await);
        Ok(())
    }

    async fn sequence_if_ours(&self) -> Result<(), RecordError> {
        if !self.inner.store.is_shared() {
            return self.sequence_once().await.map(drop);
        }
        let done = match self.leads().await {
            Ok(true) => self.sequence_once().await.map(drop),
            Ok(false) => Ok(()),
            Err(e) => Err(e),
        };
        match done {
            Err(e) if !matches!(e, RecordError::Inconsistent(_)) && !self.inner.store.has_failed() => {
                tracing::warn!(error = %e, "the log was not signed this time");
                Ok(())
            }
            done => done,
        }
    }

    /// The tree as it was last signed. A log without a checkpoint gets one over nothing.
    async fn load(&self) -> Result<Tree, RecordError> {
        let Some(signed) = self.checkpoint().await? else {
            self.publish(Vec::new(), Vec::new(), 0, EMPTY_ROOT).await?;
            return Ok(Tree::new());
        };
        let mut tiles = self.tiles(&Tree::edge(signed.checkpoint.size)).await?;
        let tree = Tree::resume(signed.checkpoint.size, |tile| tiles.remove(&tile))
            .map_err(|e| RecordError::Inconsistent(e.to_string()))?;
        if tree.root() == signed.checkpoint.root {
            return Ok(tree);
        }
        Err(RecordError::Inconsistent("the stored tiles lead to another root than the newest checkpoint".to_owned()))
    }

    /// Takes the runs into the tree, verifies, signs, publishes.
    async fn step(&self, mut tree: Tree, runs: &[Leaves]) -> Result<Tree, RecordError> {
        let first_index = tree.size();
        for leaf in runs.iter().flat_map(Leaves::hashes) {
            tree.push(*leaf);
        }
        let changed = tree.take_changed();
        self.consistent(first_index, &tree, &changed).await?;
        self.publish(changed, sequence(first_index, runs), tree.size(), tree.root()).await?;
        Ok(tree)
    }

    /// Proves the grown tree consistent with the newest signed checkpoint, as any auditor would.
    async fn consistent(&self, old: u64, tree: &Tree, changed: &[(Tile, Vec<u8>)]) -> Result<(), RecordError> {
        let refuse = |why: &str| RecordError::Inconsistent(why.to_owned());
        let signed = self.checkpoint().await?.ok_or_else(|| refuse("the newest checkpoint is gone"))?;
        if signed.checkpoint.size > old && self.inner.store.is_shared() {
            return Err(RecordError::Interrupted("another node signed meanwhile".to_owned()));
        }
        if signed.checkpoint.size != old {
            return Err(refuse("the newest checkpoint is not the one that was signed last"));
        }
        let plan = Plan::consistency(old, tree.size())?;
        let fresh: HashMap<Tile, &[u8]> = changed.iter().map(|(tile, hashes)| (*tile, hashes.as_slice())).collect();
        let others: Vec<Tile> = plan.tiles().into_iter().filter(|tile| !fresh.contains_key(tile)).collect();
        let stored = self.tiles(&others).await?;
        let look = |tile| fresh.get(&tile).copied().or_else(|| stored.get(&tile).map(Vec::as_slice));
        let proof = plan.resolve(look)?;
        verify_consistency((old, &signed.checkpoint.root), (tree.size(), &tree.root()), &proof)
            .map_err(|e| RecordError::Inconsistent(format!("the grown tree does not extend the signed one: {e}")))
    }

    async fn publish(
        &self,
        tiles: Vec<(Tile, Vec<u8>)>,
        sequence: Vec<Sequenced>,
        size: u64,
        root: Hash,
    ) -> Result<(), RecordError> {
        let stored = |(tile, hashes): (Tile, Vec<u8>)| {
            let Tile { level, index, width } = tile;
            log::Tile { level, index, width, hashes }
        };
        let note = Checkpoint::new(self.key().name(), size, root).sign(&self.inner.signer)?;
        let checkpoint = log::Checkpoint { size, note, signed_at: self.inner.clock.now() };
        let publication = Publication { tiles: tiles.into_iter().map(stored).collect(), sequence, checkpoint };
        Ok(log::publish(&self.inner.store, publication).await?)
    }

    /// The stored tiles, each as wide as it is by now.
    pub(crate) async fn tiles(&self, wanted: &[Tile]) -> Result<HashMap<Tile, Vec<u8>>, RecordError> {
        let mut tiles = HashMap::new();
        for tile in wanted {
            if let Some(stored) = log::tile(&self.inner.store, tile.level, tile.index).await? {
                tiles.insert(*tile, stored.hashes);
            }
        }
        Ok(tiles)
    }

    /// Hashes the entries of these runs again: after a restart the leaves come from the disk.
    async fn hash_again(&self, runs: &[Leaves]) -> Result<(), RecordError> {
        for run in runs {
            let mut scan = log::forward(&self.inner.store, Position { writer: run.writer, seq: run.first_seq });
            let mut leaves = (run.first_seq..).zip(run.hashes());
            let mut left = run.count();
            while left > 0 {
                let segment = scan.next().await?.ok_or_else(|| RecordError::Inconsistent("entries are gone".into()))?;
                for ((seq, leaf), (position, entry)) in leaves.by_ref().zip(segment.entries()).take(left as usize) {
                    if position.seq != seq || leaf_hash(entry) != *leaf {
                        return Err(RecordError::Inconsistent(format!("entry {seq} is not what was hashed")));
                    }
                    left -= 1;
                }
            }
        }
        Ok(())
    }
}

/// The order these runs have in the tree, neighbours of one writer joined.
fn sequence(mut first_index: u64, runs: &[Leaves]) -> Vec<Sequenced> {
    let mut order: Vec<Sequenced> = Vec::new();
    for run in runs {
        match order.last_mut() {
            Some(last) if last.writer == run.writer && last.first_seq + last.count == run.first_seq => {
                last.count += run.count();
            }
            _ => {
                order.push(Sequenced { first_index, writer: run.writer, first_seq: run.first_seq, count: run.count() })
            }
        }
        first_index += run.count();
    }
    order
}
