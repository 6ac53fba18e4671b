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

/// Makes the directory and an empty database file if they are not there, durably; locks the directory.
pub(crate) fn prepare(dir: &Path) -> Result<(Lock, PathBuf), StoreError> {
    let failed = |e: io::Error| StoreError::Open { path: dir.display().to_string(), why: e.to_string() };
    make_private_dir(dir).map_err(failed)?;
    let lock = lock(dir)?;
    let database = dir.join("chancery.db");
    private_file(&database).and_then(|file| file.sync_all()).map_err(failed)?;
    sync_dir(dir).map_err(failed)?;
    Ok((lock, database))
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
    let path = dir.display().to_string();
    let file =
        private_file(&dir.join("lock")).map_err(|e| StoreError::Open { path: path.clone(), why: e.to_string() })?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path }),
        Err(TryLockError::Error(e)) => Err(StoreError::Open { path, why: e.to_string() }),
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
