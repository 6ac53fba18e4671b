//! (b) The power is cut: a file system of its own is shut down so that everything that was not synced is gone.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::Duration;

use tempfile::TempDir;

use super::subject::{Subject, command};
use super::{ACKNOWLEDGED, Seen, seeded};
use crate::promises::{Size, size};

/// Makes every sync of a process do nothing and say that it did: what a store with `synchronous=OFF` would be.
pub const NO_SYNCS: [&str; 9] =
    ["strace", "-f", "-q", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:retval=0"];

/// Waits for a line and shuts the file system down, without writing its journal first (`XFS_IOC_GOINGDOWN`, and
/// `EXT4_IOC_SHUTDOWN` is the same number, with the flag `NOLOGFLUSH`).
const CUT: &str = "
import fcntl, os, struct, sys
at = os.open(sys.argv[1], os.O_RDONLY)
sys.stdin.readline()
fcntl.ioctl(at, 0x8004587D, struct.pack('I', 2))
";

/// A file system in a file, mounted while this lives.
pub struct Disk {
    home: TempDir,
    mounted: bool,
}

/// A hand at the switch: a process that waits with the file system open, so that the cut comes at once.
pub struct Switch(Child);

/// Runs a program; what it said, if it failed.
fn run(program: &str, args: &[&Path]) -> Result<(), String> {
    let output = command(program).args(args).output().map_err(|e| format!("`{program}`: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("`{program}`: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

impl Disk {
    pub fn make(file_system: &str) -> Result<Self, String> {
        let home = tempfile::tempdir().map_err(|e| e.to_string())?;
        std::fs::create_dir(home.path().join("mnt")).map_err(|e| e.to_string())?;
        let disk = Self { home, mounted: false };
        std::fs::File::create(disk.image()).and_then(|image| image.set_len(320 << 20)).map_err(|e| e.to_string())?;
        run(&format!("mkfs.{file_system}"), &["-q".as_ref(), &disk.image()])?;
        disk.mount()
    }

    fn image(&self) -> PathBuf {
        self.home.path().join("image")
    }

    pub fn mount_point(&self) -> PathBuf {
        self.home.path().join("mnt")
    }

    fn mount(mut self) -> Result<Self, String> {
        run("mount", &["-o".as_ref(), "loop".as_ref(), &self.image(), &self.mount_point()])?;
        self.mounted = true;
        Ok(self)
    }

    pub fn switch(&self) -> Result<Switch, String> {
        let mut hand = command("python3");
        hand.args(["-c", CUT]).arg(self.mount_point()).stdin(Stdio::piped()).stdout(Stdio::null());
        hand.spawn().map(Switch).map_err(|e| format!("`python3`: {e}"))
    }

    /// What a machine does when the power comes back.
    pub fn come_back(mut self) -> Result<Self, String> {
        run("umount", &[&self.mount_point()])?;
        self.mounted = false;
        self.mount()
    }
}

impl Switch {
    /// From this moment nothing more reaches the image, and what was not synced never will.
    ///
    /// A sync that is under way in this very moment may report success and yet be lost: with a real power cut nobody
    /// would hear of it. So callers stop counting acknowledgements just before.
    pub fn cut(mut self) -> Result<(), String> {
        let said = self.0.stdin.take().map(|mut stdin| stdin.write_all(b"now\n"));
        let ended = said.ok_or("no input")?.and_then(|()| self.0.wait()).map_err(|e| e.to_string())?;
        if ended.success() { Ok(()) } else { Err(format!("the power was not cut: {ended}")) }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted
            && let Err(why) = run("umount", &[&self.mount_point()])
        {
            println!("left behind: {why}");
        }
    }
}

/// Cuts the power again and again on the same data; returns cuts, acknowledgements and the breach.
fn cut_again_and_again(disk: Disk, cuts: u64, wrapper: &[&str]) -> Result<(u64, usize, Option<String>), String> {
    let random = seeded("power cuts");
    let mut seen = Seen::new();
    let mut disk = disk;
    for cut in 1..=cuts {
        let data = disk.mount_point().join("data");
        let mut subject = Subject::append_loop(&data, &format!("p{cut}"), &["load", "64"]);
        subject.wrapper = wrapper.iter().map(OsString::from).collect();
        let (running, switch) = (subject.start(), disk.switch()?);
        assert!(running.wait_until_ready(), "the process does not start after {} power cuts", cut - 1);
        sleep(Duration::from_micros(random.between(20_000, 300_000)));
        running.stop_counting();
        switch.cut()?;
        seen.extend(running.end().1);
        disk = disk.come_back()?;
        if let Err(breach) = ACKNOWLEDGED.check(&data, &seen) {
            return Ok((cut, seen.len(), Some(breach)));
        }
    }
    Ok((cuts, seen.len(), None))
}

/// A disk, or a loud word why there is none.
pub fn disk_or_skip(file_system: &str, cuts: u64) -> Option<Disk> {
    match run("python3", &["--version".as_ref()]).and_then(|()| Disk::make(file_system)) {
        Ok(disk) => Some(disk),
        Err(why) => {
            println!("skipped: P1, {cuts} power cuts on {file_system}: no loop-mounted file system here ({why})");
            None
        }
    }
}

/// Whether system calls can be made to fail here, or a loud word that they cannot.
pub fn strace_or_skip(what: &str) -> bool {
    let why = run("strace", &["--version".as_ref()]).err();
    if let Some(why) = &why {
        println!("skipped: P1, {what}: {why}");
    }
    why.is_none()
}

fn survives(file_system: &str) {
    let cuts = if size() == Size::Full { 100 } else { 5 };
    let Some(disk) = disk_or_skip(file_system, cuts) else { return };
    let (cuts, acknowledged, breach) = cut_again_and_again(disk, cuts, &[]).unwrap();
    assert_eq!(breach, None);
    assert!(acknowledged > 100, "only {acknowledged} acknowledgements: nothing was tried");
    println!("promise P1 power, {file_system}: {cuts} power cuts, {acknowledged} acknowledged entries, 0 lost");
}

/// The same with syncs that do nothing.
fn loses_without_syncs(file_system: &str) {
    let Some(disk) = disk_or_skip(file_system, 10) else { return };
    if !strace_or_skip(&format!("negative control of the power cuts on {file_system}")) {
        return;
    }
    let (cuts, acknowledged, breach) = cut_again_and_again(disk, 10, &NO_SYNCS).unwrap();
    let breach = breach.expect("10 power cuts did not show that nothing was synced");
    println!(
        "promise P1 power, {file_system}, negative control: breach after {cuts} cuts and {acknowledged} \
         acknowledgements ({breach})"
    );
}

#[test]
fn no_acknowledged_entry_is_lost_to_a_power_cut_on_xfs() {
    survives("xfs");
}

#[test]
fn no_acknowledged_entry_is_lost_to_a_power_cut_on_ext4() {
    survives("ext4");
}

#[test]
fn syncs_that_do_nothing_would_be_noticed_on_xfs() {
    loses_without_syncs("xfs");
}

#[test]
fn syncs_that_do_nothing_would_be_noticed_on_ext4() {
    loses_without_syncs("ext4");
}
