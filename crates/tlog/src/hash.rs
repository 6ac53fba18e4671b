use aws_lc_rs::digest::{Context, Digest, SHA256, digest};

/// A SHA-256 value.
pub type Hash = [u8; 32];

/// The root of a tree without leaves: SHA-256 of nothing (RFC 6962, section 2.1).
pub const EMPTY_ROOT: Hash = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41,
    0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// Inputs up to this many bytes are hashed in one call from the stack; most entries and bodies are shorter than the first.
const SHORT: [usize; 2] = [512, 2048];

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> Hash {
    array(&digest(&SHA256, bytes))
}

/// The hash of an entry as a leaf: SHA-256(0x00 || entry) (RFC 6962, section 2.1).
pub fn leaf_hash(entry: &[u8]) -> Hash {
    prefixed(&[0x00], entry)
}

/// The hash of an inner node: SHA-256(0x01 || left || right) (RFC 6962, section 2.1).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut node = [0x01; 65];
    node[1..33].copy_from_slice(left);
    node[33..].copy_from_slice(right);
    sha256(&node)
}

/// The salted hash that stands in an entry for a body kept apart: SHA-256(salt || content).
pub fn salted_hash(salt: &[u8; 32], content: &[u8]) -> Hash {
    prefixed(salt, content)
}

/// SHA-256(prefix || rest). A copy into one buffer costs less than a hash in three calls.
fn prefixed(prefix: &[u8], rest: &[u8]) -> Hash {
    match prefix.len() + rest.len() {
        length if length <= SHORT[0] => joined::<{ SHORT[0] }>(prefix, rest, length),
        length if length <= SHORT[1] => joined::<{ SHORT[1] }>(prefix, rest, length),
        _ => in_parts(prefix, rest),
    }
}

fn joined<const N: usize>(prefix: &[u8], rest: &[u8], length: usize) -> Hash {
    let mut whole = [0; N];
    whole[..prefix.len()].copy_from_slice(prefix);
    whole[prefix.len()..length].copy_from_slice(rest);
    sha256(&whole[..length])
}

fn in_parts(prefix: &[u8], rest: &[u8]) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(prefix);
    context.update(rest);
    array(&context.finish())
}

fn array(digest: &Digest) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_short_inputs_hash_alike() {
        let around = |short: usize| [short - 33, short - 32, short - 31, short - 1, short, short + 1];
        for length in [0, 1, 65_535].into_iter().chain(SHORT.into_iter().flat_map(around)) {
            let content = vec![0x5a; length];
            assert_eq!(leaf_hash(&content), sha256(&[&[0][..], &content].concat()), "leaf of {length} bytes");
            assert_eq!(salted_hash(&[7; 32], &content), sha256(&[&[7; 32][..], &content].concat()));
        }
    }

    #[test]
    fn the_empty_root_is_the_hash_of_nothing() {
        assert_eq!(sha256(b""), EMPTY_ROOT);
    }
}
