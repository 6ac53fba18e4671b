//! The canonical encoding. Key numbers are for ever; `docs/reference/entry.md` lists them.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use minicbor::{Decoder, Encoder};

use super::{
    Authority, Change, Commitment, Draft, Entry, Header, Kind, Position, Result as ActResult, Sealed, What, Who,
};
use crate::{Hash, Outcome, Per, Timestamp, Use};

const VERSION: u64 = 1;

/// Bytes that are not an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not the CBOR that was expected.
    #[error("not an entry: {0}")]
    Malformed(String),
    /// Readable, but not in the one canonical form.
    #[error("the entry is not canonically encoded")]
    NotCanonical,
    /// From a later version.
    #[error("the entry has version {0}, this program reads version 1")]
    Version(u64),
}

impl From<minicbor::decode::Error> for DecodeError {
    fn from(e: minicbor::decode::Error) -> Self {
        Self::Malformed(e.to_string())
    }
}

type Decoded<T> = Result<T, DecodeError>;

/// A map in the making: pairs are counted, and written after the count is known.
#[derive(Default)]
struct Map {
    pairs: u64,
    bytes: Vec<u8>,
}

type Put<'a> = Encoder<&'a mut Vec<u8>>;
type Written = Result<(), minicbor::encode::Error<Infallible>>;

impl Map {
    fn put(&mut self, key: u64, value: impl FnOnce(&mut Put<'_>) -> Written) {
        self.pairs += 1;
        let mut e = Encoder::new(&mut self.bytes);
        // Writing to a Vec cannot fail: the error type is uninhabited but for "message" errors nobody raises here.
        let written = e.u64(key).map(|_| ()).and_then(|()| value(&mut e));
        debug_assert!(written.is_ok());
    }

    fn text(&mut self, key: u64, value: Option<&str>) {
        if let Some(text) = value {
            self.put(key, |e| e.str(text).map(drop));
        }
    }

    fn uint(&mut self, key: u64, value: Option<u64>) {
        if let Some(number) = value {
            self.put(key, |e| e.u64(number).map(drop));
        }
    }

    fn texts<T: AsRef<str>>(&mut self, key: u64, values: &[T]) {
        if !values.is_empty() {
            self.put(key, |e| {
                e.array(values.len() as u64)?;
                values.iter().try_for_each(|v| e.str(v.as_ref()).map(drop))
            });
        }
    }

    fn nested(&mut self, key: u64, inner: Map) {
        if inner.pairs > 0 {
            self.put(key, |e| e.map(inner.pairs).map(drop));
            self.bytes.extend_from_slice(&inner.bytes);
        }
    }
}

pub(super) fn seal(draft: &Draft, commitments: &[Commitment]) -> Sealed {
    let mut map = Map { pairs: 0, bytes: Vec::with_capacity(512) };
    if !commitments.is_empty() {
        map.put(4, |e| {
            e.array(commitments.len() as u64)?;
            commitments.iter().try_for_each(|c| e.array(2)?.str(&c.name)?.bytes(&c.hash).map(drop))
        });
    }
    map.uint(5, Some(draft.kind as u64));
    map.put(6, |e| e.i64(draft.at.0).map(drop));
    map.nested(7, who(&draft.who));
    map.nested(8, what(&draft.what));
    let mut why = Map::default();
    why.text(0, draft.why.reason.as_deref());
    why.text(1, draft.why.trace.as_deref());
    map.nested(9, why);
    map.nested(10, authority(&draft.authority));
    map.uint(11, draft.decision.map(outcome_number));
    map.texts(12, &draft.reasons);
    if let Some(p) = draft.closes {
        map.put(13, |e| e.array(2)?.u64(p.writer.into())?.u64(p.seq).map(drop));
    }
    map.uint(14, draft.result.map(|r| r as u64));
    map.text(15, draft.detail.as_deref());
    if let Some(c) = &draft.change {
        map.nested(16, change(c));
    }
    if !draft.uses.is_empty() {
        map.put(17, |e| {
            e.array(draft.uses.len() as u64)?;
            draft.uses.iter().try_for_each(|u| {
                e.array(4)?.str(&u.meter)?.u64(u.per as u64)?.str(&u.subject)?.i64(u.amount).map(drop)
            })
        });
    }
    Sealed { pairs: map.pairs, tail: map.bytes }
}

fn who(who: &Who) -> Map {
    let mut map = Map::default();
    map.text(0, who.agent.as_deref());
    map.text(1, who.name.as_deref());
    map.text(2, who.instance.as_deref());
    map.text(3, who.human.as_deref());
    map.texts(4, &who.chain);
    map.text(5, who.enforcer.as_deref());
    map
}

fn what(what: &What) -> Map {
    let mut map = Map::default();
    map.text(0, what.server.as_deref());
    map.text(1, what.action.as_deref());
    map.text(2, what.tool.as_deref());
    map.text(3, what.resource.as_deref());
    if !what.fields.is_empty() {
        map.put(4, |e| {
            e.map(what.fields.len() as u64)?;
            by_length(&what.fields).into_iter().try_for_each(|(k, v)| e.str(k)?.str(v).map(drop))
        });
    }
    map
}

/// RFC 8949, section 4.2.1 sorts keys by their encoded bytes: shorter texts first, then bytewise.
fn by_length(fields: &BTreeMap<String, String>) -> Vec<(&str, &str)> {
    let mut pairs: Vec<(&str, &str)> = fields.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    pairs.sort_by(|a, b| a.0.len().cmp(&b.0.len()).then_with(|| a.0.cmp(b.0)));
    pairs
}

fn authority(authority: &Authority) -> Map {
    let mut map = Map::default();
    map.text(0, authority.session.as_deref());
    map.text(1, authority.token.as_deref());
    map.texts(2, &authority.grants);
    map.texts(3, &authority.policies);
    map.text(4, authority.policy_version.as_deref());
    map.text(5, authority.flow.as_deref());
    map.text(6, authority.task.as_deref());
    if let Some(limits) = &authority.limits {
        map.put(7, |e| e.bytes(limits).map(drop));
    }
    map.text(8, authority.approval.as_deref());
    map
}

fn change(change: &Change) -> Map {
    let mut map = Map::default();
    map.text(0, Some(&change.noun));
    map.text(1, Some(&change.id));
    map.text(2, Some(&change.verb));
    map.text(3, change.after.as_deref());
    map
}

fn outcome_number(outcome: Outcome) -> u64 {
    match outcome {
        Outcome::Allow => 0,
        Outcome::Deny => 1,
        Outcome::RequireApproval => 2,
        Outcome::StepUp => 3,
    }
}

pub(super) fn finish(pairs: u64, tail: &[u8], position: Position, prev: &Hash, out: &mut Vec<u8>) {
    let mut e = Encoder::new(&mut *out);
    let written = (|| -> Written {
        e.map(pairs + 4)?.u64(0)?.u64(VERSION)?.u64(1)?.u64(position.writer.into())?;
        e.u64(2)?.u64(position.seq)?.u64(3)?.bytes(prev)?;
        Ok(())
    })();
    debug_assert!(written.is_ok());
    out.extend_from_slice(tail);
}

pub(super) fn key(d: &mut Decoder<'_>, want: u64) -> Decoded<()> {
    match d.u64()? {
        found if found == want => Ok(()),
        found => Err(DecodeError::Malformed(format!("expected key {want}, found {found}"))),
    }
}

fn hash(d: &mut Decoder<'_>) -> Decoded<Hash> {
    let bytes = d.bytes()?;
    bytes.try_into().map_err(|_| DecodeError::Malformed(format!("a hash of {} bytes", bytes.len())))
}

pub(super) fn version(d: &mut Decoder<'_>) -> Decoded<()> {
    key(d, 0)?;
    match d.u64()? {
        VERSION => Ok(()),
        other => Err(DecodeError::Version(other)),
    }
}

/// Reads keys 0 to 4 and leaves the decoder behind them; returns how many pairs are left.
fn read_header(d: &mut Decoder<'_>) -> Decoded<(Header, u64)> {
    let pairs = definite(d.map()?)?;
    version(d)?;
    key(d, 1)?;
    let writer = d.u32()?;
    key(d, 2)?;
    let seq = d.u64()?;
    key(d, 3)?;
    let prev = hash(d)?;
    let mut left = pairs.checked_sub(4).ok_or_else(|| DecodeError::Malformed("too few fields".into()))?;
    let mut commitments = Vec::new();
    if left > 0 && d.probe().u64()? == 4 {
        key(d, 4)?;
        commitments = read_commitments(d)?;
        left -= 1;
    }
    Ok((Header { position: Position { writer, seq }, prev, commitments }, left))
}

fn read_commitments(d: &mut Decoder<'_>) -> Decoded<Vec<Commitment>> {
    let count = definite(d.array()?)?;
    (0..count)
        .map(|_| {
            d.array()?;
            Ok(Commitment { name: d.str()?.to_owned(), hash: hash(d)? })
        })
        .collect()
}

pub(super) fn definite(length: Option<u64>) -> Decoded<u64> {
    length.ok_or(DecodeError::NotCanonical)
}

pub(super) fn header(bytes: &[u8]) -> Decoded<Header> {
    read_header(&mut Decoder::new(bytes)).map(|(header, _)| header)
}

pub(super) fn entry(bytes: &[u8]) -> Decoded<Entry> {
    let mut d = Decoder::new(bytes);
    let (header, left) = read_header(&mut d)?;
    let mut draft = Draft::default();
    for _ in 0..left {
        read_field(&mut d, &mut draft)?;
    }
    // Canonical means: the one encoding of these values, and nothing behind it.
    let mut again = Vec::with_capacity(bytes.len());
    seal(&draft, &header.commitments).finish(header.position, &header.prev, &mut again);
    if again == bytes { Ok(Entry { header, draft }) } else { Err(DecodeError::NotCanonical) }
}

fn read_field(d: &mut Decoder<'_>, draft: &mut Draft) -> Decoded<()> {
    match d.u64()? {
        5 => draft.kind = read_kind(d.u64()?)?,
        6 => draft.at = Timestamp(d.i64()?),
        7 => draft.who = read_who(d)?,
        8 => draft.what = read_what(d)?,
        9 => each(d, |d, k| match k {
            0 => text(d, &mut draft.why.reason),
            1 => text(d, &mut draft.why.trace),
            k => Err(unknown(k)),
        })?,
        10 => draft.authority = read_authority(d)?,
        11 => draft.decision = Some(read_outcome(d.u64()?)?),
        12 => draft.reasons = texts(d)?,
        13 => draft.closes = Some(read_position(d)?),
        14 => draft.result = Some(read_result(d.u64()?)?),
        15 => text(d, &mut draft.detail)?,
        16 => draft.change = Some(read_change(d)?),
        17 => draft.uses = read_uses(d)?,
        k => return Err(unknown(k)),
    }
    Ok(())
}

fn each(d: &mut Decoder<'_>, mut field: impl FnMut(&mut Decoder<'_>, u64) -> Decoded<()>) -> Decoded<()> {
    for _ in 0..definite(d.map()?)? {
        let k = d.u64()?;
        field(d, k)?;
    }
    Ok(())
}

fn unknown(k: u64) -> DecodeError {
    DecodeError::Malformed(format!("unknown field {k}"))
}

fn text(d: &mut Decoder<'_>, into: &mut Option<String>) -> Decoded<()> {
    *into = Some(d.str()?.to_owned());
    Ok(())
}

fn texts<T: From<String>>(d: &mut Decoder<'_>) -> Decoded<Vec<T>> {
    let count = definite(d.array()?)?;
    (0..count).map(|_| Ok(T::from(d.str()?.to_owned()))).collect()
}

fn shared(d: &mut Decoder<'_>) -> Decoded<Vec<Arc<str>>> {
    texts::<String>(d).map(|all| all.into_iter().map(Arc::from).collect())
}

fn read_position(d: &mut Decoder<'_>) -> Decoded<Position> {
    d.array()?;
    Ok(Position { writer: d.u32()?, seq: d.u64()? })
}

fn read_who(d: &mut Decoder<'_>) -> Decoded<Who> {
    let mut who = Who::default();
    each(d, |d, k| match k {
        0 => text(d, &mut who.agent),
        1 => text(d, &mut who.name),
        2 => text(d, &mut who.instance),
        3 => text(d, &mut who.human),
        4 => texts(d).map(|chain| who.chain = chain),
        5 => text(d, &mut who.enforcer),
        k => Err(unknown(k)),
    })?;
    Ok(who)
}

fn read_what(d: &mut Decoder<'_>) -> Decoded<What> {
    let mut what = What::default();
    each(d, |d, k| match k {
        0 => text(d, &mut what.server),
        1 => text(d, &mut what.action),
        2 => text(d, &mut what.tool),
        3 => text(d, &mut what.resource),
        4 => {
            for _ in 0..definite(d.map()?)? {
                what.fields.insert(d.str()?.to_owned(), d.str()?.to_owned());
            }
            Ok(())
        }
        k => Err(unknown(k)),
    })?;
    Ok(what)
}

fn read_authority(d: &mut Decoder<'_>) -> Decoded<Authority> {
    let mut authority = Authority::default();
    each(d, |d, k| match k {
        0 => text(d, &mut authority.session),
        1 => text(d, &mut authority.token),
        2 => shared(d).map(|grants| authority.grants = grants),
        3 => shared(d).map(|policies| authority.policies = policies),
        4 => {
            authority.policy_version = Some(Arc::from(d.str()?));
            Ok(())
        }
        5 => text(d, &mut authority.flow),
        6 => text(d, &mut authority.task),
        7 => hash(d).map(|limits| authority.limits = Some(limits)),
        8 => text(d, &mut authority.approval),
        k => Err(unknown(k)),
    })?;
    Ok(authority)
}

fn read_uses(d: &mut Decoder<'_>) -> Decoded<Vec<Use>> {
    let count = definite(d.array()?)?;
    (0..count)
        .map(|_| {
            d.array()?;
            let (meter, per, subject) = (Arc::from(d.str()?), d.u64()?, Arc::from(d.str()?));
            let per = usize::try_from(per).ok().and_then(|number| Per::ALL.get(number).copied());
            let per = per.ok_or_else(|| DecodeError::Malformed("a meter is of nobody".into()))?;
            Ok(Use { meter, per, subject, amount: d.i64()? })
        })
        .collect()
}

fn read_change(d: &mut Decoder<'_>) -> Decoded<Change> {
    let mut change = Change::default();
    each(d, |d, k| {
        match k {
            0 => d.str()?.clone_into(&mut change.noun),
            1 => d.str()?.clone_into(&mut change.id),
            2 => d.str()?.clone_into(&mut change.verb),
            3 => text(d, &mut change.after)?,
            k => return Err(unknown(k)),
        }
        Ok(())
    })?;
    Ok(change)
}

pub(super) fn read_kind(number: u64) -> Decoded<Kind> {
    match number {
        0 => Ok(Kind::Decision),
        1 => Ok(Kind::Intent),
        2 => Ok(Kind::Outcome),
        3 => Ok(Kind::Change),
        n => Err(DecodeError::Malformed(format!("kind {n}"))),
    }
}

fn read_outcome(number: u64) -> Decoded<Outcome> {
    match number {
        0 => Ok(Outcome::Allow),
        1 => Ok(Outcome::Deny),
        2 => Ok(Outcome::RequireApproval),
        3 => Ok(Outcome::StepUp),
        n => Err(DecodeError::Malformed(format!("decision {n}"))),
    }
}

fn read_result(number: u64) -> Decoded<ActResult> {
    match number {
        0 => Ok(ActResult::Succeeded),
        1 => Ok(ActResult::Failed),
        2 => Ok(ActResult::NotSent),
        3 => Ok(ActResult::Indeterminate),
        n => Err(DecodeError::Malformed(format!("result {n}"))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::entry::Why;

    fn a_draft() -> Draft {
        Draft {
            kind: Kind::Intent,
            at: Timestamp(1_795_000_000_000_001),
            who: Who {
                agent: Some("agt_1".into()),
                name: Some("crm-assistant".into()),
                instance: Some("pod-7".into()),
                human: Some("mara@acme.example".into()),
                chain: vec!["mara@acme.example".into(), "crm-assistant".into()],
                enforcer: None,
            },
            what: What {
                server: Some("billing".into()),
                action: Some("tools/call".into()),
                tool: Some("refund".into()),
                resource: None,
                fields: [("amount".to_owned(), "200".to_owned()), ("id".to_owned(), "7".to_owned())].into(),
            },
            why: Why { reason: Some("customer asked".into()), trace: None },
            authority: Authority {
                session: Some("ses_1".into()),
                token: Some("jti".into()),
                grants: vec!["grt_1".into()],
                policies: vec!["refund-small".into()],
                policy_version: Some("00ff".into()),
                flow: Some("ses_0".into()),
                task: Some("monthly refunds".into()),
                limits: Some([4; 32]),
                approval: Some("apr_1".into()),
            },
            decision: Some(Outcome::Allow),
            reasons: vec![],
            closes: Some(Position { writer: 1, seq: 300 }),
            result: Some(ActResult::Indeterminate),
            detail: Some("x".into()),
            change: Some(Change { noun: "agent".into(), id: "a".into(), verb: "suspend".into(), after: None }),
            uses: vec![
                Use { meter: "refunds".into(), per: Per::Agent, subject: "agt_1".into(), amount: 1 },
                Use { meter: "euros".into(), per: Per::Human, subject: "mara".into(), amount: 70_000 },
            ],
            bodies: vec![],
        }
    }

    fn encoded(draft: &Draft, commitments: &[Commitment]) -> Vec<u8> {
        let mut out = Vec::new();
        draft.seal(commitments).finish(Position { writer: 3, seq: 70_000 }, &[7; 32], &mut out);
        out
    }

    #[test]
    fn an_entry_survives_its_encoding() {
        let commitments = vec![Commitment { name: "arguments".into(), hash: [9; 32] }];
        let bytes = encoded(&a_draft(), &commitments);
        let entry = Entry::decode(&bytes).unwrap();
        assert_eq!(entry.draft, a_draft());
        assert_eq!(entry.header, Header::decode(&bytes).unwrap());
        assert_eq!(entry.header.position, Position { writer: 3, seq: 70_000 });
        assert_eq!(entry.header.prev, [7; 32]);
        assert_eq!(entry.header.commitments, commitments);
    }

    /// The encoding of an entry of the first release, byte for byte: it is read for ever.
    #[test]
    fn an_entry_without_the_later_keys_is_what_it_was() {
        let draft =
            Draft { kind: Kind::Outcome, at: Timestamp(1), result: Some(ActResult::Failed), ..Draft::default() };
        let mut old = vec![0xa7, 0, 1, 1, 3, 2, 0x1a, 0, 1, 0x11, 0x70, 3, 0x58, 0x20];
        old.extend([7; 32]);
        old.extend([5, 2, 6, 1, 14, 1]);
        assert_eq!(encoded(&draft, &[]), old);
        assert_eq!(Entry::decode(&old).unwrap().draft, draft);
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let mut bytes = encoded(&a_draft(), &[]);
        bytes.push(0);
        assert_eq!(Entry::decode(&bytes), Err(DecodeError::NotCanonical));
    }

    #[test]
    fn a_long_form_integer_is_refused() {
        // Key 5 (kind) with value 1 in two bytes instead of one.
        let bytes = encoded(&Draft { kind: Kind::Intent, ..Draft::default() }, &[]);
        let at = bytes.windows(2).rposition(|w| w == [5, 1]).unwrap();
        let mut long = bytes[..=at].to_vec();
        long.extend([0x18, 1]);
        long.extend(&bytes[at + 2..]);
        assert_eq!(Entry::decode(&long), Err(DecodeError::NotCanonical));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Entry::decode(&bytes);
            let _ = Header::decode(&bytes);
        }

        #[test]
        fn a_flipped_bit_is_another_entry_or_none(bit in 0usize..2000) {
            let bytes = encoded(&a_draft(), &[]);
            let mut flipped = bytes.clone();
            let place = bit % (bytes.len() * 8);
            flipped[place / 8] ^= 1 << (place % 8);
            if let Ok(entry) = Entry::decode(&flipped) {
                prop_assert_ne!(entry, Entry::decode(&bytes).unwrap());
            }
        }
    }
}
