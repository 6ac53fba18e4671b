//! Findings about people who decide without looking.

use chancery_model::{Approval, Change, Draft, Finding, Kind, Span, canonical};
use chancery_store::findings;

use super::{ApprovalError, Approvals, Metrics, metrics};

/// How far back it is looked at how somebody decides.
const LOOKED_AT: Span = Span::days(30);

impl Approvals {
    /// Opens a finding about whoever decides without looking, and closes it when they look again.
    pub(super) async fn look_at(&self, person: &str, said_to: &Approval, approved: bool) -> Result<(), ApprovalError> {
        if said_to.decoy {
            self.taken_in(person, said_to, approved).await?;
        }
        let now = self.clock.now();
        let found = metrics(&self.since(now - LOOKED_AT).await?);
        let hasty = found.into_iter().find(|metrics| metrics.person == person).filter(Metrics::is_hasty);
        let open = findings::open_ones(&self.store).await?;
        let known = open.into_iter().find(|known| known.rule == Metrics::FINDING && known.subject == person);
        match (hasty, known) {
            (Some(metrics), None) => self.find(metrics.finding(now), "open").await,
            (None, Some(known)) => self.find(known, "close").await,
            _ => Ok(()),
        }
    }

    /// Opens a finding, or closes it.
    pub(super) async fn find(&self, finding: Finding, verb: &'static str) -> Result<(), ApprovalError> {
        let now = self.clock.now();
        let after = serde_json::to_value(&finding).ok().and_then(|value| canonical(&value).ok());
        let after = after.map(|json| String::from_utf8_lossy(&json).into_owned());
        let id = format!("{}/{}", finding.rule, finding.subject);
        let change = Some(Change { noun: "finding".into(), id, verb: verb.into(), after });
        let draft = Draft { kind: Kind::Change, at: now, change, ..Draft::default() };
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                match verb {
                    "open" => findings::open(tx, &finding).await,
                    _ => findings::close(tx, &finding.rule, &finding.subject, now).await.map(drop),
                }
            })
        });
        write.await?;
        Ok(())
    }
}
