//! What not seeing something means.

use chancery_model::Gap;

/// Complete sweeps in a row without an object, before it is gone.
pub(crate) const MISSES: u32 = 2;
/// More than this share of a kind (one in so many) is not called missing without asking.
const SHARE: u64 = 5;
/// Fewer than so many are never held.
const FEWEST: u64 = 3;

/// Are so many missing, of so many that were there, that somebody is asked first?
pub(crate) const fn is_mass(missing: u64, present: u64) -> bool {
    missing >= FEWEST && missing * SHARE > present
}

/// Could a gap hide what stands there? Where nobody knows the place, any gap could.
pub(crate) fn hides(gaps: &[Gap], within: Option<&str>) -> bool {
    gaps.iter().any(|gap| within.is_none_or(|within| is_below(within, &gap.path)))
}

fn is_below(place: &str, gap: &str) -> bool {
    gap.is_empty()
        || place.strip_prefix(gap.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_hides_what_is_in_it_and_nothing_beside() {
        let gap = |path: &str| vec![Gap { path: path.to_owned(), reason: String::new() }];
        assert!(
            hides(&gap("a/b"), Some("a/b")) && hides(&gap("a/b"), Some("a/b/c")) && hides(&gap("a/b/"), Some("a/b/c"))
        );
        assert!(!hides(&gap("a/b"), Some("a/bc")) && !hides(&gap("a/b"), Some("a")));
        assert!(hides(&gap(""), Some("a")), "a gap without a place hides everything");
        assert!(hides(&gap("a"), None) && !hides(&[], None));
    }

    #[test]
    fn few_or_a_small_share_go_without_asking() {
        assert!(!is_mass(2, 2) && !is_mass(20, 100));
        assert!(is_mass(3, 3) && is_mass(21, 100) && is_mass(1_000_000, 1_000_000));
    }
}
