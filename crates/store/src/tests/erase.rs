//! Erasing a body.

use chancery_tlog::salted_hash;

use super::{draft, draft_with_body, open, place, verified};
use crate::{bodies, log};

const CANARY: &[u8] = b"the-name-of-a-person-who-asked-to-be-forgotten";

fn on_disk(dir: &std::path::Path) -> bool {
    let files = std::fs::read_dir(dir).unwrap().map(|f| std::fs::read(f.unwrap().path()).unwrap());
    files.into_iter().any(|bytes| bytes.windows(CANARY.len()).any(|w| w == CANARY))
}

#[tokio::test]
async fn a_body_matches_its_commitment() {
    let dir = place();
    let store = open(&dir).await;
    let at = store.append(draft_with_body("x", CANARY)).await.unwrap().position();
    let entry = log::entry(&store, at).await.unwrap().unwrap();
    let body = bodies::get(&store, at).await.unwrap().remove(0);
    let kept = body.kept.unwrap();
    assert_eq!(body.name, "arguments");
    assert_eq!(kept.content, CANARY);
    assert_eq!(entry.header.commitments.len(), 1);
    assert_eq!(entry.header.commitments[0].hash, salted_hash(&kept.salt, &kept.content));
}

#[tokio::test]
async fn erasing_leaves_the_entry_and_takes_the_content_off_the_disk() {
    let dir = place();
    let store = open(&dir).await;
    let (keep, forget, later) = tokio::join!(
        store.append(draft_with_body("keep", b"kept")),
        store.append(draft_with_body("forget", CANARY)),
        store.append(draft("no body")),
    );
    let (keep, forget) = (keep.unwrap().position(), forget.unwrap().position());
    later.unwrap();
    assert!(on_disk(dir.path()));
    let before = log::bytes(&store, forget).await.unwrap();
    let erased = store
        .write(draft("erase"), move |tx| Box::pin(async move { bodies::erase(tx, forget, None).await }))
        .await
        .unwrap();
    assert_eq!(erased.value, 1);
    assert!(!on_disk(dir.path()), "the content is still in a file of the data directory");
    assert_eq!(bodies::get(&store, forget).await.unwrap()[0].kept, None);
    assert_eq!(bodies::get(&store, keep).await.unwrap()[0].kept.as_ref().unwrap().content, b"kept");
    assert_eq!(log::bytes(&store, forget).await.unwrap(), before);
    assert_eq!(verified(&store).await, ["keep", "forget", "no body", "erase"]);
}

#[tokio::test]
async fn erasing_what_is_not_there_erases_nothing() {
    let dir = place();
    let store = open(&dir).await;
    let at = store.append(draft_with_body("x", CANARY)).await.unwrap().position();
    let nothing = store
        .write(draft("erase"), move |tx| Box::pin(async move { bodies::erase(tx, at, Some("result")).await }))
        .await
        .unwrap();
    assert_eq!(nothing.value, 0);
    assert!(bodies::get(&store, at).await.unwrap()[0].kept.is_some());
}

#[tokio::test]
async fn bodies_of_a_range_come_in_order() {
    let dir = place();
    let store = open(&dir).await;
    for n in 0..10u8 {
        let draft = if n % 2 == 0 { draft_with_body("even", &[n]) } else { draft("odd") };
        store.append(draft).await.unwrap();
    }
    let found = bodies::between(&store, 0, 3..9).await.unwrap();
    let contents: Vec<u8> = found.iter().map(|b| b.kept.as_ref().unwrap().content[0]).collect();
    assert_eq!(contents, [4, 6, 8]);
}

pub(super) const ON_BOTH: &[chancery_lend::Case] = chancery_lend::cases![
    a_body_matches_its_commitment,
    erasing_what_is_not_there_erases_nothing,
    bodies_of_a_range_come_in_order,
];
