//! The one pass.

use std::collections::HashSet;
use std::io::Read;

use chancery_model::{DecisionId, Entry, HeaderRef, Kind, Position};
use chancery_tlog::bundle::{CHECKPOINT, KEY, MANIFEST, Member, manifest, members, take_body};
use chancery_tlog::{Checkpoint, EMPTY_ROOT, Entries, Hash, Note, Tile, Tree, VerifierKey, leaf_hash};

use crate::archive::Archive;
use crate::{Check, Detected, Failure, Options};

/// Writers are numbered below this.
const WRITERS: u32 = 1024;

/// What was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The log's name.
    pub origin: String,
    /// Entries in the log.
    pub entries: u64,
    /// The root over them.
    pub root: Hash,
    /// Nodes that wrote them.
    pub writers: usize,
    /// Bodies that are there and match.
    pub bodies: u64,
    /// Bodies that were erased, each by an entry of the log.
    pub erased: u64,
    /// The key that signed the checkpoint.
    pub key: VerifierKey,
    /// Whether that key was given, and not only found in the bundle.
    pub key_given: bool,
    /// The older checkpoint that the log extends.
    pub since: Option<Since>,
}

/// The older checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Since {
    /// Entries it stated.
    pub entries: u64,
    /// The root it stated.
    pub root: Hash,
}

/// Runs every check.
pub(crate) fn run(bundle: &mut dyn Read, options: &Options) -> Result<Report, Failure> {
    let mut archive = Archive::new(bundle, options.without != Some(Check::Archive));
    let head = Head::read(&mut archive, options)?;
    let mut pass = Pass::new(&head, options);
    for member in members(head.checkpoint.size) {
        match member {
            Member::Manifest | Member::Key | Member::Checkpoint => {}
            Member::Entries { index, width } => pass.entries(&mut archive, member, index, width)?,
            Member::Bodies { .. } => pass.bodies(&mut archive, member)?,
            Member::Hashes(tile) => pass.tile(&mut archive, tile)?,
        }
    }
    archive.end()?;
    pass.finish()
}

/// The three members that say what the log is.
struct Head {
    key: VerifierKey,
    checkpoint: Checkpoint,
    since: Option<Since>,
}

impl Head {
    fn read(archive: &mut Archive<'_>, options: &Options) -> Result<Self, Failure> {
        let [mut about, mut vkey, mut note] = [const { Vec::new() }; 3];
        archive.member(MANIFEST, &mut about)?;
        archive.member(KEY, &mut vkey)?;
        archive.member(CHECKPOINT, &mut note)?;
        let key = read_key(&vkey, options)?;
        let checkpoint = open(CHECKPOINT, text(CHECKPOINT, &note)?, &key, options)?;
        let stated = manifest(&checkpoint);
        if options.without != Some(Check::Manifest) && about != stated.as_bytes() {
            return Err(wrong(MANIFEST, "content", stated.trim_end(), String::from_utf8_lossy(&about).trim_end()));
        }
        let since = older(&checkpoint, &key, options)?;
        Ok(Self { key, checkpoint, since })
    }
}

fn text<'a>(member: &str, bytes: &'a [u8]) -> Result<&'a str, Failure> {
    std::str::from_utf8(bytes).map_err(|e| wrong(member, "text", "UTF-8", e))
}

fn read_key(vkey: &[u8], options: &Options) -> Result<VerifierKey, Failure> {
    let line = text(KEY, vkey)?.strip_suffix('\n').ok_or_else(|| wrong(KEY, "last line", "a newline", "none"))?;
    let key = VerifierKey::parse(line).map_err(|e| wrong(KEY, "content", "the log's verifier key", e))?;
    match &options.key {
        Some(given) if *given != key => Err(wrong(KEY, "the log's key", given, key)),
        _ => Ok(key),
    }
}

fn open(place: &str, note: &str, key: &VerifierKey, options: &Options) -> Result<Checkpoint, Failure> {
    let opened = match options.without {
        Some(Check::Signature) => Note::parse(note).map_err(Into::into).and_then(|n| Checkpoint::parse(n.unverified())),
        _ => Checkpoint::open(note, key),
    };
    opened.map_err(|e| wrong(place, "signed checkpoint", format!("one signed by {key}"), e))
}

fn older(checkpoint: &Checkpoint, key: &VerifierKey, options: &Options) -> Result<Option<Since>, Failure> {
    const PLACE: &str = "the older checkpoint";
    let Some(note) = options.checkpoint.as_deref().filter(|_| options.without != Some(Check::Extends)) else {
        return Ok(None);
    };
    let old = Checkpoint::open(note, key).map_err(|e| wrong(PLACE, "signature", format!("one by {key}"), e))?;
    if old.size > checkpoint.size {
        let (new, old) = (checkpoint.size, old.size);
        return Err(wrong(CHECKPOINT, "size", format!("at least the {old} of the older checkpoint"), new));
    }
    Ok(Some(Since { entries: old.size, root: old.root }))
}

/// What is kept between members.
struct Pass<'a> {
    head: &'a Head,
    options: &'a Options,
    tree: Tree,
    /// The last entry of each writer.
    last: Vec<Option<Last>>,
    /// The group at hand.
    group: Vec<u8>,
    /// Its bodies, and later its tiles.
    beside: Vec<u8>,
    /// The bodies its entries commit to.
    owed: Vec<Owed>,
    /// A failure in the group at hand. Reported once the group's tile shows that the entries are as they were.
    pending: Option<Failure>,
    root_then: Option<Hash>,
    missing: Vec<(Position, String)>,
    erased: HashSet<(Position, String)>,
    bodies: u64,
}

#[derive(Clone, Copy)]
struct Last {
    seq: u64,
    leaf: Hash,
}

struct Owed {
    entry: u8,
    commitment: u8,
    hash: Hash,
}

impl<'a> Pass<'a> {
    fn new(head: &'a Head, options: &'a Options) -> Self {
        Self {
            head,
            options,
            tree: Tree::new(),
            last: Vec::new(),
            group: Vec::new(),
            beside: Vec::new(),
            owed: Vec::new(),
            pending: None,
            root_then: head.since.filter(|s| s.entries == 0).map(|_| EMPTY_ROOT),
            missing: Vec::new(),
            erased: HashSet::new(),
            bodies: 0,
        }
    }

    fn checks(&self, check: Check) -> bool {
        self.options.without != Some(check)
    }

    fn entries(&mut self, archive: &mut Archive<'_>, member: Member, index: u64, width: u16) -> Result<(), Failure> {
        let mut group = std::mem::take(&mut self.group);
        archive.member(&member.to_string(), &mut group)?;
        self.owed.clear();
        let mut count = 0u16;
        for entry in Entries::new(&group) {
            let entry = entry.map_err(|e| wrong(member, "entries", width, e))?;
            self.entry(index * 256 + u64::from(count), entry);
            count += 1;
        }
        self.group = group;
        if count == width { Ok(()) } else { Err(wrong(member, "entries", width, count)) }
    }

    /// The hot path: one leaf hash, one look at the header, no allocation.
    fn entry(&mut self, index: u64, entry: &[u8]) {
        let leaf = leaf_hash(entry);
        self.tree.push(leaf);
        if self.head.since.is_some_and(|since| since.entries == index + 1) {
            self.root_then = Some(self.tree.root());
        }
        let header = match HeaderRef::decode(entry) {
            Ok(header) => header,
            Err(e) => return self.fail(wrong(format!("entry {index}"), "header", "a header of format 1", e)),
        };
        if let Err(failure) = self.follows(index, &header, leaf) {
            self.fail(failure);
        }
        self.owe(index, &header);
        if header.kind == Kind::Change {
            self.erasure(index, entry);
        }
    }

    fn fail(&mut self, failure: Failure) {
        self.pending.get_or_insert(failure);
    }

    /// The entry must be the next of its writer's chain.
    fn follows(&mut self, index: u64, header: &HeaderRef<'_>, leaf: Hash) -> Result<(), Failure> {
        let Position { writer, seq } = header.position;
        if writer >= WRITERS {
            return Err(wrong(named(index, header), "writer", "a number below 1024", writer));
        }
        let place = writer as usize;
        if self.last.len() <= place {
            self.last.resize(place + 1, None);
        }
        let before = self.last[place].replace(Last { seq, leaf });
        let (next, prev) = before.map_or((0, [0; 32]), |last| (last.seq + 1, last.leaf));
        if !self.checks(Check::Chain) {
            return Ok(());
        }
        if seq != next {
            return Err(wrong(named(index, header), "sequence number of its writer", next, seq));
        }
        if *header.prev != prev {
            let field = "hash of the writer's previous entry";
            return Err(wrong(named(index, header), field, hex(&prev), hex(header.prev)));
        }
        Ok(())
    }

    fn owe(&mut self, index: u64, header: &HeaderRef<'_>) {
        let entry = (index % 256) as u8;
        for (number, (_, hash)) in header.commitments().enumerate() {
            match u8::try_from(number) {
                Ok(commitment) => self.owed.push(Owed { entry, commitment, hash: *hash }),
                Err(_) => self.fail(wrong(named(index, header), "bodies", "at most 256", "more")),
            }
        }
    }

    /// Notes which body a change erased, if that is what it did.
    fn erasure(&mut self, index: u64, entry: &[u8]) {
        let change = match Entry::decode(entry) {
            Ok(entry) => entry.draft.change,
            Err(e) => return self.fail(wrong(format!("entry {index}"), "content", "a change of format 1", e)),
        };
        let erased = change.as_ref().and_then(|change| change.erased());
        self.erased.extend(erased.map(|(position, name)| (position, name.to_owned())));
    }

    /// The bodies of the group: each that is there must match; those that are not must have been erased.
    fn bodies(&mut self, archive: &mut Archive<'_>, member: Member) -> Result<(), Failure> {
        let mut bodies = std::mem::take(&mut self.beside);
        archive.member(&member.to_string(), &mut bodies)?;
        let mut rest = bodies.as_slice();
        let owed = std::mem::take(&mut self.owed);
        let mut left = owed.iter();
        while let Some(body) = take_body(&mut rest) {
            let matching = left.find(|owed| {
                let this = (owed.entry, owed.commitment) == (body.entry, body.commitment);
                if !this {
                    self.miss(owed);
                }
                this
            });
            let Some(owed) = matching else {
                let place = format!("{member}: body {} of entry {} of the group", body.commitment, body.entry);
                self.fail(wrong(place, "order", "a body that an entry commits to, once", "another"));
                break;
            };
            let hash = if self.checks(Check::Bodies) { body.hash() } else { owed.hash };
            if hash != owed.hash {
                let failure = wrong(self.body_name(owed), "salted hash", hex(&owed.hash), hex(&hash));
                self.fail(failure);
            }
            self.bodies += 1;
        }
        left.for_each(|owed| self.miss(owed));
        if !rest.is_empty() {
            self.fail(wrong(member, "content", "whole bodies, each owed by an entry", "other bytes"));
        }
        (self.owed, self.beside) = (owed, bodies);
        Ok(())
    }

    fn header_of(&self, owed: &Owed) -> Option<HeaderRef<'_>> {
        let entry = Entries::new(&self.group).nth(owed.entry.into())?.ok()?;
        HeaderRef::decode(entry).ok()
    }

    fn miss(&mut self, owed: &Owed) {
        let body = self.header_of(owed).and_then(|header| {
            let (name, _) = header.commitments().nth(owed.commitment.into())?;
            Some((header.position, name.to_owned()))
        });
        self.missing.extend(body);
    }

    fn body_name(&self, owed: &Owed) -> String {
        let header = self.header_of(owed);
        let name = header.and_then(|h| h.commitments().nth(owed.commitment.into())).map_or("?", |(name, _)| name);
        let id = header.map_or_else(String::new, |h| DecisionId(h.position).to_string());
        format!("body `{name}` of entry {id}")
    }

    /// A stored tile must be the one that the entries lead to.
    fn tile(&mut self, archive: &mut Archive<'_>, tile: Tile) -> Result<(), Failure> {
        archive.member(&tile.to_string(), &mut self.beside)?;
        let ours = self.tree.take_tile(tile).unwrap_or_default();
        if self.checks(Check::Tiles) && *ours != self.beside {
            return Err(self.tile_differs(tile, &ours));
        }
        match self.pending.take() {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    fn tile_differs(&self, tile: Tile, ours: &[u8]) -> Failure {
        let (ours, stored) = (ours.as_chunks::<32>().0, self.beside.as_chunks::<32>().0);
        let Some(place) = ours.iter().zip(stored).position(|(a, b)| a != b) else {
            return wrong(tile, "hashes", ours.len(), format!("{} bytes", self.beside.len()));
        };
        let first = (tile.index * 256 + place as u64) << (8 * tile.level);
        let what = match tile.level {
            0 => format!("{tile}: entry {first}"),
            _ => format!("{tile}: the subtree from entry {first}"),
        };
        let expected = format!("{} (recomputed from the entries)", hex(&ours[place]));
        wrong(what, "hash", expected, hex(&stored[place]))
    }

    fn finish(mut self) -> Result<Report, Failure> {
        let Checkpoint { origin, size, root, .. } = &self.head.checkpoint;
        if let Some(failure) = self.pending.take() {
            return Err(failure);
        }
        let ours = self.tree.root();
        if self.checks(Check::Root) && ours != *root {
            let expected = format!("{} (recomputed from {size} entries)", hex(&ours));
            return Err(wrong(CHECKPOINT, "root", expected, hex(root)));
        }
        self.extends()?;
        self.all_missing_were_erased()?;
        Ok(Report {
            origin: origin.clone(),
            entries: *size,
            root: ours,
            writers: self.last.iter().flatten().count(),
            bodies: self.bodies,
            erased: self.missing.len() as u64,
            key: self.head.key.clone(),
            key_given: self.options.key.is_some(),
            since: self.head.since,
        })
    }

    fn extends(&self) -> Result<(), Failure> {
        let Some(since) = self.head.since.filter(|since| self.root_then != Some(since.root)) else { return Ok(()) };
        let place = format!("the first {} entries", since.entries);
        let found = self.root_then.map_or_else(|| "none".to_owned(), |root| hex(&root));
        let expected = format!("{} (the older checkpoint's; the log was rewritten since)", hex(&since.root));
        Err(wrong(place, "root", expected, found))
    }

    fn all_missing_were_erased(&self) -> Result<(), Failure> {
        let unexplained = self.missing.iter().find(|body| !self.erased.contains(*body));
        match unexplained {
            Some((position, name)) if self.checks(Check::Erasures) => {
                let place = format!("body `{name}` of entry {}", DecisionId(*position));
                Err(wrong(place, "presence", "the body, or an entry of the log that erased it", "neither"))
            }
            _ => Ok(()),
        }
    }
}

fn named(index: u64, header: &HeaderRef<'_>) -> String {
    format!("entry {index} ({})", DecisionId(header.position))
}

pub(crate) fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn wrong(place: impl ToString, field: &'static str, expected: impl ToString, found: impl ToString) -> Failure {
    let (place, expected, found) = (place.to_string(), expected.to_string(), found.to_string());
    Detected { place, field, expected, found }.into()
}
