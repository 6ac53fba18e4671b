//! The laws of the house. Each law is a function from what is in the tree to its breaches; each is also shown
//! something broken, so that a law that has gone blind fails as loudly as a broken one.

mod floors;
mod ledgers;
mod scan;
mod sizes;
mod supply;
mod texts;
mod tree;

/// Fails with every breach on a line of its own.
#[track_caller]
fn none(law: &str, breaches: &[String]) {
    assert!(breaches.is_empty(), "{law}\n  {}\n({} in all)", breaches.join("\n  "), breaches.len());
}
