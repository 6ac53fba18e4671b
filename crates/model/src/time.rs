//! Time as a parameter: whoever needs "now" is handed a [`Clock`].

use std::fmt;
use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

/// A point in time: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// A length of time in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(pub i64);

/// Where time comes from. The binary has one that reads the system; tests have one that they move.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock, for what people and other systems read.
    fn now(&self) -> Timestamp;
    /// A clock that never steps back, for lifetimes measured inside this process.
    fn monotonic(&self) -> Timestamp;
}

impl Timestamp {
    /// Whole seconds since the epoch, as JWT claims want them (RFC 7519, section 2, NumericDate).
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The start of the given second.
    pub fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// RFC 3339 in UTC with microseconds, for JSON and logs.
    pub fn rfc3339(self) -> String {
        jiff::Timestamp::from_microsecond(self.0).map_or_else(|_| format!("@{}us", self.0), |t| format!("{t:.6}"))
    }

    /// Reads RFC 3339, or a bare date as its midnight in UTC.
    pub fn parse(text: &str) -> Option<Self> {
        let instant = text.parse::<jiff::Timestamp>().ok();
        let midnight = || format!("{text}T00:00:00Z").parse::<jiff::Timestamp>().ok();
        instant.or_else(midnight).map(|t| Self(t.as_microsecond()))
    }
}

impl Span {
    /// So many seconds.
    pub const fn seconds(seconds: i64) -> Self {
        Self(seconds * 1_000_000)
    }

    /// So many minutes.
    pub const fn minutes(minutes: i64) -> Self {
        Self::seconds(minutes * 60)
    }

    /// So many hours.
    pub const fn hours(hours: i64) -> Self {
        Self::minutes(hours * 60)
    }

    /// So many days of 24 hours.
    pub const fn days(days: i64) -> Self {
        Self::hours(days * 24)
    }

    /// Whole seconds, rounded down.
    pub const fn as_seconds(self) -> i64 {
        self.0 / 1_000_000
    }
}

impl Add<Span> for Timestamp {
    type Output = Self;
    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Sub<Span> for Timestamp {
    type Output = Self;
    fn sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl Sub for Timestamp {
    type Output = Span;
    fn sub(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_survives_its_text_form() {
        let t = Timestamp(1_795_000_000_123_456);
        assert_eq!(Timestamp::parse(&t.rfc3339()), Some(t));
    }

    #[test]
    fn a_bare_date_is_its_midnight() {
        assert_eq!(Timestamp::parse("1970-01-02"), Some(Timestamp::from_seconds(86_400)));
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(Timestamp::parse("next tuesday"), None);
    }
}
