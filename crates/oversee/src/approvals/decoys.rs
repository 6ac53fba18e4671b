//! Decoys: requests about no call, beyond what policies allow. Whoever says yes to one has not looked.

use std::sync::atomic::Ordering;

use chancery_model::{Approval, Digest, Finding, Severity};
use chancery_store::{approvals, findings};

use super::{ApprovalError, Approvals, Wanted};

impl Approvals {
    /// The rule of the finding about whoever said yes to one.
    pub const TAKEN_IN: &'static str = "approved-a-decoy";

    /// Is it time for one? Then the requests until the next are counted anew.
    pub fn wants_decoy(&self) -> bool {
        let wanted = self.config.decoys;
        let due = |count: u64| (wanted > 0 && count >= wanted).then_some(0);
        self.since_decoy.fetch_update(Ordering::Relaxed, Ordering::Relaxed, due).is_ok()
    }

    /// Puts one among the requests. Its call is one that nobody can make.
    pub async fn place_decoy(&self, wanted: &Wanted<'_>) -> Result<(), ApprovalError> {
        let mut drawn = [0; 32];
        self.random.fill(&mut drawn);
        let wanted = Wanted { call: Digest((self.sha256)(&drawn)), ..wanted.clone() };
        let decoy = Approval { decoy: true, ..self.made(&wanted, self.clock.now()) };
        let draft = self.requested(&wanted, &decoy);
        self.store.write(draft, move |tx| Box::pin(async move { approvals::insert(tx, &decoy).await })).await?;
        Ok(())
    }

    /// Opens a finding about whoever said yes to one, and closes it when they say no to another.
    pub(super) async fn taken_in(&self, person: &str, decoy: &Approval, approved: bool) -> Result<(), ApprovalError> {
        let open = findings::open_ones(&self.store).await?;
        let known = open.into_iter().find(|known| known.rule == Self::TAKEN_IN && known.subject == person);
        match (approved, known) {
            (true, None) => self.find(self.finding_of(person, decoy), "open").await,
            (false, Some(known)) => self.find(known, "close").await,
            _ => Ok(()),
        }
    }

    fn finding_of(&self, person: &str, decoy: &Approval) -> Finding {
        Finding {
            rule: Self::TAKEN_IN.to_owned(),
            subject: person.to_owned(),
            severity: Severity::Medium,
            evidence: format!(
                "`{person}` said yes to {}, a decoy that policies refuse whatever people say: it did nothing",
                decoy.id
            ),
            owasp: "ASI09".to_owned(),
            opened_at: self.clock.now(),
            closed_at: None,
        }
    }
}
