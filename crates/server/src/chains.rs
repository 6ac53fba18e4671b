//! The rules about delegation: what the policies say.

use std::sync::Arc;

use chancery_authenticate::{Delegations, Handing, Principal};
use chancery_authorize::{Engine, From, Link};
use chancery_model::Clock;

/// Asks the engine about every link.
pub(crate) struct Chains {
    pub(crate) engine: Arc<Engine>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Delegations for Chains {
    fn may_delegate(&self, link: &Handing<'_>) -> Result<(), String> {
        let from = match link.from {
            Principal::Human(name) => From::Human(name),
            Principal::Agent(name) => From::Agent(name),
        };
        let link = Link { from, to: link.to, depth: link.depth, human: link.human };
        let verdict = self.engine.may_delegate(&link, self.clock.now());
        if verdict.allows() { Ok(()) } else { Err(verdict.why.into_owned()) }
    }
}
