//! The list of agents, answered from memory: whoever saw a change acknowledged sees it here.

use std::ops::Bound;
use std::sync::Arc;

use chancery_model::{Agent, AgentKind, Blueprint, ContainmentId, Standing, Timestamp};

use crate::authenticator::Authenticator;
use crate::containments::Set;
use crate::directory::{AgentSlot, Names};

/// How many agents are taken at once. In between whoever changes agents gets a turn.
const STRETCH: usize = 1_024;

/// Which agents. An empty filter wants all; what is given must all hold.
#[derive(Debug, Clone, Default)]
pub struct AgentFilter {
    /// Instances of this blueprint.
    pub blueprint: Option<String>,
    /// Of this standing: an agent whose blueprint is suspended counts as suspended.
    pub standing: Option<Standing>,
    /// Of this kind.
    pub kind: Option<AgentKind>,
    /// With this sponsor.
    pub sponsor: Option<String>,
    /// With this owner.
    pub owner: Option<String>,
    /// With a name that begins so.
    pub prefix: Option<String>,
    /// With this in name, sponsor, owner or purpose, whatever the case of its letters.
    pub text: Option<String>,
}

/// A part of a list.
#[derive(Debug)]
pub struct Page {
    /// The agents, by name.
    pub agents: Vec<Listed>,
    /// How many the filter wants, on all pages together.
    pub total: usize,
    /// The name after which the next page begins, if there is one.
    pub next: Option<String>,
}

/// An agent, and whether it may act.
#[derive(Debug, Clone)]
pub struct Listed {
    /// As it is now.
    pub agent: Arc<Agent>,
    /// Its own state and its blueprint's taken together.
    pub standing: Standing,
    /// The containment that stops it, if one does.
    pub contained: Option<ContainmentId>,
}

impl Authenticator {
    /// The first `limit` agents after this name that the filter wants, in the order of their names. Names are never
    /// changed or given up, so that whoever follows the pages sees every agent that was there at the first one.
    pub fn list(&self, filter: &AgentFilter, after: Option<&str>, limit: usize) -> Page {
        let now = self.clock.now();
        let wanted = Wanted::of(filter, now, self.directory.containments().now());
        let mut page = Page { agents: Vec::new(), total: 0, next: None };
        let mut from = filter.prefix.clone().map_or(Bound::Unbounded, Bound::Included);
        while let Some(last) = self.stretch(filter, from, |slot| {
            let Some(listed) = wanted.takes(slot) else { return };
            page.total += 1;
            if after.is_some_and(|after| listed.agent.name.as_str() <= after) {
                return;
            }
            match page.agents.last() {
                Some(last) if page.agents.len() == limit => {
                    page.next.get_or_insert_with(|| last.agent.name.clone());
                }
                _ => page.agents.push(listed),
            }
        }) {
            from = Bound::Excluded(last);
        }
        page
    }

    /// One agent with its standing, by id or name.
    pub fn listed(&self, id_or_name: &str) -> Option<Listed> {
        let slot = self.directory.agent(id_or_name)?;
        let (standing, agent) = (slot.standing(self.clock.now()), slot.agent());
        let contained = self.directory.containments().now().and_then(|set| set.holder(&agent));
        Some(Listed { standing, agent, contained })
    }

    /// One blueprint as it is now.
    pub fn blueprint(&self, name: &str) -> Option<Arc<Blueprint>> {
        self.directory.blueprint(name)
    }

    /// Hands over some agents and says after which name to go on, if there may be more.
    fn stretch(&self, filter: &AgentFilter, from: Bound<String>, mut take: impl FnMut(&AgentSlot)) -> Option<String> {
        let prefix = filter.prefix.as_deref().unwrap_or("");
        let some = |names: &Names| {
            let range = names.range((from, Bound::Unbounded));
            let range = range.take_while(|(name, _)| name.starts_with(prefix)).take(STRETCH);
            range.map(|(_, slot)| Arc::clone(slot)).collect::<Vec<_>>()
        };
        let slots = self.directory.named(filter.blueprint.as_deref(), some)?;
        slots.iter().for_each(|slot| take(slot));
        (slots.len() == STRETCH).then(|| slots.last().map(|slot| slot.agent().name.clone())).flatten()
    }
}

/// A filter, made ready once.
struct Wanted<'a> {
    filter: &'a AgentFilter,
    text: Option<String>,
    now: Timestamp,
    contained: Option<Arc<Set>>,
}

impl<'a> Wanted<'a> {
    fn of(filter: &'a AgentFilter, now: Timestamp, contained: Option<Arc<Set>>) -> Self {
        Self { filter, text: filter.text.as_deref().map(str::to_lowercase), now, contained }
    }

    fn takes(&self, slot: &AgentSlot) -> Option<Listed> {
        let (filter, agent) = (self.filter, slot.agent());
        let is = |wanted: &Option<String>, field: &str| wanted.as_deref().is_none_or(|wanted| wanted == field);
        let kept = filter.kind.is_none_or(|kind| kind == agent.kind)
            && is(&filter.sponsor, &agent.sponsor)
            && is(&filter.owner, &agent.owner)
            && self.text.as_deref().is_none_or(|text| says(&agent, text));
        let standing = slot.standing(self.now);
        let contained = || self.contained.as_ref().and_then(|set| set.holder(&agent));
        (kept && filter.standing.is_none_or(|wanted| wanted == standing)).then(|| Listed {
            contained: contained(),
            standing,
            agent: agent.clone(),
        })
    }
}

fn says(agent: &Agent, text: &str) -> bool {
    let fields = [&agent.name, &agent.sponsor, &agent.owner, &agent.purpose];
    fields.into_iter().any(|field| field.to_lowercase().contains(text))
}
