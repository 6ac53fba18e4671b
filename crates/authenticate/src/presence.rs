//! Presence (RFC 9470): a person confirms that they are there, and a session that waits for that goes on.

use std::sync::Arc;

use chancery_model::{Agent, Change, Draft, Kind, Session, SessionId, Span, Timestamp, Who};
use chancery_store::{StoreError, sessions};

use crate::authenticator::Authenticator;
use crate::directory::SessionSlot;
use crate::lineage::Lineage;
use crate::people::{PeopleError, SignedIn};

/// How old the login may be. Whoever has been away signs in anew.
const FRESH: Span = Span::minutes(5);

/// What a person confirms.
#[derive(Debug, Clone)]
pub struct PresenceAsked {
    /// The agent that acts.
    pub agent: Arc<Agent>,
    /// The session it acts in.
    pub session: Arc<Session>,
    /// The names from the root of the chain to the agent.
    pub chain: Vec<String>,
    /// The session that the presence is noted in: what hangs on it has it too.
    pub noted_in: Arc<Session>,
    /// When a person was last there.
    pub last: Option<Timestamp>,
}

impl Authenticator {
    /// What this person would confirm, if they answer for the session: as the person in whose name it runs, or as
    /// sponsor or owner of its agent.
    ///
    /// # Errors
    /// [`PeopleError::Session`] if it is over or not theirs, [`PeopleError::Stale`] if their login is too old.
    pub fn presence_asked(&self, id: &str, by: &SignedIn) -> Result<PresenceAsked, PeopleError> {
        // One answer for what is not there and what is not theirs: it tells nothing of what exists.
        let not_theirs = || PeopleError::Session("there is no open session of that name that you answer for".into());
        let now = self.clock.now();
        let slot = id.parse::<SessionId>().ok().and_then(|id| self.directory.session(&id)).ok_or_else(not_theirs)?;
        self.in_force(&slot, now).map_err(|_| not_theirs())?;
        let lineage = Lineage::of(&slot);
        let noted_in = noted_in(&slot, &lineage, by, |agent| self.keeps(&by.person, agent)).ok_or_else(not_theirs)?;
        if !by.is_fresh(now, FRESH) {
            return Err(PeopleError::Stale);
        }
        Ok(PresenceAsked {
            agent: slot.agent().agent(),
            session: slot.session(),
            chain: lineage.all_names(),
            noted_in,
            last: lineage.presence_at,
        })
    }

    /// Notes that this person is there, durably, before it counts.
    ///
    /// # Errors
    /// As [`Authenticator::presence_asked`].
    pub async fn confirm_presence(&self, id: &str, by: &SignedIn) -> Result<PresenceAsked, PeopleError> {
        let asked = self.presence_asked(id, by)?;
        let (now, noted_in) = (self.clock.now(), asked.noted_in.id.clone());
        let write = self.store.write(draft(now, by, &asked), move |tx| {
            Box::pin(async move {
                let over = || StoreError::refuse(PeopleError::Session("the session is over".into()));
                let session = sessions::get(&mut *tx, &noted_in).await?.ok_or_else(over)?;
                sessions::update(tx, &Session { presence_at: session.presence_at.max(Some(now)), ..session }).await
            })
        });
        write.await?;
        Ok(asked)
    }
}

/// Where it is noted: at the root for whoever answers for all of it, else in the one session whose agent they keep.
fn noted_in(
    slot: &SessionSlot,
    lineage: &Lineage,
    by: &SignedIn,
    keeps: impl Fn(&Agent) -> bool,
) -> Option<Arc<Session>> {
    let is_human = lineage.human.as_ref().is_some_and(|human| human.id == by.person.id);
    if is_human || lineage.agents.first().is_some_and(|root| keeps(root)) {
        return Some(lineage.root.clone());
    }
    keeps(&slot.agent().agent()).then(|| slot.session())
}

fn draft(now: Timestamp, by: &SignedIn, asked: &PresenceAsked) -> Draft {
    let after = format!(r#"{{"confirmed":"{}","login":"{}"}}"#, asked.session.id, by.login);
    let change = Change {
        noun: "session".into(),
        id: asked.noted_in.id.to_string(),
        verb: "confirm_presence".into(),
        after: Some(after),
    };
    let who = Who {
        human: Some(by.person.name.clone()),
        agent: Some(asked.agent.id.to_string()),
        name: Some(asked.agent.name.clone()),
        chain: asked.chain.clone(),
        ..Who::default()
    };
    let authority = chancery_model::Authority { session: Some(asked.session.id.to_string()), ..Default::default() };
    Draft { kind: Kind::Change, at: now, who, authority, change: Some(change), ..Draft::default() }
}
