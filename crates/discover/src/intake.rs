//! A sweep on its way into the inventory.

use std::collections::{BTreeMap, HashMap, HashSet};

use chancery_model::{
    Change, Coverage, CoverageStatus, Finding, Gap, NodeKind, Object, ObjectState, Severity, Sweep, SweepId,
    SweepStatus, Timestamp,
};
use chancery_store::objects::{Mark, Put, Stamp};
use chancery_store::{StoreError, adoptions, findings, objects, sha256, sweeps};
use serde_json::json;

use crate::judge::{MISSES, hides, is_mass};
use crate::{DiscoverError, Discovery, Stated, faulty};

/// Objects of one commit: so many that a commit is cheap for each, so few that nobody waits for it.
const BATCH: usize = 500;
/// A sweep that wrote nothing down for so long broke off.
const SILENT: chancery_model::Span = chancery_model::Span::minutes(10);
/// Clocks of other machines may be ahead by so much.
const AHEAD: chancery_model::Span = chancery_model::Span::minutes(5);
/// The most bytes that are said of one object.
const LARGEST: usize = 256 * 1024;
/// The most gaps that are written down one by one.
const GAPS: usize = 1_000;

/// The rule: something that was gone is there again.
pub(crate) const GHOST: &str = "LIF-3";
/// The rule: an agent is there that nobody registered.
const SHADOW: &str = Finding::SHADOW;
/// The rule: so much was not seen at once that nothing of it is called missing.
pub(crate) const MASS: &str = "mass-disappearance";

/// Which sweep begins.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// Which system.
    pub source: &'a str,
    /// Which part of it.
    pub scope: &'a str,
    /// Of when its state is.
    pub observed_at: Timestamp,
    /// Who makes it.
    pub by: &'a str,
}

/// What a sweep looked at, as it says at its end.
#[derive(Clone, Debug, Default)]
pub struct Ended {
    /// Of each kind, whether all of it was looked at. A kind that is not here was not looked at completely.
    pub coverage: BTreeMap<NodeKind, CoverageStatus>,
    /// What was not looked at.
    pub gaps: Vec<Gap>,
    /// Why it is not complete, where that has one reason.
    pub why: Option<String>,
}

/// What is known of an object of the scope.
struct Slot {
    id: u64,
    digest: Digest,
    kind: NodeKind,
    state: ObjectState,
    misses: u32,
    seen: bool,
}

/// The beginning of a SHA-256: what is compared, 128 bits of it.
type Digest = u128;

/// A sweep that goes on. What it saw stays known even if it never ends; what it did not see is judged at its end only.
pub struct Intake<'d> {
    room: &'d Discovery,
    sweep: Sweep,
    known: HashMap<Digest, Slot>,
    counts: BTreeMap<NodeKind, Coverage>,
    batch: Vec<(Digest, Put)>,
    found: Vec<Finding>,
    gaps: Vec<Gap>,
    stated: Vec<Stated>,
}

impl Discovery {
    /// Begins a sweep.
    ///
    /// # Errors
    /// One of this source and scope goes on, a later state is known, a name is none, or the store failed.
    pub async fn begin(&self, opening: Opening<'_>) -> Result<Intake<'_>, DiscoverError> {
        let now = self.clock.now();
        let (source, scope) = (opening.source.to_owned(), opening.scope.to_owned());
        let nul = source.contains('\0') || scope.contains('\0');
        if source.is_empty() || source.chars().count() > 200 || scope.chars().count() > 1_000 || nul {
            return Err(DiscoverError::Name);
        }
        if opening.observed_at > now + AHEAD {
            return Err(DiscoverError::Future(opening.observed_at.rfc3339()));
        }
        let sweep = Sweep {
            id: SweepId::new(now, &*self.random),
            source,
            scope,
            by: opening.by.to_owned(),
            observed_at: opening.observed_at,
            begun_at: now,
            touched_at: now,
            status: SweepStatus::Running,
            why: None,
            coverage: Vec::new(),
            gaps: Vec::new(),
            answer: None,
        };
        let (draft, new) = (drafted(&sweep, now, "begin", &summary(&sweep)), sweep.clone());
        self.store.write(draft, move |tx| Box::pin(async move { insert(tx, &new).await })).await?;
        let mut known = HashMap::new();
        objects::known(&self.store, (&sweep.source, &sweep.scope), |one| {
            let kind = one.urn.parse::<chancery_model::Urn>().map(|urn| urn.kind());
            if let Ok(kind) = kind {
                let (id, state, misses) = (one.id, one.state, one.misses);
                let digest = Digest::from_str_radix(&one.digest, 16).unwrap_or_default();
                known.insert(short(one.urn.as_bytes()), Slot { id, digest, kind, state, misses, seen: false });
            }
        })
        .await?;
        let (counts, batch) = (BTreeMap::new(), Vec::new());
        Ok(Intake { room: self, sweep, known, counts, batch, found: Vec::new(), gaps: Vec::new(), stated: Vec::new() })
    }
}

async fn insert(tx: &mut chancery_store::Tx, sweep: &Sweep) -> Result<(), StoreError> {
    let place = (sweep.source.as_str(), sweep.scope.as_str());
    if let Some(running) = sweeps::newest(&mut *tx, place, true).await? {
        if running.touched_at + SILENT > sweep.begun_at {
            return Err(StoreError::refuse(DiscoverError::Running { by: running.by, id: running.id }));
        }
        let why = Some("it broke off".to_owned());
        sweeps::end(tx, &Sweep { status: SweepStatus::Failed, why, ..running }).await?;
    }
    let known = sweeps::newest(&mut *tx, place, false).await?;
    if let Some(known) = known.filter(|known| known.observed_at > sweep.observed_at) {
        let (known, stated) = (known.observed_at.rfc3339(), sweep.observed_at.rfc3339());
        return Err(StoreError::refuse(DiscoverError::Older { known, stated }));
    }
    sweeps::insert(tx, sweep).await
}

impl Intake<'_> {
    /// Its id.
    pub fn id(&self) -> &SweepId {
        &self.sweep.id
    }

    /// Which system and part of it.
    pub fn place(&self) -> (&str, &str) {
        (&self.sweep.source, &self.sweep.scope)
    }

    /// Something that is there. The same object twice counts once, as it was first.
    ///
    /// # Errors
    /// It is not of this source and scope, the sweep is over, or the store failed.
    pub async fn see(&mut self, object: Object) -> Result<(), DiscoverError> {
        let kind = object.urn.kind();
        if (object.urn.source(), object.urn.scope()) != (self.sweep.source.clone(), self.sweep.scope.clone()) {
            return Err(DiscoverError::NoObject(object.urn.to_string()));
        }
        let text = serde_json::to_vec(&object.is).unwrap_or_default();
        if text.len() > LARGEST || text.windows(6).any(|six| six == b"\\u0000") {
            let reason = format!("what is said of it cannot be kept: {} bytes, or a NUL character in it", text.len());
            self.gap(Gap { path: object.is.within.unwrap_or_else(|| object.urn.to_string()), reason });
            return Ok(());
        }
        let (name, digest) = (short(object.urn.as_str().as_bytes()), short(&text));
        let count = self.counts.entry(kind).or_insert_with(|| nothing(kind));
        let before = match self.known.get_mut(&name) {
            Some(slot) if slot.seen => return Ok(()),
            Some(slot) => {
                slot.seen = true;
                let before = (slot.id, slot.digest, slot.state);
                (slot.digest, slot.state, slot.misses) = (digest, ObjectState::Present, 0);
                Some(before)
            }
            None => {
                let slot = Slot { id: 0, digest, kind, state: ObjectState::Present, misses: 0, seen: true };
                self.known.insert(name, slot);
                None
            }
        };
        count.seen += 1;
        let id = match before {
            None => {
                count.added += 1;
                None
            }
            Some((_, was, ObjectState::Present)) if was == digest => return Ok(()),
            Some((id, was, state)) => {
                count.changed += u64::from(was != digest);
                count.returned += u64::from(state != ObjectState::Present);
                Some((id, state))
            }
        };
        if id.is_some_and(|(_, state)| state == ObjectState::Gone) && is_somebody(kind) {
            self.found.push(ghost(&object, &self.sweep));
        }
        if kind == NodeKind::AiAgent && id.is_none_or(|(_, state)| state == ObjectState::Gone) {
            self.found.push(shadow(&object, &self.sweep));
        }
        let put = Put { id: id.map(|(id, _)| id), object, digest: format!("{digest:032x}") };
        self.batch.push((name, put));
        if self.batch.len() >= BATCH { self.flush().await } else { Ok(()) }
    }

    /// Something that was not looked at, as it was met on the way.
    pub fn gap(&mut self, gap: Gap) {
        self.gaps.push(gap);
    }

    /// Something that is wrong with an object of this source and scope.
    ///
    /// # Errors
    /// It is about an object of elsewhere.
    pub fn find(&mut self, stated: Stated) -> Result<(), DiscoverError> {
        if (stated.subject.source(), stated.subject.scope()) != (self.sweep.source.clone(), self.sweep.scope.clone()) {
            return Err(DiscoverError::NoObject(stated.subject.to_string()));
        }
        self.stated.push(stated);
        Ok(())
    }

    /// Writes down what was seen and is new.
    ///
    /// # Errors
    /// The sweep is over, or the store failed.
    pub async fn flush(&mut self) -> Result<(), DiscoverError> {
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        let (names, puts): (Vec<Digest>, Vec<Put>) = batch.into_iter().unzip();
        let text: Vec<(&str, &str)> = puts.iter().map(|put| (put.object.urn.as_str(), put.digest.as_str())).collect();
        let digest = sha256(&serde_json::to_vec(&text).unwrap_or_default());
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let now = self.room.clock.now();
        let draft = drafted(&self.sweep, now, "observe", &json!({"objects": puts.len(), "sha256": hex}));
        let (stamp, found) = (self.stamp(now), std::mem::take(&mut self.found));
        let write = self.room.store.write(draft, move |tx| {
            Box::pin(async move {
                running(tx, &stamp).await?;
                for finding in &found {
                    open(tx, finding).await?;
                }
                objects::put(tx, &stamp, &puts).await
            })
        });
        for (name, id) in names.iter().zip(write.await?.value) {
            if let Some(slot) = self.known.get_mut(name) {
                slot.id = id;
            }
        }
        Ok(())
    }

    /// Ends it, and judges what it did not see.
    ///
    /// # Errors
    /// The sweep is over, or the store failed; then nothing that was not judged yet is missing.
    pub async fn end(mut self, ended: Ended) -> Result<Sweep, DiscoverError> {
        self.flush().await?;
        self.settle_findings().await?;
        let mut gaps = std::mem::take(&mut self.gaps);
        gaps.extend(ended.gaps);
        gaps.sort();
        gaps.dedup();
        for kind in ended.coverage.keys() {
            self.counts.entry(*kind).or_insert_with(|| nothing(*kind));
        }
        for count in self.counts.values_mut() {
            count.status = ended.coverage.get(&count.kind).copied().unwrap_or(CoverageStatus::Partial);
        }
        let (marks, held) = self.judge(&gaps).await?;
        for some in marks.chunks(BATCH) {
            let now = self.room.clock.now();
            let draft = drafted(&self.sweep, now, "miss", &json!({"objects": some.len()}));
            let (stamp, some) = (self.stamp(now), some.to_vec());
            let write = self.room.store.write(draft, move |tx| {
                Box::pin(async move {
                    running(tx, &stamp).await?;
                    for gone in some.iter().filter(|mark| mark.state == ObjectState::Gone) {
                        findings::close(tx, SHADOW, &gone.urn, stamp.recorded_at).await?;
                    }
                    objects::mark(tx, &stamp, &some).await
                })
            });
            write.await?;
        }
        self.close(gaps, ended.why, held).await
    }

    /// Opens what is wrong, and closes what is not wrong any more with what was seen.
    async fn settle_findings(&mut self) -> Result<(), DiscoverError> {
        let open = findings::open_ones(&self.room.store).await?;
        let known: HashSet<(&str, &str)> = open.iter().map(|one| (one.rule.as_str(), one.subject.as_str())).collect();
        let stated = faulty::by_subject(std::mem::take(&mut self.stated), self.sweep.begun_at);
        let is_seen = |subject: &str| self.known.get(&short(subject.as_bytes())).is_some_and(|slot| slot.seen);
        let closed = faulty::settled(&open, &stated, is_seen);
        let closed: Vec<(String, String)> = closed.into_iter().map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
        let new = |one: &&Finding| !known.contains(&(one.rule.as_str(), one.subject.as_str()));
        let opened: Vec<Finding> = stated.iter().filter(new).cloned().collect();
        let rounds = opened.len().max(closed.len()).div_ceil(BATCH);
        for round in 0..rounds {
            let some = |length: usize| (round * BATCH).min(length)..((round + 1) * BATCH).min(length);
            let (opened, closed) = (opened[some(opened.len())].to_vec(), closed[some(closed.len())].to_vec());
            let (now, counts) = (self.room.clock.now(), json!({"opened": opened.len(), "closed": closed.len()}));
            let draft = drafted(&self.sweep, now, "find", &counts);
            let stamp = self.stamp(now);
            let write = self.room.store.write(draft, move |tx| {
                Box::pin(async move {
                    running(tx, &stamp).await?;
                    faulty::write(tx, &opened, &closed, stamp.recorded_at).await
                })
            });
            write.await?;
        }
        Ok(())
    }

    /// Who is missing or gone from now on, and who is held.
    async fn judge(&mut self, gaps: &[Gap]) -> Result<(Vec<Mark>, Vec<u64>), DiscoverError> {
        let complete = |counts: &BTreeMap<NodeKind, Coverage>, kind: NodeKind| {
            counts.get(&kind).is_some_and(|count| count.status == CoverageStatus::Complete)
        };
        let unseen = |slot: &Slot| !slot.seen && slot.state != ObjectState::Gone;
        let judged: HashMap<u64, &Slot> = (self.known.values())
            .filter(|slot| unseen(slot) && complete(&self.counts, slot.kind))
            .map(|slot| (slot.id, slot))
            .collect();
        if judged.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let mut absent: BTreeMap<NodeKind, Vec<Mark>> = BTreeMap::new();
        let (mut marks, mut held) = (Vec::new(), Vec::new());
        for (id, urn, within) in objects::places(&self.room.store, self.place()).await? {
            let Some(slot) = judged.get(&id).filter(|_| !hides(gaps, within.as_deref())) else { continue };
            let misses = slot.misses + 1;
            let state = if misses >= MISSES { ObjectState::Gone } else { ObjectState::Missing };
            let mark = Mark { id, urn, state, misses };
            match slot.state {
                ObjectState::Present => absent.entry(slot.kind).or_default().push(mark),
                _ => {
                    if let Some(count) = self.counts.get_mut(&slot.kind) {
                        count.gone += u64::from(state == ObjectState::Gone);
                    }
                    marks.push(mark);
                }
            }
        }
        for (kind, absent) in absent {
            let there = self.known.values().filter(|slot| slot.kind == kind && slot.state == ObjectState::Present);
            let (missing, present) = (absent.len() as u64, there.count() as u64);
            let Some(count) = self.counts.get_mut(&kind) else { continue };
            if is_mass(missing, present) {
                count.held = missing;
                held.extend(absent.into_iter().map(|mark| mark.id));
            } else {
                count.missing = missing;
                marks.extend(absent);
            }
        }
        Ok((marks, held))
    }

    async fn close(self, mut gaps: Vec<Gap>, why: Option<String>, held: Vec<u64>) -> Result<Sweep, DiscoverError> {
        let now = self.room.clock.now();
        let all = self.counts.values().all(|count| count.status == CoverageStatus::Complete);
        let status = if all && why.is_none() { SweepStatus::Complete } else { SweepStatus::Partial };
        if gaps.len() > GAPS {
            let rest = gaps.split_off(GAPS).len();
            gaps.push(Gap { path: String::new(), reason: format!("and {rest} more gaps, which the sweep stated") });
        }
        let coverage = self.counts.into_values().collect();
        let sweep = Sweep { touched_at: now, status, why, coverage, gaps, ..self.sweep };
        let (draft, done) = (drafted(&sweep, now, "end", &summary(&sweep)), sweep.clone());
        let write = self.room.store.write(draft, move |tx| {
            Box::pin(async move {
                if !sweeps::end(tx, &done).await? {
                    return Err(StoreError::refuse(DiscoverError::Over(done.id)));
                }
                objects::hold(tx, &done.id, &held).await?;
                let subject = format!("{}:{}", done.source, done.scope);
                if held.is_empty() {
                    return findings::close(tx, MASS, &subject, done.touched_at).await.map(drop);
                }
                findings::open(tx, &mass(&done, subject)).await
            })
        });
        write.await?;
        Ok(sweep)
    }

    fn stamp(&self, now: Timestamp) -> Stamp {
        Stamp { sweep: self.sweep.id.clone(), observed_at: self.sweep.observed_at, recorded_at: now }
    }
}

async fn running(tx: &mut chancery_store::Tx, stamp: &Stamp) -> Result<(), StoreError> {
    match sweeps::touch(tx, &stamp.sweep, stamp.recorded_at).await? {
        true => Ok(()),
        false => Err(StoreError::refuse(DiscoverError::Over(stamp.sweep.clone()))),
    }
}

/// Whether it acts or lets somebody act: what comes back from the dead matters there.
const fn is_somebody(kind: NodeKind) -> bool {
    use NodeKind as K;
    !matches!(
        kind,
        K::Tool
            | K::Model
            | K::Memory
            | K::Task
            | K::CodeLocation
            | K::Tenant
            | K::Resource
            | K::Policy
            | K::Human
            | K::Team
    )
}

/// Nobody is a shadow whom somebody adopted.
async fn open(tx: &mut chancery_store::Tx, finding: &Finding) -> Result<(), StoreError> {
    if finding.rule == SHADOW
        && let Ok(urn) = finding.subject.parse()
        && adoptions::of_object(&mut *tx, &urn).await?.is_some()
    {
        return Ok(());
    }
    findings::open(tx, finding).await
}

fn shadow(object: &Object, sweep: &Sweep) -> Finding {
    let place = object.is.within.as_deref().map(|within| format!(" at {within}")).unwrap_or_default();
    Finding {
        rule: SHADOW.to_owned(),
        subject: object.urn.to_string(),
        severity: Severity::Medium,
        evidence: format!(
            "`{}` is in {} {}{place}, and nobody registered it",
            object.is.name, sweep.source, sweep.scope
        ),
        owasp: "NHI1".to_owned(),
        opened_at: sweep.begun_at,
        closed_at: None,
    }
}

fn ghost(object: &Object, sweep: &Sweep) -> Finding {
    Finding {
        rule: GHOST.to_owned(),
        subject: object.urn.to_string(),
        severity: Severity::High,
        evidence: format!("`{}` was gone from {} and is there again ({})", object.is.name, sweep.source, sweep.id),
        owasp: "NHI1".to_owned(),
        opened_at: sweep.begun_at,
        closed_at: None,
    }
}

fn mass(sweep: &Sweep, subject: String) -> Finding {
    let kinds = sweep.coverage.iter().filter(|coverage| coverage.held > 0);
    let kinds: Vec<String> = kinds.map(|coverage| format!("{} {}", coverage.held, coverage.kind)).collect();
    Finding {
        rule: MASS.to_owned(),
        subject,
        severity: Severity::Medium,
        evidence: format!(
            "{} did not see {} that were there before: say whether they are gone",
            sweep.id,
            kinds.join(", ")
        ),
        owasp: "NHI1".to_owned(),
        opened_at: sweep.touched_at,
        closed_at: None,
    }
}

const fn nothing(kind: NodeKind) -> Coverage {
    let status = CoverageStatus::Partial;
    Coverage { kind, status, seen: 0, added: 0, changed: 0, returned: 0, missing: 0, gone: 0, held: 0 }
}

fn short(bytes: &[u8]) -> Digest {
    let hash = sha256(bytes);
    hash.iter().take(16).fold(0, |digest, byte| digest << 8 | Digest::from(*byte))
}

/// What an entry says of a sweep.
pub(crate) fn summary(sweep: &Sweep) -> serde_json::Value {
    json!({
        "source": sweep.source,
        "scope": sweep.scope,
        "observed_at": sweep.observed_at.rfc3339(),
        "status": sweep.status,
        "coverage": sweep.coverage,
        "gaps": sweep.gaps.len(),
        "why": sweep.why,
    })
}

pub(crate) fn drafted(sweep: &Sweep, at: Timestamp, verb: &str, after: &serde_json::Value) -> chancery_model::Draft {
    Change::drafted(at, &sweep.by, ("sweep", sweep.id.as_str(), verb), None, after)
}
