//! Questions, by name, at a time.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use chancery_graph::{Graph, Limits, Node, Path, Reach};
use chancery_model::{EdgeKind, NodeKind, Object, ObjectState, Timestamp};
use chancery_store::objects::{self, Wanted};
use serde::Serialize;

use crate::inventory::Inventory;
use crate::{DiscoverError, Discovery, own};

/// The most that one answer holds.
const MOST: usize = 1_000;
/// Objects that are read at once.
const PAGE: u32 = 10_000;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// What it can reach.
    Reach(String),
    /// Who can reach it.
    WhoReaches(String),
    /// Who can act as it.
    ActsAs(String),
    /// A shortest way from one to the other.
    Path(String, String),
    /// What stops working when it is revoked.
    Breaks(String),
    /// Which people gain rights through it.
    Gains(String),
}

/// Of when, and as it was known when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// What held then.
    pub held: Timestamp,
    /// As it had been written down by then.
    pub known: Timestamp,
}

/// A question and its bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What is asked.
    pub question: Question,
    /// At most so many hops.
    pub hops: Option<u32>,
    /// Now, if nothing is said.
    pub at: Option<At>,
}

/// A node of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Its name in the inventory.
    pub urn: String,
    /// What sort of thing it is.
    pub kind: NodeKind,
    /// What people call it; nothing when no sweep saw it and others only refer to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many hops away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hops: Option<usize>,
}

/// One hop of a way, as rights flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hop {
    /// How.
    pub kind: EdgeKind,
    /// The inventory has it the other way round: the next one `kind` the one before.
    pub against: bool,
    /// Where to.
    pub to: Found,
}

/// From somebody to something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Way {
    /// Who.
    pub from: Found,
    /// Hop by hop.
    pub hops: Vec<Hop>,
}

/// What somebody has through one node and not without it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Without {
    /// Who.
    pub who: Found,
    /// What.
    pub what: Vec<Found>,
}

/// What is answered. Which members are there depends on the question.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// What was asked about.
    pub subject: Option<Found>,
    /// Whom or what was found, the nearest first.
    pub items: Vec<Found>,
    /// Whether that is all of it.
    pub complete: bool,
    /// The way that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub way: Option<Way>,
    /// Who loses or gains what.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<Without>,
}

impl Discovery {
    /// Answers. What was written down before it was asked is in the answer.
    ///
    /// # Errors
    /// Nothing or too much is called so, or the store failed.
    pub async fn ask(&self, asked: &Asked) -> Result<Answer, DiscoverError> {
        match asked.at {
            Some(at) => self.at(at).await?.ask(&asked.question, asked.hops),
            None => {
                self.refresh().await?;
                self.look(|inventory| inventory.ask(&asked.question, asked.hops))
            }
        }
    }

    /// Brings what is in memory up to date.
    ///
    /// # Errors
    /// There is too much of it, or the store failed.
    pub async fn refresh(&self) -> Result<(), DiscoverError> {
        let _one = self.refreshing.lock().await;
        let (newest, upto) = (objects::newest_observation(&self.store).await?, self.look(|inventory| inventory.upto));
        if upto == 0 && newest > 0 {
            let fresh = self.load(newest).await?;
            self.stale.store(true, Ordering::Release);
            *self.inventory.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        } else if newest > upto {
            let mut new = Vec::new();
            objects::since(&self.store, upto, |observation| new.push(observation)).await?;
            let mut inventory = self.inventory.write().unwrap_or_else(PoisonError::into_inner);
            new.into_iter().try_for_each(|observation| inventory.observe(observation))?;
            inventory.settle()?;
        }
        if self.stale.swap(false, Ordering::AcqRel) {
            let own = own::objects(&self.store, self.clock.now(), &self.endpoints).await;
            let own = own.inspect_err(|_| self.stale.store(true, Ordering::Release))?;
            let ties = own::ties(&self.store, self.clock.now(), &own::urns(&own)).await;
            let ties = ties.inspect_err(|_| self.stale.store(true, Ordering::Release))?;
            let mut inventory = self.inventory.write().unwrap_or_else(PoisonError::into_inner);
            inventory.put_own(&own)?;
            inventory.adopt(&ties);
        }
        Ok(())
    }

    /// Everything that is known now. Reads more often than once what becomes known meanwhile; that does no harm.
    async fn load(&self, upto: u64) -> Result<Inventory, DiscoverError> {
        let mut all = Vec::new();
        let mut wanted = Wanted { most: PAGE, ..Wanted::default() };
        loop {
            let page = objects::list(&self.store, &wanted).await?;
            let Some(last) = page.last() else { break };
            wanted.after = last.id;
            all.extend(page.into_iter().filter(|one| one.state != ObjectState::Gone).map(|one| one.object));
        }
        let mut inventory = Inventory::of(all)?;
        inventory.upto = upto;
        Ok(inventory)
    }

    /// The inventory of a time, made for one question.
    async fn at(&self, at: At) -> Result<Inventory, DiscoverError> {
        let mut objects = std::collections::BTreeMap::new();
        objects::as_of(&self.store, (at.held, at.known), |observation| match (observation.state, observation.body) {
            (ObjectState::Gone, _) => _ = objects.remove(&observation.urn),
            (_, Some(is)) => _ = objects.insert(observation.urn, is),
            (_, None) => {}
        })
        .await?;
        let own = own::objects(&self.store, at.held, &self.endpoints).await?;
        let ties = own::ties(&self.store, at.held, &own::urns(&own)).await?;
        let found = objects.into_iter().map(|(urn, is)| Object { urn, is });
        let mut inventory = Inventory::of(found.chain(own))?;
        inventory.adopt(&ties);
        Ok(inventory)
    }
}

impl Inventory {
    /// Our own nouns, as they are now.
    pub(crate) fn put_own(&mut self, own: &[Object]) -> Result<(), DiscoverError> {
        let names = own::urns(own);
        let gone: Vec<_> = self.own.difference(&names).cloned().collect();
        gone.iter().for_each(|urn| self.remove(urn));
        own.iter().try_for_each(|object| self.put(object))?;
        self.own = names;
        Ok(self.settle()?)
    }

    /// Answers from what is in memory.
    ///
    /// # Errors
    /// Nothing or too much is called so.
    pub fn ask(&self, question: &Question, hops: Option<u32>) -> Result<Answer, DiscoverError> {
        let limits = Limits { hops: hops.unwrap_or(u32::MAX), nodes: MOST };
        let graph = &self.graph;
        Ok(match question {
            Question::Reach(name) => self.reached(name, |node| graph.reach(node, limits))?,
            Question::WhoReaches(name) => self.reached(name, |node| graph.who_reaches(node, limits))?,
            Question::ActsAs(name) => self.reached(name, |node| graph.who_acts_as(node, limits))?,
            Question::Path(from, to) => {
                let (from, to) = (self.find(from)?, self.find(to)?);
                let way = graph.path(from, to).map(|path| self.way(&path));
                Answer { subject: Some(self.found(from, None)), way, complete: true, ..Answer::default() }
            }
            Question::Breaks(name) => {
                let node = self.find(name)?;
                let breaks = graph.breaks(node, limits);
                let answer = self.answer(node, &breaks.dependents);
                Answer { without: self.without(&breaks.lost), ..answer }
            }
            Question::Gains(name) => {
                let node = self.find(name)?;
                let without = self.without(&graph.gains(node, limits));
                Answer { subject: Some(self.found(node, None)), complete: true, without, ..Answer::default() }
            }
        })
    }

    fn reached(&self, name: &str, question: impl FnOnce(Node) -> Reach) -> Result<Answer, DiscoverError> {
        let node = self.find(name)?;
        Ok(self.answer(node, &question(node)))
    }

    fn answer(&self, subject: Node, reach: &Reach) -> Answer {
        Answer {
            subject: Some(self.found(subject, None)),
            items: reach.found().map(|(node, hops)| self.found(node, Some(hops))).collect(),
            complete: reach.is_complete(),
            ..Answer::default()
        }
    }

    fn without(&self, all: &[chancery_graph::Without]) -> Vec<Without> {
        let one = |without: &chancery_graph::Without| Without {
            who: self.found(without.who, None),
            what: without.what.iter().map(|node| self.found(*node, None)).collect(),
        };
        all.iter().map(one).collect()
    }

    fn way(&self, path: &Path) -> Way {
        let hop =
            |hop: &chancery_graph::Hop| Hop { kind: hop.kind, against: hop.against, to: self.found(hop.to, None) };
        Way { from: self.found(path.from, None), hops: path.hops.iter().map(hop).collect() }
    }

    fn found(&self, node: Node, hops: Option<usize>) -> Found {
        let graph: &Graph = &self.graph;
        let kind = graph.kind(node).unwrap_or(NodeKind::Resource);
        Found { urn: graph.name(node).to_owned(), kind, name: self.name(node).map(str::to_owned), hops }
    }

    /// By its name in the inventory, or by what people call it where one thing only is called so.
    fn find(&self, name: &str) -> Result<Node, DiscoverError> {
        if let Some(node) = self.node(name) {
            return Ok(node);
        }
        let none = || DiscoverError::NoObject(name.chars().take(200).collect());
        match self.called(name)[..] {
            [] => Err(none()),
            [one] => self.node(one).ok_or_else(none),
            ref some => {
                let urns = some.iter().take(3).map(|urn| (*urn).to_owned()).collect();
                Err(DiscoverError::Several { name: name.to_owned(), urns })
            }
        }
    }
}
