//! The data directory: private to its owner, and to one process.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::StoreError;

/// Holds the directory for this process.
pub(crate) struct Lock(File);

impl Lock {
    pub(crate) fn release(&self) {
        if let Err(e) = self.0.unlock() {
            tracing::warn!(error = %e, "the data directory could not be unlocked");
        }
    }
}

/// Makes the directory if it is not there, durably; locks it.
pub(crate) fn prepare(dir: &Path) -> Result<Lock, StoreError> {
    make_private_dir(dir).map_err(|e| failed(dir, &e))?;
    let lock = lock(dir)?;
    sync_dir(dir).map_err(|e| failed(dir, &e))?;
    Ok(lock)
}

/// Makes an empty database file in the directory if there is none, durably.
pub(crate) fn database(dir: &Path) -> Result<PathBuf, StoreError> {
    let database = dir.join("chancery.db");
    let made = private_file(&database).and_then(|file| file.sync_all()).and_then(|()| sync_dir(dir));
    made.map_err(|e| failed(dir, &e))?;
    Ok(database)
}

fn failed(dir: &Path, why: &io::Error) -> StoreError {
    StoreError::Open { path: dir.display().to_string(), why: why.to_string() }
}

fn make_private_dir(dir: &Path) -> io::Result<()> {
    if !dir.is_dir() {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let above = dir.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        sync_dir(above)?;
    }
    std::fs::set_permissions(dir, Permissions::from_mode(0o700))
}

fn lock(dir: &Path) -> Result<Lock, StoreError> {
    let file = private_file(&dir.join("lock")).map_err(|e| failed(dir, &e))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: dir.display().to_string() }),
        Err(TryLockError::Error(e)) => Err(failed(dir, &e)),
    }
}

fn private_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

/// A new file is only there after a crash if its directory was synced.
fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
