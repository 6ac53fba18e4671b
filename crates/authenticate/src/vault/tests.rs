//! Sealing and opening.

use super::*;
use crate::testing::Counting;

const SECRETS: Place<'_> = Place { table: "secrets", row: "crm-token" };

fn vault(dir: &Path, seed: u64) -> Result<Vault, VaultError> {
    let data = dir.join("data");
    fs::create_dir_all(&data).unwrap();
    Vault::open(&dir.join("keys/kek"), &data, Counting::from(seed))
}

#[test]
fn what_is_sealed_opens_in_its_place_only() {
    let dir = tempfile::tempdir().unwrap();
    let vault = vault(dir.path(), 1).unwrap();
    let sealed = vault.seal(SECRETS, b"hunter2").unwrap();
    assert_eq!(*vault.unseal(SECRETS, &sealed).unwrap(), b"hunter2");
    assert_eq!(vault.unseal_text(SECRETS, &sealed).unwrap().expose(), "hunter2");
    assert!(!sealed.windows(7).any(|w| w == b"hunter2"));
    for place in [Place { table: "secrets", row: "billing-token" }, Place { table: "keys", row: "crm-token" }] {
        assert!(vault.unseal(place, &sealed).is_err(), "{place:?}");
    }
}

#[test]
fn every_changed_bit_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let vault = vault(dir.path(), 1).unwrap();
    let sealed = vault.seal(SECRETS, b"hunter2").unwrap();
    for bit in 0..sealed.len() * 8 {
        let mut changed = sealed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(vault.unseal(SECRETS, &changed).is_err(), "bit {bit}");
    }
    for length in 0..sealed.len() {
        assert!(vault.unseal(SECRETS, &sealed[..length]).is_err(), "cut to {length}");
    }
}

#[test]
fn the_key_is_made_once_and_only_its_owner_reads_it() {
    let dir = tempfile::tempdir().unwrap();
    let sealed = vault(dir.path(), 1).unwrap().seal(SECRETS, b"x").unwrap();
    let mode = fs::metadata(dir.path().join("keys/kek")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o400);
    assert!(vault(dir.path(), 2).unwrap().unseal(SECRETS, &sealed).is_ok());
    fs::remove_file(dir.path().join("keys/kek")).unwrap();
    let other = vault(dir.path(), 3).unwrap();
    assert!(matches!(other.unseal(SECRETS, &sealed), Err(VaultError::Sealed { .. })), "another key opens nothing");
}

#[tokio::test]
async fn a_lost_key_is_not_replaced_once_something_is_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let (file, data) = (dir.path().join("keys/kek"), dir.path().join("data"));
    let settings = chancery_store::Config::at(&data);
    let (clock, random) = (crate::testing::MockClock::at(1_795_000_000), Counting::from(1));
    let store = Store::open(&settings, clock.clone(), random.clone()).await.unwrap();
    let open = async || Vault::of(&store, &file, &data, random.clone()).await;
    open().await.unwrap();
    fs::remove_file(&file).unwrap();
    fs::write(file.with_extension("new"), "half of a li").unwrap();
    let vault = open().await.expect("nothing was sealed with it");
    assert!(!file.with_extension("new").exists());
    crate::LogKey::load(&store, &vault, &*clock, &*random).await.unwrap();
    open().await.unwrap();
    fs::remove_file(&file).unwrap();
    let refused = open().await.unwrap_err();
    assert!(matches!(&refused, VaultError::Missing { path } if *path == file), "{refused}");
    assert!(!file.exists(), "no other key is made");
}

#[test]
fn a_key_that_others_can_read_or_that_lies_with_the_data_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    vault(dir.path(), 1).unwrap();
    let file = dir.path().join("keys/kek");
    for mode in [0o440, 0o404, 0o644, 0o420] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        assert!(matches!(vault(dir.path(), 1), Err(VaultError::Unsafe { .. })), "{mode:o}");
    }
    let data = dir.path().join("data");
    let inside = Vault::open(&data.join("sub/kek"), &data, Counting::from(1));
    assert!(matches!(inside, Err(VaultError::Unsafe { .. })));
}

#[test]
fn a_rotated_key_seals_anew_and_still_opens_the_old() {
    let dir = tempfile::tempdir().unwrap();
    let first = vault(dir.path(), 1).unwrap();
    let sealed = first.seal(SECRETS, b"x").unwrap();
    let file = dir.path().join("keys/kek");
    let line = format!("{}2 {}\n", fs::read_to_string(&file).unwrap(), encode(&[9; 32]));
    fs::remove_file(&file).unwrap();
    fs::write(&file, line).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
    let second = vault(dir.path(), 1).unwrap();
    assert_eq!((second.version(), Vault::version_of(&sealed)), (2, Some(1)));
    assert_eq!(*second.unseal(SECRETS, &sealed).unwrap(), b"x");
    let renewed = second.seal(SECRETS, b"x").unwrap();
    assert!(matches!(first.unseal(SECRETS, &renewed), Err(VaultError::Version(2))));
}

#[test]
fn a_key_file_of_nonsense_is_refused() {
    for text in ["", "1", "1 short", "x AAAA", "1 AA==\n"] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("kek");
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
        let data = dir.path().join("data");
        assert!(matches!(Vault::open(&file, &data, Counting::from(1)), Err(VaultError::Unsafe { .. })), "{text:?}");
    }
}
