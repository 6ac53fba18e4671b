//! How the bodies of one commit stand in their blob. All numbers are big-endian.
//!
//! Per entry that has bodies: sequence number (8 bytes), length of what follows (4), then per body: length of the
//! name (1), name, 1 if it is there and 0 if it was erased (1); if it is there salt (32), length (4), content.

use chancery_model::{Hash, Position};

use super::{Kept, StoredBody};
use crate::StoreError;

/// Appends one body.
pub(crate) fn push(out: &mut Vec<u8>, name: &str, salt: &Hash, content: &[u8]) {
    push_name(out, name);
    out.push(1);
    out.extend_from_slice(salt);
    push_length(out, content.len());
    out.extend_from_slice(content);
}

/// Appends the bodies of one entry, framed by [`push`].
pub(crate) fn push_group(out: &mut Vec<u8>, seq: u64, frames: &[u8]) {
    out.extend_from_slice(&seq.to_be_bytes());
    push_length(out, frames.len());
    out.extend_from_slice(frames);
}

/// The blob of these bodies, which are in the order of their entries.
pub(super) fn write(bodies: &[StoredBody]) -> Vec<u8> {
    let mut out = Vec::new();
    for group in bodies.chunk_by(|a, b| a.position == b.position) {
        let mut frames = Vec::new();
        group.iter().for_each(|body| push_stored(&mut frames, body));
        push_group(&mut out, group[0].position.seq, &frames);
    }
    out
}

fn push_stored(out: &mut Vec<u8>, body: &StoredBody) {
    match &body.kept {
        Some(kept) => push(out, &body.name, &kept.salt, &kept.content),
        None => {
            push_name(out, &body.name);
            out.push(0);
        }
    }
}

// Names are ours and short, contents are limited to 16 MiB: neither length is ever cut.
fn push_name(out: &mut Vec<u8>, name: &str) {
    let name = &name.as_bytes()[..name.len().min(255)];
    out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(name);
}

fn push_length(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
}

/// Reads a blob.
pub(super) fn read(writer: u32, blob: &[u8]) -> Result<Vec<StoredBody>, StoreError> {
    let mut bodies = Vec::new();
    let mut rest = Cursor(blob);
    while !rest.0.is_empty() {
        let seq = u64::from_be_bytes(rest.array()?);
        let mut frames = rest.sized()?;
        while !frames.0.is_empty() {
            bodies.push(frames.body(Position { writer, seq })?);
        }
    }
    Ok(bodies)
}

struct Cursor<'b>(&'b [u8]);

impl<'b> Cursor<'b> {
    fn take(&mut self, count: usize) -> Result<&'b [u8], StoreError> {
        let short = || StoreError::Damaged("the bodies of a commit are cut short".to_owned());
        let (head, tail) = self.0.split_at_checked(count).ok_or_else(short)?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn sized(&mut self) -> Result<Self, StoreError> {
        let length = u32::from_be_bytes(self.array()?);
        self.take(length as usize).map(Self)
    }

    fn body(&mut self, position: Position) -> Result<StoredBody, StoreError> {
        let [length] = self.array()?;
        let name = String::from_utf8_lossy(self.take(length.into())?).into_owned();
        let kept = match self.array()? {
            [0] => None,
            _ => Some(Kept { salt: self.array()?, content: self.sized()?.0.to_vec() }),
        };
        Ok(StoredBody { position, name, kept })
    }
}
