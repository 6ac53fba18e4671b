//! The writer's part of an entry, read without copying: what a verifier of millions of entries needs.

use minicbor::Decoder;

use super::codec::{definite, key, read_kind, version};
use super::{DecodeError, Kind, Position};
use crate::Hash;

/// The writer's part of an entry and its kind, borrowed from the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderRef<'a> {
    /// Where it is.
    pub position: Position,
    /// RFC 6962 leaf hash of the writer's previous entry; zeros for the first.
    pub prev: &'a Hash,
    /// What kind of statement the entry is.
    pub kind: Kind,
    commitments: &'a [u8],
    count: u64,
}

impl<'a> HeaderRef<'a> {
    /// Reads the start of an entry: keys 0 to 5.
    pub fn decode(entry: &'a [u8]) -> Result<Self, DecodeError> {
        let mut d = Decoder::new(entry);
        definite(d.map()?)?;
        version(&mut d)?;
        key(&mut d, 1)?;
        let writer = d.u32()?;
        key(&mut d, 2)?;
        let seq = d.u64()?;
        key(&mut d, 3)?;
        let prev = hash(&mut d)?;
        let (mut count, mut commitments) = (0, &entry[..0]);
        let mut next = d.u64()?;
        if next == 4 {
            count = definite(d.array()?)?;
            let start = d.position();
            (0..count).try_for_each(|_| commitment(&mut d).map(drop))?;
            commitments = &entry[start..d.position()];
            next = d.u64()?;
        }
        if next != 5 {
            return Err(DecodeError::Malformed(format!("expected key 5, found {next}")));
        }
        let kind = read_kind(d.u64()?)?;
        Ok(Self { position: Position { writer, seq }, prev, kind, commitments, count })
    }

    /// Names and salted hashes of the bodies, in their order.
    pub fn commitments(&self) -> impl Iterator<Item = (&'a str, &'a Hash)> + use<'a> {
        let mut d = Decoder::new(self.commitments);
        // They were read once by `decode`: reading them again succeeds.
        (0..self.count).map_while(move |_| commitment(&mut d).ok())
    }
}

fn commitment<'a>(d: &mut Decoder<'a>) -> Result<(&'a str, &'a Hash), DecodeError> {
    d.array()?;
    Ok((d.str()?, hash(d)?))
}

fn hash<'a>(d: &mut Decoder<'a>) -> Result<&'a Hash, DecodeError> {
    let bytes = d.bytes()?;
    bytes.try_into().map_err(|_| DecodeError::Malformed(format!("a hash of {} bytes", bytes.len())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Commitment, Draft, Header};

    #[test]
    fn the_borrowed_header_is_the_owned_one() {
        let commitments = [("arguments", 1), ("result", 2)].map(|(n, h)| Commitment { name: n.into(), hash: [h; 32] });
        for given in [&commitments[..], &commitments[..1], &[]] {
            let mut bytes = Vec::new();
            let draft = Draft { kind: Kind::Outcome, ..Draft::default() };
            draft.seal(given).finish(Position { writer: 9, seq: 1 << 40 }, &[3; 32], &mut bytes);
            let (owned, borrowed) = (Header::decode(&bytes).unwrap(), HeaderRef::decode(&bytes).unwrap());
            assert_eq!((owned.position, &owned.prev), (borrowed.position, borrowed.prev));
            assert_eq!(borrowed.kind, Kind::Outcome);
            let read: Vec<_> = borrowed.commitments().map(|(n, h)| Commitment { name: n.into(), hash: *h }).collect();
            assert_eq!(read, given);
        }
    }

    #[test]
    fn a_cut_header_is_refused_wherever_it_is_cut() {
        let mut bytes = Vec::new();
        let given = [Commitment { name: "arguments".into(), hash: [1; 32] }];
        Draft::default().seal(&given).finish(Position { writer: 0, seq: 0 }, &[0; 32], &mut bytes);
        let header = bytes.windows(3).rposition(|w| w == [5, 0, 6]).unwrap() + 2;
        for end in 0..header {
            assert!(HeaderRef::decode(&bytes[..end]).is_err(), "cut at {end}");
        }
    }
}
