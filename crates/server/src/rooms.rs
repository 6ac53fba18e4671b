//! What every handler has at hand.

use std::sync::Arc;

use chancery_authenticate::{Authenticator, Claimed, Vault};
use chancery_authorize::Engine;
use chancery_discover::{Discovery, Stranger};
use chancery_fetch::Fetcher;
use chancery_gateway::Gateway;
use chancery_model::{Clock, Person, Random, Role, StandIn, Timestamp};
use chancery_oversee::approvals::{Approvals, Place};
use chancery_oversee::notify::Notifier;
use chancery_oversee::trigger::Triggers;
use chancery_record::Recorder;
use chancery_register::Registrar;
use chancery_store::{Store, StoreError, stand_ins};
use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::policies::Policies;
use crate::pushed::Pushed;
use crate::signals::Signals;
use crate::spiffe::Workloads;

/// The rooms behind the doors.
pub(crate) struct Rooms {
    pub(crate) config: Config,
    /// What clients call this server, without a trailing slash.
    pub(crate) url: String,
    /// What browsers of people call it, without a trailing slash.
    pub(crate) people_url: String,
    pub(crate) access: Access,
    pub(crate) started: Timestamp,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) store: Store,
    /// For every document whose address somebody else named.
    #[expect(dead_code, reason = "the rooms that fetch are being built")]
    pub(crate) fetcher: Arc<Fetcher>,
    pub(crate) signals: Signals,
    pub(crate) vault: Vault,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) policies: Policies,
    pub(crate) recorder: Recorder,
    pub(crate) approvals: Arc<Approvals>,
    pub(crate) registrar: Registrar,
    /// What is known of other systems.
    pub(crate) discovery: Discovery,
    pub(crate) gateway: Arc<Gateway>,
    /// Tells other enforcers what is contained.
    pub(crate) pushed: Pushed,
    /// Tells people what happens.
    pub(crate) notifier: Notifier,
    /// Looks for what is not to be waited with.
    pub(crate) triggers: Triggers,
    /// Our own trust domain and its local workloads, if there is one.
    pub(crate) workloads: Option<Workloads>,
    /// Cancelled when the doors are to close: answers without an end must end then.
    pub(crate) closing: CancellationToken,
}

impl Rooms {
    /// Somebody was refused at a door; if nobody here is called so, they become known to the inventory.
    pub(crate) fn meet(&self, door: &'static str, claimed: Option<Claimed>) {
        if let Some(Claimed { name, issuer }) = claimed {
            self.discovery.meet(Stranger { name, issuer, door });
        }
    }

    /// The groups that a person is in: those that policies have, and our own.
    pub(crate) fn groups_of(&self, person: &Person) -> Vec<String> {
        let mut groups = self.engine.groups_of(&person.name);
        groups.extend(self.authenticator.groups_of(&person.id));
        groups
    }

    /// May they approve where a policy names no group?
    pub(crate) fn is_approver(&self, person: &Person) -> bool {
        person.has(Role::Approver)
    }

    /// The places of others that they hold at this moment.
    pub(crate) async fn places_of(&self, person: &Person) -> Result<Vec<Place>, StoreError> {
        let held = stand_ins::of_deputy(&self.store, &person.id, self.clock.now()).await?;
        let place = |held: StandIn| {
            let person = self.authenticator.person(&held.person)?;
            let (groups, approver) = (self.groups_of(&person), self.is_approver(&person));
            Some(Place { stand_in: held.id, person, groups, approver })
        };
        Ok(held.into_iter().filter_map(place).collect())
    }

    /// May they look at requests that others decide?
    pub(crate) fn is_overseer(&self, person: &Person) -> bool {
        Role::ALL.into_iter().any(|role| person.has(role))
    }

    /// The resource that tokens for one upstream server are for.
    pub(crate) fn mcp_resource(&self, server: &str) -> String {
        format!("{}/mcp/{server}", self.url)
    }
}

/// The addresses of the access API, put together once.
pub(crate) struct Access {
    /// The resource that its tokens are for.
    pub(crate) resource: String,
    pub(crate) evaluation: String,
    pub(crate) evaluations: String,
    pub(crate) requests: String,
}

impl Access {
    pub(crate) fn at(url: &str) -> Self {
        let resource = format!("{url}/access/v1");
        Self {
            evaluation: format!("{resource}/evaluation"),
            evaluations: format!("{resource}/evaluations"),
            requests: format!("{resource}/requests"),
            resource,
        }
    }
}
