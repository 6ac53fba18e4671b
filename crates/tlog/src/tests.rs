//! The tree against a naive implementation of RFC 6962 and against two independent crates.

use std::collections::HashMap;

use proptest::prelude::*;
use tlog_tiles::{HashReader, Tile as TheirTile};

use super::*;

/// RFC 6962, section 2.1, word for word.
fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => EMPTY_ROOT,
        [one] => *one,
        many => {
            let (left, right) = many.split_at(below(many.len()));
            node_hash(&naive_root(left), &naive_root(right))
        }
    }
}

/// RFC 6962, section 2.1.1.
fn naive_path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() <= 1 {
        return vec![];
    }
    let k = below(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut path, other) =
        if m < k { (naive_path(m, left), naive_root(right)) } else { (naive_path(m - k, right), naive_root(left)) };
    path.push(other);
    path
}

/// RFC 6962, section 2.1.2.
fn naive_subproof(m: usize, leaves: &[Hash], complete: bool) -> Vec<Hash> {
    if m == leaves.len() {
        return if complete { vec![] } else { vec![naive_root(leaves)] };
    }
    let k = below(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut proof, other) = if m <= k {
        (naive_subproof(m, left, complete), naive_root(right))
    } else {
        (naive_subproof(m - k, right, false), naive_root(left))
    };
    proof.push(other);
    proof
}

fn below(n: usize) -> usize {
    n.next_power_of_two() / 2
}

fn entry(i: u64) -> Vec<u8> {
    format!("entry number {i}").into_bytes()
}

fn leaves(n: u64) -> Vec<Hash> {
    (0..n).map(|i| leaf_hash(&entry(i))).collect()
}

type Tiles = HashMap<Tile, Vec<u8>>;

/// A tree of `n` leaves and all its tiles, at their widest.
fn grown(n: u64) -> (Tree, Tiles) {
    let mut tree = Tree::new();
    leaves(n).into_iter().for_each(|leaf| tree.push(leaf));
    let tiles = tree.take_changed().into_iter().collect();
    (tree, tiles)
}

fn look<'a>(tiles: &'a Tiles) -> impl Fn(Tile) -> Option<&'a [u8]> {
    |tile| tiles.get(&tile).map(Vec::as_slice)
}

fn inclusion(index: u64, size: u64, tiles: &Tiles) -> Vec<Hash> {
    Plan::inclusion(index, size).unwrap().resolve(look(tiles)).unwrap()
}

fn consistency(old: u64, new: u64, tiles: &Tiles) -> Vec<Hash> {
    Plan::consistency(old, new).unwrap().resolve(look(tiles)).unwrap()
}

#[test]
fn roots_and_proofs_are_those_of_the_naive_implementation_for_all_small_trees() {
    let all = leaves(70);
    for n in 0..=70u64 {
        let ours = &all[..n as usize];
        let (tree, tiles) = grown(n);
        assert_eq!(tree.root(), naive_root(ours), "root of {n}");
        for i in 0..n {
            let proof = inclusion(i, n, &tiles);
            assert_eq!(proof, naive_path(i as usize, ours), "leaf {i} in {n}");
            verify_inclusion(&all[i as usize], i, n, &proof, &tree.root()).unwrap();
        }
        for old in 1..=n {
            let proof = consistency(old, n, &tiles);
            assert_eq!(proof, naive_subproof(old as usize, ours, true), "{old} to {n}");
            let old_root = naive_root(&all[..old as usize]);
            verify_consistency((old, &old_root), (n, &tree.root()), &proof).unwrap();
        }
    }
}

#[test]
fn a_tree_without_leaves_is_extended_by_every_tree() {
    let (tree, _) = grown(3);
    verify_consistency((0, &EMPTY_ROOT), (3, &tree.root()), &[]).unwrap();
    assert_eq!(verify_consistency((0, &[1; 32]), (3, &tree.root()), &[]), Err(ProofError::OtherRoot));
    let spare = verify_consistency((0, &EMPTY_ROOT), (3, &tree.root()), &[[1; 32]]);
    assert_eq!(spare, Err(ProofError::Length { found: 1 }));
    assert!(matches!(Plan::consistency(4, 3), Err(ProofError::Shrunk { .. })));
    assert!(matches!(Plan::inclusion(3, 3), Err(ProofError::NoSuchLeaf { .. })));
}

#[test]
fn a_missing_tile_is_named() {
    let (_, mut tiles) = grown(600);
    let gone = Tile { level: 0, index: 1, width: 256 };
    tiles.remove(&gone);
    let made = Plan::inclusion(300, 600).unwrap().resolve(look(&tiles));
    assert_eq!(made, Err(ProofError::MissingTile(gone)));
}

/// The independent crate's view of our tiles.
struct Reader<'a>(u64, &'a Tiles);

impl tlog_tiles::TileReader for Reader<'_> {
    fn height(&self) -> u8 {
        8
    }
    fn read_tiles(&self, wanted: &[TheirTile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        let read = |their: &TheirTile| {
            let ours = Tile { level: their.level(), index: their.level_index(), width: their.width() as u16 };
            self.1.get(&ours).cloned().ok_or_else(|| tlog_tiles::Error::InvalidInput(their.path()))
        };
        wanted.iter().map(read).collect()
    }
    fn save_tiles(&self, _: &[TheirTile], _: &[Vec<u8>]) {}
}

fn theirs(hash: &Hash) -> tlog_tiles::Hash {
    tlog_tiles::Hash(*hash)
}

fn ours(proof: &[tlog_tiles::Hash]) -> Vec<Hash> {
    proof.iter().map(|h| h.0).collect()
}

/// The independent crate's own tree: its stored hashes in its own order.
struct Stored(Vec<tlog_tiles::Hash>);

impl HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        Ok(indexes.iter().map(|&i| self.0[i as usize]).collect())
    }
}

fn their_tree(n: u64) -> Stored {
    let mut stored = Stored(vec![]);
    for i in 0..n {
        let new = tlog_tiles::stored_hashes(i, &entry(i), &stored).unwrap();
        stored.0.extend(new);
    }
    stored
}

#[test]
fn an_independent_implementation_accepts_our_tiles_and_proofs_and_we_theirs() {
    let (mut tile_count, mut inclusions, mut consistencies) = (0, 0, 0);
    for size in [1u64, 2, 3, 7, 255, 256, 257, 511, 700, 65_536, 65_537] {
        let (tree, tiles) = grown(size);
        let root = theirs(&tree.root());
        let stored = their_tree(size);
        assert_eq!(tlog_tiles::tree_hash(size, &stored).unwrap(), root, "root of {size}");
        for (tile, bytes) in &tiles {
            let their_tile = TheirTile::new(8, tile.level, tile.index, tile.width.into(), false);
            assert_eq!(their_tile.read_data(&stored).unwrap(), *bytes, "{tile}");
            tile_count += 1;
        }
        let reader = Reader(size, &tiles);
        let hashes = tlog_tiles::TileHashReader::new(size, root, &reader);
        let step = (size / 60).max(1);
        for i in (0..size).step_by(step as usize).chain([size - 1]) {
            let leaf = leaf_hash(&entry(i));
            let (mine, other) = (inclusion(i, size, &tiles), tlog_tiles::prove_record(size, i, &hashes).unwrap());
            tlog_tiles::check_record(&mine.iter().map(theirs).collect(), size, root, i, theirs(&leaf)).unwrap();
            verify_inclusion(&leaf, i, size, &ours(&other), &tree.root()).unwrap();
            inclusions += 1;
        }
        for old in (1..size).step_by(step as usize) {
            let old_root = tlog_tiles::tree_hash(old, &stored).unwrap();
            let (mine, other) = (consistency(old, size, &tiles), tlog_tiles::prove_tree(size, old, &hashes).unwrap());
            tlog_tiles::check_tree(&mine.iter().map(theirs).collect(), size, root, old, old_root).unwrap();
            verify_consistency((old, &old_root.0), (size, &tree.root()), &ours(&other)).unwrap();
            consistencies += 1;
        }
        assert_eq!(reader.0, size);
    }
    println!(
        "independent implementation `tlog_tiles`: {tile_count} tiles equal, {inclusions} inclusion and \
         {consistencies} consistency proofs accepted each way"
    );
    assert!(tile_count > 500 && inclusions > 400 && consistencies > 400);
}

#[test]
fn an_independent_implementation_names_tiles_as_we_do() {
    let mut count = 0;
    for (level, index, width) in
        [(0u8, 0u64, 256u16), (0, 999, 1), (0, 1000, 255), (3, 1_234_067, 256), (5, 999_999_999, 17)]
    {
        let their = TheirTile::new(8, level, index, width.into(), false).path();
        let path = Tile { level, index, width }.to_string();
        assert!(their == path || their == path.replacen("tile/", "tile/8/", 1), "{their} is not {path}");
        count += 1;
    }
    println!("independent implementation `tlog_tiles`: {count} tile paths equal");
}

#[test]
fn an_independent_implementation_accepts_our_checkpoints_and_we_theirs() {
    use signed_note::{Note as TheirNote, StandardSigner, StandardVerifier, VerifierList};
    let mut count = 0;
    for size in [0u64, 1, 300, 65_536] {
        let name = format!("log.example/size/{size}");
        let seed = sha256(name.as_bytes());
        let signer = Signer::from_seed(&name, &seed).unwrap();
        let checkpoint = Checkpoint::new(&name, size, grown(size).0.root());
        let note = checkpoint.sign(&signer).unwrap();
        let verifier = StandardVerifier::new(&signer.key().to_string()).unwrap();
        let known = VerifierList::new(vec![Box::new(verifier)]);
        let opened = TheirNote::from_bytes(note.as_bytes()).unwrap();
        assert_eq!(opened.verify(&known).unwrap().0.len(), 1);
        let read = tlog_tiles::Checkpoint::from_bytes(opened.text())
            .unwrap_or_else(|_| tlog_tiles::Checkpoint::from_bytes(&[opened.text(), b"\n"].concat()).unwrap());
        assert_eq!((read.origin(), read.size(), read.hash().0), (name.as_str(), size, checkpoint.root));
        let their_signer = StandardSigner::new(&their_signing_key(&signer, &seed)).unwrap();
        let mut their_note = TheirNote::new(checkpoint.text().as_bytes(), &[]).unwrap();
        their_note.add_sigs(&[&their_signer]).unwrap();
        let bytes = their_note.to_bytes();
        assert_eq!(bytes, note.as_bytes(), "Ed25519 is deterministic: both notes are the same bytes");
        assert_eq!(Checkpoint::open(std::str::from_utf8(&bytes).unwrap(), signer.key()), Ok(checkpoint));
        count += 1;
    }
    println!("independent implementation `signed_note`: {count} checkpoints accepted each way");
}

/// Go's text form of a signing key, which the independent crate reads.
fn their_signing_key(signer: &Signer, seed: &Hash) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let vkey = signer.key().to_string();
    let parts: Vec<_> = vkey.splitn(3, '+').collect();
    format!("PRIVATE+KEY+{}+{}+{}", parts[0], parts[1], STANDARD.encode([&[1][..], seed].concat()))
}

#[test]
fn a_proof_file_proves_its_entry_and_no_other() {
    let signer = Signer::from_seed("log.example", &[5; 32]).unwrap();
    let (tree, tiles) = grown(700);
    let checkpoint = Checkpoint::new("log.example", 700, tree.root());
    let file = ProofFile {
        entry: entry(256),
        index: 256,
        hashes: inclusion(256, 700, &tiles),
        checkpoint: checkpoint.sign(&signer).unwrap(),
    };
    let read = ProofFile::parse(&file.to_string()).unwrap();
    assert_eq!(read, file);
    assert_eq!(read.verify(signer.key()), Ok(checkpoint));
    let other = ProofFile { entry: entry(257), ..file };
    assert_eq!(other.verify(signer.key()), Err(BadProofFile::Proof(ProofError::OtherRoot)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_tree_grown_in_steps_gives_out_all_its_tiles(steps in proptest::collection::vec(0u64..400, 1..8)) {
        let total = steps.iter().sum();
        let all = leaves(total);
        let (mut tree, mut kept, mut at) = (Tree::new(), Tiles::new(), 0);
        for step in steps {
            // A restart between any two steps: only tiles survive, a wider one replaces a narrower.
            tree = Tree::resume(at, |tile| kept.get(&Tile { width: 0, ..tile }).cloned()).unwrap();
            all[at as usize..(at + step) as usize].iter().for_each(|leaf| tree.push(*leaf));
            kept.extend(tree.take_changed().into_iter().map(|(tile, bytes)| (Tile { width: 0, ..tile }, bytes)));
            at += step;
        }
        prop_assert_eq!(tree.root(), naive_root(&all));
        for (tile, bytes) in grown(total).1 {
            prop_assert_eq!(kept.get(&Tile { width: 0, ..tile }), Some(&bytes), "{}", tile);
        }
    }

    #[test]
    fn a_changed_proof_is_refused(size in 2u64..2000, index in 0u64..2000, old in 1u64..2000, noise: u64) {
        let (index, old) = (index % size, old % size + 1);
        let (tree, tiles) = grown(size);
        let root = tree.root();
        let leaf = leaf_hash(&entry(index));
        let proof = inclusion(index, size, &tiles);
        verify_inclusion(&leaf, index, size, &proof, &root).unwrap();
        let place = noise as usize % proof.len();
        let mut bent = proof.clone();
        bent[place][noise as usize % 32] ^= 1;
        prop_assert!(verify_inclusion(&leaf, index, size, &bent, &root).is_err());
        prop_assert!(verify_inclusion(&leaf, index, size, &proof[1..], &root).is_err());
        prop_assert!(verify_inclusion(&leaf, index, size, &[&proof[..], &[root]].concat(), &root).is_err());
        prop_assert!(verify_inclusion(&leaf, (index + 1) % size, size, &proof, &root).is_err());
        let old_root = naive_root(&leaves(old));
        let proof = consistency(old, size, &tiles);
        verify_consistency((old, &old_root), (size, &root), &proof).unwrap();
        prop_assert!(verify_consistency((old, &leaf), (size, &root), &proof).is_err());
        prop_assert!(verify_consistency((old, &old_root), (size, &leaf), &proof).is_err());
        prop_assert!(verify_consistency((old, &old_root), (size, &root), &[&proof[..], &[root]].concat()).is_err());
    }

    #[test]
    fn hostile_texts_never_panic(text in ".{0,200}", bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = (Note::parse(&text).is_ok(), Checkpoint::parse(&text).is_ok(), ProofFile::parse(&text).is_ok());
        let _ = (VerifierKey::parse(&text).is_ok(), TilePath::parse(&text).is_ok());
        let _ = Entries::new(&bytes).count();
        let mut rest = &bytes[..];
        while bundle::take_body(&mut rest).is_some() {}
        if let Some(block) = bytes.first_chunk() {
            let _ = bundle::read_header(block).is_ok();
        }
    }
}
