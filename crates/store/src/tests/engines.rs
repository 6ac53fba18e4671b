//! The same tests on the other engine.

use super::{change, erase, failure, group, nouns, opening, oversight, people, tree};

/// What is about files of SQLite.
const OF_SQLITE: [&str; 6] = [
    "a_failed_commit_is_everybodys_error_and_the_last",
    "a_file_that_is_no_database_is_refused",
    "a_full_disk_inside_a_change_acknowledges_nobody_wrongly",
    "erasing_leaves_the_entry_and_takes_the_content_off_the_disk",
    "failed_and_not_there",
    "files_are_private",
];

#[test]
fn what_holds_on_sqlite_holds_on_postgresql() {
    chancery_lend::on_postgres(&[
        change::ON_BOTH,
        erase::ON_BOTH,
        failure::ON_BOTH,
        group::ON_BOTH,
        nouns::ON_BOTH,
        opening::ON_BOTH,
        oversight::ON_BOTH,
        people::ON_BOTH,
        tree::ON_BOTH,
    ]);
}

#[test]
fn no_test_is_left_out_on_postgresql() {
    let texts = [
        include_str!("change.rs"),
        include_str!("erase.rs"),
        include_str!("failure.rs"),
        include_str!("group.rs"),
        include_str!("nouns.rs"),
        include_str!("opening.rs"),
        include_str!("oversight.rs"),
        include_str!("people.rs"),
        include_str!("tree.rs"),
    ];
    let left_out: Vec<String> = texts.iter().flat_map(|text| chancery_lend::left_out(text, &OF_SQLITE)).collect();
    assert_eq!(left_out, [""; 0]);
}
