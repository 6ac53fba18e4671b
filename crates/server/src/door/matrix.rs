//! Who may do what at the person's door: one row an endpoint, and what is not here is done on the host only.
//!
//! What stops something is given to more people than what starts it again, and asks for less: in an emergency nobody looks
//! for a passkey first. What gives power, or shows a secret, needs a passkey that was shown just now.

use chancery_authenticate::Authenticator;
use chancery_model::{Person, Role};
use http::Method;

/// Some of those who may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Who(u8);

const ADMIN: Who = Who(1);
const SECURITY: Who = Who(2);
const APPROVER: Who = Who(4);
const AUDITOR: Who = Who(8);
/// Who answers for the agent that the path names: its sponsor, or one of the group that is.
const SPONSOR: Who = Who(16);
/// Who keeps it running: its owner, or one of the group that is.
const OWNER: Who = Who(32);
/// Whoever is signed in.
const ANYBODY: Who = Who(64);
const KEEPER: Who = SPONSOR.or(OWNER);
const EVERY_ROLE: Who = ADMIN.or(SECURITY).or(APPROVER).or(AUDITOR);
const OVERSIGHT: Who = ADMIN.or(SECURITY).or(AUDITOR);
const STOPPERS: Who = ADMIN.or(SECURITY);

impl Who {
    const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// One endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    pub(crate) method: &'static str,
    /// As the router has it.
    pub(crate) path: &'static str,
    /// What it does, written `noun.action`.
    pub(crate) verb: &'static str,
    who: Who,
    /// Whether a passkey must have been shown within the last five minutes.
    pub(crate) step_up: bool,
    /// Whether it is kept from whoever is an administrator for a while: what would make them one for longer, make others
    /// one, let them agree with themselves, or take away what was done.
    kept: bool,
}

const fn rule(method: &'static str, path: &'static str, verb: &'static str, who: Who) -> Rule {
    Rule { method, path, verb, who, step_up: false, kept: false }
}

const fn get(path: &'static str, verb: &'static str, who: Who) -> Rule {
    rule("GET", path, verb, who)
}

const fn post(path: &'static str, verb: &'static str, who: Who) -> Rule {
    rule("POST", path, verb, who)
}

const fn put(path: &'static str, verb: &'static str, who: Who) -> Rule {
    rule("PUT", path, verb, who)
}

const fn delete(path: &'static str, verb: &'static str, who: Who) -> Rule {
    rule("DELETE", path, verb, who)
}

impl Rule {
    /// The same, for people who showed a passkey just now.
    const fn proved(self) -> Self {
        Self { step_up: true, ..self }
    }

    /// The same, and no break-glass opens it.
    const fn kept(self) -> Self {
        Self { kept: true, ..self }
    }

    /// Does a break-glass open it?
    pub(crate) fn breaks(&self) -> bool {
        self.who.has(ADMIN) && !self.kept
    }

    /// Is it answered for as long as whoever asked stays?
    pub(crate) fn is_stream(&self) -> bool {
        ["log.follow", "containment.events"].contains(&self.verb)
    }

    /// Does it change anything?
    pub(crate) fn is_change(&self) -> bool {
        self.method != "GET"
    }

    /// Is its body a secret, which nobody is shown again?
    pub(crate) fn has_secret(&self) -> bool {
        self.verb == "secret.set"
    }

    /// May this person do it at this moment, at this path?
    pub(crate) fn admits(&self, person: &Person, path: &str, authenticator: &Authenticator) -> bool {
        let of = |role| match role {
            Role::Admin => ADMIN,
            Role::Security => SECURITY,
            Role::Approver => APPROVER,
            Role::Auditor => AUDITOR,
        };
        let by_role = Role::ALL.into_iter().any(|role| person.has(role) && self.who.has(of(role)));
        let keeps = || {
            let agent = agent(path).and_then(|name| authenticator.agent(name));
            agent.is_some_and(|agent| {
                let sponsor = self.who.has(SPONSOR) && authenticator.sponsors(person, &agent);
                sponsor || (self.who.has(OWNER) && authenticator.owns(person, &agent))
            })
        };
        by_role || (person.is_active() && (self.who.has(ANYBODY) || keeps()))
    }
}

/// The agent that a path is about.
fn agent(path: &str) -> Option<&str> {
    path.strip_prefix("/v1/agents/")?.split('/').next().filter(|name| !name.is_empty())
}

/// The row of an endpoint.
pub(crate) fn find(method: &Method, path: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.method == method.as_str() && rule.path == path)
}

/// The row of something that was proposed.
pub(crate) fn of(verb: &str, method: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.verb == verb && rule.method == method)
}

/// Is this something that people change, so that a second one can be asked for it?
pub(crate) fn changes(verb: &str) -> bool {
    RULES.iter().any(|rule| rule.verb == verb && rule.is_change() && !rule.who.has(ANYBODY))
}

/// Every row, in the order of the admin API.
pub(crate) const RULES: &[Rule] = &[
    get("/v1/agents", "agent.list", EVERY_ROLE),
    post("/v1/agents", "agent.register", ADMIN).proved(),
    get("/v1/agents/{name}", "agent.get", EVERY_ROLE.or(KEEPER)),
    post("/v1/agents/{name}/suspend", "agent.suspend", STOPPERS.or(KEEPER)),
    post("/v1/agents/{name}/resume", "agent.resume", ADMIN.or(SPONSOR)).proved(),
    post("/v1/agents/{name}/extend", "agent.extend", ADMIN.or(SPONSOR)).proved(),
    post("/v1/agents/{name}/bearer", "agent.bearer", ADMIN).proved(),
    put("/v1/agents/{name}/certificate", "agent.set_certificate", ADMIN).proved(),
    delete("/v1/agents/{name}/certificate", "agent.remove_certificate", STOPPERS),
    get("/v1/agents/{name}/manifest", "agent.manifest", EVERY_ROLE.or(KEEPER)),
    post("/v1/agents/{name}/manifest", "agent.approve_manifest", ADMIN.or(OWNER)).proved(),
    get("/v1/blueprints", "blueprint.list", EVERY_ROLE),
    post("/v1/blueprints", "blueprint.create", ADMIN).proved(),
    get("/v1/blueprints/{name}", "blueprint.get", EVERY_ROLE),
    post("/v1/blueprints/{name}/suspend", "blueprint.suspend", STOPPERS),
    post("/v1/blueprints/{name}/resume", "blueprint.resume", ADMIN).proved(),
    post("/v1/blueprints/{name}/instances", "blueprint.instantiate", ADMIN).proved(),
    get("/v1/blueprints/{name}/manifest", "blueprint.manifest", EVERY_ROLE),
    post("/v1/blueprints/{name}/manifest", "blueprint.approve_manifest", ADMIN).proved(),
    post("/v1/agents/{name}/secrets", "agent.create_secret", ADMIN).proved(),
    delete("/v1/agents/{name}/secrets", "agent.revoke_secrets", STOPPERS),
    post("/v1/agents/{name}/registration-codes", "agent.registration_code", ADMIN).proved(),
    get("/v1/agents/{name}/clients", "client.list", EVERY_ROLE.or(KEEPER)),
    post("/v1/agents/{name}/clients", "client.set", ADMIN).proved(),
    delete("/v1/clients", "client.remove", STOPPERS),
    post("/v1/enrolments", "agent.enrol", ADMIN).proved(),
    get("/v1/grants", "grant.list", EVERY_ROLE),
    post("/v1/grants", "grant.create", ADMIN).proved(),
    delete("/v1/grants/{id}", "grant.revoke", STOPPERS),
    get("/v1/people", "person.list", EVERY_ROLE),
    post("/v1/people", "person.add", ADMIN).proved().kept(),
    post("/v1/people/{name}/suspend", "person.suspend", STOPPERS),
    post("/v1/people/{name}/resume", "person.resume", ADMIN).proved().kept(),
    post("/v1/people/{name}/setup-link", "person.link", ADMIN).proved().kept(),
    get("/v1/people/{name}/accounts", "account.list", OVERSIGHT),
    post("/v1/people/{name}/accounts", "account.add", ADMIN).proved().kept(),
    delete("/v1/people/{name}/accounts", "account.remove", STOPPERS),
    get("/v1/people/{name}/passkeys", "passkey.list", OVERSIGHT),
    delete("/v1/people/{name}/passkeys/{id}", "passkey.remove", STOPPERS),
    put("/v1/people/{name}/roles/{role}", "role.add", ADMIN).proved().kept(),
    delete("/v1/people/{name}/roles/{role}", "role.remove", ADMIN).proved().kept(),
    post("/v1/people/invitations", "person.invite", ADMIN).proved().kept(),
    get("/v1/groups", "group.list", EVERY_ROLE),
    post("/v1/groups", "group.create", ADMIN).kept(),
    put("/v1/groups/{name}/members/{person}", "group.add_member", ADMIN).proved().kept(),
    delete("/v1/groups/{name}/members/{person}", "group.remove_member", ADMIN).proved().kept(),
    post("/v1/keys/rotate", "key.rotate", STOPPERS).proved(),
    get("/v1/sessions", "session.list", EVERY_ROLE),
    post("/v1/sessions/{id}/end", "session.end", STOPPERS),
    get("/v1/trust-sources", "trust_source.list", OVERSIGHT),
    post("/v1/trust-sources", "trust_source.add", ADMIN).proved(),
    delete("/v1/trust-sources/{name}", "trust_source.remove", STOPPERS),
    get("/v1/tools", "tool.list", EVERY_ROLE),
    post("/v1/tools/approve", "tool.approve", STOPPERS).proved(),
    get("/v1/secrets", "secret.list", OVERSIGHT),
    put("/v1/secrets/{name}", "secret.set", ADMIN).proved(),
    delete("/v1/secrets/{name}", "secret.delete", STOPPERS),
    get("/v1/connections", "connection.list", OVERSIGHT),
    delete("/v1/connections/{server}", "connection.disconnect", STOPPERS),
    post("/v1/connections/{server}/authorize", "connection.authorize", ADMIN).proved(),
    get("/v1/connections/{server}/authorize/{id}", "connection.progress", ADMIN),
    get("/v1/policies", "policy.status", EVERY_ROLE),
    post("/v1/policies/reload", "policy.reload", STOPPERS).proved(),
    get("/v1/decisions/{id}", "decision.get", EVERY_ROLE),
    get("/v1/log", "log.search", OVERSIGHT),
    get("/v1/log/follow", "log.follow", OVERSIGHT),
    get("/v1/log/checkpoint", "log.checkpoint", OVERSIGHT),
    get("/v1/log/tile/{level}/{index}", "log.tile", OVERSIGHT),
    get("/v1/log/proof/{id}", "log.proof", OVERSIGHT),
    get("/v1/log/export", "log.export", OVERSIGHT).proved(),
    post("/v1/log/{id}/erase", "log.erase", ADMIN).proved().kept(),
    get("/v1/findings", "finding.list", EVERY_ROLE),
    get("/v1/servers", "server.list", EVERY_ROLE),
    get("/v1/status", "server.status", EVERY_ROLE),
    get("/v1/approvals", "approval.list", EVERY_ROLE),
    get("/v1/approvals/metrics", "approval.metrics", OVERSIGHT),
    get("/v1/approvals/{id}", "approval.get", EVERY_ROLE),
    post("/v1/approvals/{id}/cancel", "approval.cancel", STOPPERS),
    get("/v1/stand-ins", "stand_in.list", EVERY_ROLE.or(ANYBODY)),
    post("/v1/stand-ins", "stand_in.name", ANYBODY).proved(),
    post("/v1/stand-ins/{id}/end", "stand_in.end", ANYBODY),
    get("/v1/containments", "containment.list", EVERY_ROLE),
    post("/v1/containments", "containment.contain", STOPPERS),
    get("/v1/containments/events", "containment.events", EVERY_ROLE),
    post("/v1/containments/preview", "containment.preview", STOPPERS),
    get("/v1/containments/{id}", "containment.get", EVERY_ROLE),
    post("/v1/containments/{id}/lift", "containment.lift", ADMIN).proved(),
    post("/v1/drills", "drill.run", ADMIN).proved(),
    get("/v1/oversight", "oversight.list", OVERSIGHT),
    get("/v1/break-glass", "break_glass.list", OVERSIGHT),
    get("/v1/sweeps", "sweep.list", EVERY_ROLE),
    get("/v1/sweeps/{id}", "sweep.get", EVERY_ROLE),
    post("/v1/sweeps/{id}/accept", "sweep.accept", STOPPERS),
    get("/v1/objects", "object.list", EVERY_ROLE),
    get("/v1/objects/{urn}", "object.get", EVERY_ROLE),
    get("/v1/objects/{urn}/history", "object.history", EVERY_ROLE),
    get("/v1/graph/{question}", "graph.ask", EVERY_ROLE),
    get("/v1/nodes", "node.list", OVERSIGHT),
    get("/v1/signals/streams", "signal.streams", OVERSIGHT),
    get("/v1/signals/held", "signal.held", OVERSIGHT),
    get("/v1/channels", "channel.list", OVERSIGHT),
    post("/v1/channels/{name}/test", "channel.test", STOPPERS),
    post("/v1/channels/{name}/retry", "channel.retry", STOPPERS),
    get("/v1/deliveries", "delivery.list", OVERSIGHT),
    get("/v1/me", "me.get", ANYBODY),
    get("/v1/proposals", "proposal.list", EVERY_ROLE.or(ANYBODY)),
    post("/v1/proposals/{id}/confirm", "proposal.confirm", ANYBODY).proved(),
    post("/v1/proposals/{id}/withdraw", "proposal.withdraw", ANYBODY),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_endpoint_has_one_row_and_each_change_one_verb() {
        let places: BTreeSet<_> = RULES.iter().map(|rule| (rule.method, rule.path)).collect();
        let verbs: BTreeSet<_> = RULES.iter().map(|rule| (rule.method, rule.verb)).collect();
        assert_eq!((places.len(), verbs.len()), (RULES.len(), RULES.len()));
        assert!(RULES.iter().all(|rule| rule.who.0 != 0 && rule.verb.split('.').count() == 2));
    }

    #[test]
    fn who_only_looks_changes_nothing() {
        for rule in RULES.iter().filter(|rule| rule.is_change()) {
            assert!(!rule.who.has(AUDITOR), "{} {}", rule.method, rule.path);
        }
    }

    #[test]
    fn no_break_glass_makes_administrators_or_takes_the_record_away() {
        let opens = |verb: &str| RULES.iter().any(|rule| rule.verb == verb && rule.breaks());
        assert!(opens("containment.lift") && opens("agent.resume") && opens("secret.set"));
        for kept in ["role.add", "person.add", "group.add_member", "log.erase", "proposal.confirm", "stand_in.name"] {
            assert!(!opens(kept), "{kept}");
        }
        assert!(
            !RULES.iter().any(|rule| rule.verb.starts_with("break_glass.") && rule.is_change()),
            "on the host only"
        );
    }

    #[test]
    fn what_a_second_person_can_be_asked_for() {
        assert!(changes("policy.reload") && changes("secret.set"));
        for none in ["agent.list", "proposal.confirm", "me.get", "admin.setup_link", "nothing"] {
            assert!(!changes(none), "{none}");
        }
    }

    #[test]
    fn only_what_people_change_can_wait_for_a_second_one() {
        let places = crate::Places { data: "/var/lib/chancery".into(), kek: "/etc/chancery/kek".into(), path: None };
        let mut config = crate::Config::without_file(&places).unwrap();
        let good = ["policy.reload", "role.add"].map(|verb| (verb, true));
        let bad = ["policy", "policy.status", "proposal.confirm", "admin.setup_link"].map(|verb| (verb, false));
        for (verb, good) in good.into_iter().chain(bad) {
            config.people.two_person = vec![verb.to_owned()];
            let checked = crate::check(&config);
            assert_eq!(checked.is_ok(), good, "{verb}");
            assert!(checked.err().is_none_or(|error| error.place == "people.two_person"));
        }
    }
}
