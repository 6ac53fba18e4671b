//! Secrets at rest: sealed with AES-256-GCM-SIV (RFC 8452) under a key that lives in a file outside the data directory.
//!
//! The associated data names the place (`table|row|version`), so that a sealed value moved to another row or table does
//! not open. Each sealed value says which version of the key it needs; the newest seals, every known one opens.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use chancery_model::{Random, Secret};
use chancery_store::{Store, StoreError};
use zeroize::Zeroizing;

use crate::jose::{decode_array, encode};

/// Bytes before the ciphertext: version (u32, big-endian) and nonce.
const PREFIX: usize = 4 + 12;

/// A vault that cannot be opened, or a value in it that cannot.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The key file cannot be read or made.
    #[error("the key file `{path}` cannot be {verb}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What was tried.
        verb: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// The key file is not acceptable as it is.
    #[error("the key file `{path}` {why}")]
    Unsafe {
        /// Which file.
        path: PathBuf,
        /// What is wrong and what to do.
        why: &'static str,
    },
    /// What is stored was sealed with a key file that is not there.
    #[error(
        "the key file `{path}` is missing, and the database holds what was sealed with it: restore that file from its \
         backup; with another key nothing of it would open"
    )]
    Missing {
        /// Which file.
        path: PathBuf,
    },
    /// The store failed.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A sealed value needs a key version that the key file does not have.
    #[error("sealed under key version {0}, which the key file does not have: restore the key file it was sealed with")]
    Version(u32),
    /// Damaged, moved from another row, or sealed under another key.
    #[error(
        "a sealed value of `{table}` does not open: it was damaged, moved from another row, or the key file is another one"
    )]
    Sealed {
        /// Which table.
        table: &'static str,
    },
}

/// Where a sealed value lives. It opens nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The table, for instance `secrets`.
    pub table: &'static str,
    /// The row's id.
    pub row: &'a str,
}

/// Seals and opens. Cheap to clone.
#[derive(Clone)]
pub struct Vault {
    keys: Arc<BTreeMap<u32, LessSafeKey>>,
    random: Arc<dyn Random>,
}

impl Vault {
    /// Opens the vault that `store` is sealed with. A new key is made only for a store in which nothing is sealed yet.
    pub async fn of(store: &Store, file: &Path, data: &Path, random: Arc<dyn Random>) -> Result<Self, VaultError> {
        if !file.exists() && chancery_store::keys::any_sealed(store).await? {
            return Err(VaultError::Missing { path: file.to_owned() });
        }
        Self::open(file, data, random)
    }

    /// Opens the vault whose key is in this file, which is made (0400) if it is not there yet.
    /// Refused: a key file inside `data`, or one that others can read.
    pub fn open(file: &Path, data: &Path, random: Arc<dyn Random>) -> Result<Self, VaultError> {
        if !file.exists() {
            create(file, &*random)?;
        }
        refuse_unsafe(file, data)?;
        let text = Zeroizing::new(fs::read_to_string(file).map_err(io(file, "read"))?);
        let keys = parse(&text).ok_or(VaultError::Unsafe {
            path: file.to_owned(),
            why: "does not hold lines of a version number and 32 bytes of base64url",
        })?;
        Ok(Self { keys: Arc::new(keys), random })
    }

    /// The key version that seals now. Values with a lower one are to be sealed again.
    pub fn version(&self) -> u32 {
        self.keys.last_key_value().map_or(0, |(version, _)| *version)
    }

    /// The key version a sealed value needs.
    pub fn version_of(sealed: &[u8]) -> Option<u32> {
        Some(u32::from_be_bytes(sealed.get(..4)?.try_into().ok()?))
    }

    /// Seals some bytes for one place.
    pub fn seal(&self, place: Place<'_>, secret: &[u8]) -> Result<Vec<u8>, VaultError> {
        let version = self.version();
        let key = self.keys.get(&version).ok_or(VaultError::Version(version))?;
        let nonce = self.random.bytes::<12>();
        let mut body = Zeroizing::new(Vec::with_capacity(secret.len() + 16));
        body.extend_from_slice(secret);
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad(place, version)), &mut *body)
            .map_err(|_| VaultError::Sealed { table: place.table })?;
        Ok([&version.to_be_bytes(), &nonce[..], &body].concat())
    }

    /// Opens what was sealed for this place.
    pub fn unseal(&self, place: Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let broken = || VaultError::Sealed { table: place.table };
        let version = Self::version_of(sealed).ok_or_else(broken)?;
        let key = self.keys.get(&version).ok_or(VaultError::Version(version))?;
        let nonce = sealed.get(4..PREFIX).and_then(|n| Nonce::try_assume_unique_for_key(n).ok()).ok_or_else(broken)?;
        let mut body = Zeroizing::new(sealed.get(PREFIX..).ok_or_else(broken)?.to_vec());
        let length = key.open_in_place(nonce, Aad::from(aad(place, version)), &mut body).map_err(|_| broken())?.len();
        body.truncate(length);
        Ok(body)
    }

    /// Opens a sealed text.
    pub fn unseal_text(&self, place: Place<'_>, sealed: &[u8]) -> Result<Secret, VaultError> {
        let bytes = self.unseal(place, sealed)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| VaultError::Sealed { table: place.table })?;
        Ok(Secret::new(text.to_owned()))
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault(version {})", self.version())
    }
}

fn aad(place: Place<'_>, version: u32) -> Vec<u8> {
    format!("{}|{}|{version}", place.table, place.row).into_bytes()
}

fn parse(text: &str) -> Option<BTreeMap<u32, LessSafeKey>> {
    let mut keys = BTreeMap::new();
    for line in text.lines().filter(|l| !l.trim().is_empty()) {
        let (version, key) = line.split_once(' ')?;
        let key = Zeroizing::new(decode_array::<32>(key.trim()).ok()?);
        let key = UnboundKey::new(&AES_256_GCM_SIV, &*key).ok()?;
        if keys.insert(version.parse().ok()?, LessSafeKey::new(key)).is_some() {
            return None;
        }
    }
    if keys.is_empty() { None } else { Some(keys) }
}

/// Makes the key file, whole or not at all. It is on the disk, and so is its name, before anything is sealed with it.
fn create(file: &Path, random: &dyn Random) -> Result<(), VaultError> {
    let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io(file, "made"))?;
    let key = Zeroizing::new(random.bytes::<32>());
    let line = Zeroizing::new(format!("1 {}\n", encode(&*key)));
    let beside = file.with_extension("new");
    // Of a start that was cut off: nothing was sealed with it.
    let _ = fs::remove_file(&beside);
    let write = || {
        let mut out = fs::OpenOptions::new().write(true).create_new(true).mode(0o400).open(&beside)?;
        out.write_all(line.as_bytes())?;
        out.sync_all()?;
        // Unlike a renaming, a link takes no other file's place.
        fs::hard_link(&beside, file)?;
        fs::remove_file(&beside)?;
        let above = folder.canonicalize()?;
        above.ancestors().take(2).try_for_each(|folder| fs::File::open(folder)?.sync_all())
    };
    write().map_err(io(file, "written"))
}

fn refuse_unsafe(file: &Path, data: &Path) -> Result<(), VaultError> {
    let refused = |why| VaultError::Unsafe { path: file.to_owned(), why };
    let real = file.canonicalize().map_err(io(file, "read"))?;
    if data.canonicalize().is_ok_and(|data| real.starts_with(data)) {
        return Err(refused("is inside the data directory: whoever copies the data would have the key; move it out"));
    }
    let mode = fs::metadata(&real).map_err(io(file, "read"))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(refused("can be read by others: run `chmod 400` on it"));
    }
    Ok(())
}

fn io<'a>(file: &'a Path, verb: &'static str) -> impl Fn(std::io::Error) -> VaultError + 'a {
    move |source| VaultError::File { path: file.to_owned(), verb, source }
}

#[cfg(test)]
mod tests;
