//! How much work a run does.

/// The size of a run.
pub struct Scale {
    /// A tenth of everything.
    pub quick: bool,
    /// Peers too.
    pub peers: bool,
}

/// Interleaved rounds; the median of them is told.
pub const ROUNDS: usize = 3;

impl Scale {
    /// So many, or a tenth of it in a quick run.
    pub fn of(&self, full: usize) -> usize {
        if self.quick { (full / 10).max(1) } else { full }
    }
}

/// The middle of some figures.
pub fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = figures.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_middle_is_found() {
        assert_eq!(super::median([3.0, 1.0, 2.0]), 2.0);
        assert!(super::median([]).is_nan());
    }
}
