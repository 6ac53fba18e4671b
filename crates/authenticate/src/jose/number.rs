//! NumericDate (RFC 7519, section 2): seconds since 1970, as a JSON number.

use std::fmt;

use chancery_model::Timestamp;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

/// A point in time out of a claim. Texts, negative numbers and numbers beyond the year 10000 are refused;
/// a fraction is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NumericDate(i64);

/// 9999-12-31T23:59:59Z.
const LAST: i64 = 253_402_300_799;

impl NumericDate {
    /// The start of that second.
    pub fn timestamp(self) -> Timestamp {
        Timestamp::from_seconds(self.0)
    }
}

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Seconds)
    }
}

struct Seconds;

impl Visitor<'_> for Seconds {
    type Value = NumericDate;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("seconds since 1970 as a number")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<NumericDate, E> {
        match i64::try_from(value) {
            Ok(seconds) if seconds <= LAST => Ok(NumericDate(seconds)),
            _ => Err(E::custom("a time out of range")),
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<NumericDate, E> {
        if value.is_finite() && (0.0..=LAST as f64).contains(&value) {
            #[expect(clippy::cast_possible_truncation, reason = "the range was just checked; the fraction is to go")]
            return Ok(NumericDate(value as i64));
        }
        Err(E::custom("a time out of range"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_in_range_are_times() {
        for (text, seconds) in [("0", 0), ("1795000000", 1_795_000_000), ("1795000000.9", 1_795_000_000)] {
            assert_eq!(serde_json::from_str::<NumericDate>(text).unwrap(), NumericDate(seconds));
        }
        for text in [r#""1795000000""#, "-1", "1e400", "1e18", "18446744073709551615", "null", "true", "[1]", "{}"] {
            assert!(serde_json::from_str::<NumericDate>(text).is_err(), "{text}");
        }
    }
}
