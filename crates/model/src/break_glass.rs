//! Break-glass: a person is an administrator for a while, on the record, and somebody looks at it afterwards.

use serde::{Deserialize, Serialize};

use crate::{BreakGlassId, Span, Timestamp};

/// One elevation. It ends by time or before, and is settled by a review.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakGlass {
    /// Its name. What is done under it carries this in the record.
    pub id: BreakGlassId,
    /// Who is elevated, by name.
    pub person: String,
    /// Why.
    pub reason: String,
    /// Who opened it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// From then on it is worth nothing.
    pub until: Timestamp,
    /// When somebody ended it before its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Who looked at what was done under it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reviewed_by: Option<String>,
    /// When they did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reviewed_at: Option<Timestamp>,
    /// What they found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<String>,
}

impl BreakGlass {
    /// The longest one.
    pub const LONGEST: Span = Span::hours(8);
    /// How long it lasts if nothing is said.
    pub const USUAL: Span = Span::hours(1);
    /// The rule of the finding that stays open until it was reviewed.
    pub const FINDING: &'static str = "break-glass-unreviewed";

    /// Is its person elevated?
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.ended_at.is_none() && self.at <= now && now < self.until
    }

    /// Has nobody looked at it yet?
    pub fn is_unreviewed(&self) -> bool {
        self.reviewed_at.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_open_for_its_time_and_no_longer() {
        let at = Timestamp::from_seconds(1_000);
        let glass = BreakGlass {
            id: "bgl_00000000000000000000000001".parse().unwrap(),
            person: "mara".into(),
            reason: "r".into(),
            by: "local:0".into(),
            at,
            until: at + BreakGlass::USUAL,
            ended_at: None,
            reviewed_by: None,
            reviewed_at: None,
            review: None,
        };
        assert!(glass.is_open(at) && glass.is_open(at + Span::minutes(59)));
        assert!(!glass.is_open(at + Span::hours(1)) && !glass.is_open(at - Span::seconds(1)));
        assert!(!BreakGlass { ended_at: Some(at), ..glass }.is_open(at));
    }
}
