//! Who may act for whom is not decided here: the room that decides is asked through [`Delegations`].

use std::sync::Arc;

/// One link of a chain in the making.
#[derive(Debug, Clone, Copy)]
pub struct Handing<'a> {
    /// Who lets another act for it: an agent's name, or a person's where the chain begins.
    pub from: Principal<'a>,
    /// The agent that is to act.
    pub to: &'a str,
    /// How many agents the chain has with it.
    pub depth: usize,
    /// Whether everything in it is done in a person's name.
    pub human: bool,
}

/// Who lets another act.
#[derive(Debug, Clone, Copy)]
pub enum Principal<'a> {
    /// A person, by name.
    Human(&'a str),
    /// An agent, by name.
    Agent(&'a str),
}

/// The rules about delegation. They are asked at every link, when it is made.
pub trait Delegations: Send + Sync + 'static {
    /// May it?
    ///
    /// # Errors
    /// Why not, in a sentence for the agent's author.
    fn may_delegate(&self, link: &Handing<'_>) -> Result<(), String>;
}

/// Until somebody gives other rules, nobody may act for anybody.
pub(crate) struct Nobody;

impl Delegations for Nobody {
    fn may_delegate(&self, _: &Handing<'_>) -> Result<(), String> {
        Err("there are no rules about delegation".into())
    }
}

/// How chains are bounded, whatever the rules say.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many agents may stand in a chain.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 4 }
    }
}

/// The rules in force.
pub(crate) type Rules = arc_swap::ArcSwap<Box<dyn Delegations>>;

pub(crate) fn nobody() -> Rules {
    Rules::new(Arc::new(Box::new(Nobody)))
}
