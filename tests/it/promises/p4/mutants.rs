//! Mutants of structure: what somebody does who knows the format.

use chancery_tlog::{Entries, push_entry};

use super::log::{File, pack};

/// Small and reproducible: a sequence of numbers from a seed (SplitMix64).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }
}

/// A kind of mutant, by name.
pub type Kind = (&'static str, fn(&mut Vec<File>, &mut Dice));

/// Every kind. Each leaves an archive in good form: only what is in it is wrong.
pub const KINDS: [Kind; 18] = [
    ("member dropped", |files, dice| drop(files.remove(dice.below(files.len())))),
    ("member twice", |files, dice| {
        let i = dice.below(files.len());
        files.insert(i, files[i].clone());
    }),
    ("members swapped", |files, dice| {
        let (i, k) = (dice.below(files.len()), dice.below(files.len()));
        files.swap(i, k);
    }),
    ("contents swapped", |files, dice| {
        let (i, k) = (dice.below(files.len()), dice.below(files.len()));
        let content = files[i].content.clone();
        files[i].content = std::mem::replace(&mut files[k].content, content);
    }),
    ("member renamed", |files, dice| {
        let i = dice.below(files.len());
        files[i].path.push('0');
    }),
    ("member cut", |files, dice| {
        let i = dice.below(files.len());
        let end = dice.below(files[i].content.len().max(1));
        files[i].content.truncate(end);
    }),
    ("member longer", |files, dice| {
        let i = dice.below(files.len());
        files[i].content.push(dice.below(256) as u8);
    }),
    ("foreign member", |files, dice| {
        let i = dice.below(files.len() + 1);
        files.insert(i, File { path: "notes.txt".into(), content: b"hello".to_vec() });
    }),
    ("entry dropped", |files, dice| entries(files, dice, |all, i, _| drop(all.remove(i)))),
    ("entry twice", |files, dice| entries(files, dice, |all, i, _| all.insert(i, all[i].clone()))),
    ("entries swapped", |files, dice| entries(files, dice, |all, i, k| all.swap(i, k))),
    ("entry replaced", |files, dice| entries(files, dice, |all, i, k| all[i] = all[k].clone())),
    ("entry cut", |files, dice| {
        entries(files, dice, |all, i, _| {
            all[i].pop();
        })
    }),
    ("body dropped", |files, dice| bodies(files, dice, |all, i, _| drop(all.remove(i)))),
    ("body twice", |files, dice| bodies(files, dice, |all, i, _| all.insert(i, all[i].clone()))),
    ("bodies swapped", |files, dice| bodies(files, dice, |all, i, k| all.swap(i, k))),
    ("body of another entry", |files, dice| {
        bodies(files, dice, |all, i, k| {
            let content = all[k][6..].to_vec();
            all[i].truncate(6);
            all[i][2..6].copy_from_slice(&(content.len() as u32 - 32).to_be_bytes());
            all[i].extend(content);
        });
    }),
    ("hashes of a tile swapped", |files, dice| {
        let tiles: Vec<usize> = indices(files, |path| path.starts_with("tile/") && !path.starts_with("tile/entries"));
        let content = &mut files[tiles[dice.below(tiles.len())]].content;
        let count = content.len() / 32;
        let (i, k) = (dice.below(count) * 32, dice.below(count) * 32);
        for byte in 0..32 {
            content.swap(i + byte, k + byte);
        }
    }),
];

/// The `number`th mutant, or nothing if it happens to be the original.
pub fn mutant(number: usize, original: &[File]) -> Option<(&'static str, Vec<u8>)> {
    let mut dice = Dice::new(number as u64);
    let (name, bend) = KINDS[number % KINDS.len()];
    let mut files = original.to_vec();
    bend(&mut files, &mut dice);
    (files != original).then(|| (name, pack(&files)))
}

fn indices(files: &[File], wanted: impl Fn(&str) -> bool) -> Vec<usize> {
    (0..files.len()).filter(|&i| wanted(&files[i].path)).collect()
}

fn entries(files: &mut [File], dice: &mut Dice, bend: fn(&mut Vec<Vec<u8>>, usize, usize)) {
    let groups = indices(files, |path| path.starts_with("tile/entries/"));
    let content = &mut files[groups[dice.below(groups.len())]].content;
    let mut all: Vec<Vec<u8>> = Entries::new(content).map(|entry| entry.unwrap().to_vec()).collect();
    let (i, k) = (dice.below(all.len()), dice.below(all.len()));
    bend(&mut all, i, k);
    content.clear();
    all.iter().for_each(|entry| push_entry(content, entry).unwrap());
}

/// Bodies as raw records: entry (1 byte), commitment (1), length (4), salt (32), content.
fn bodies(files: &mut [File], dice: &mut Dice, bend: fn(&mut Vec<Vec<u8>>, usize, usize)) {
    let groups = indices(files, |path| path.starts_with("bodies/"));
    let content = &mut files[groups[dice.below(groups.len())]].content;
    let mut all = vec![];
    let mut rest = &content[..];
    while let Some(length) = rest.get(2..6) {
        let end = 38 + u32::from_be_bytes(length.try_into().unwrap()) as usize;
        all.push(rest[..end].to_vec());
        rest = &rest[end..];
    }
    let (i, k) = (dice.below(all.len()), dice.below(all.len()));
    bend(&mut all, i, k);
    *content = all.concat();
}
