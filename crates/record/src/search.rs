//! Looking entries up: newest first, or as they come.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use chancery_model::{Entry, Kind, Outcome, Position, Timestamp};
use chancery_store::{Store, log};

use crate::intents::decode_if;
use crate::{RecordError, Recorder};

/// How often a [`Follow`] looks for new entries.
const EVERY: Duration = Duration::from_millis(200);

/// Which entries are wanted. An empty filter wants all; what is given must all hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// The agent's id or name.
    pub agent: Option<String>,
    /// The human in whose name it was done, elevated or not.
    pub human: Option<String>,
    /// The break-glass under which it was done, by its id.
    pub break_glass: Option<String>,
    /// Somebody in the delegation chain, by name.
    pub chain: Option<String>,
    /// The upstream server.
    pub server: Option<String>,
    /// The tool.
    pub tool: Option<String>,
    /// The session's id.
    pub session: Option<String>,
    /// The running copy, as the agent named it.
    pub instance: Option<String>,
    /// What was decided.
    pub decision: Option<Outcome>,
    /// The kind of statement.
    pub kind: Option<Kind>,
    /// Not older than this.
    pub since: Option<Timestamp>,
    /// Older than this.
    pub until: Option<Timestamp>,
    /// Before this position in its writer's chain, and committed before it in those of others: for the next page.
    pub before: Option<Position>,
}

/// An entry that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where it is.
    pub position: Position,
    /// The entry.
    pub entry: Entry,
    /// When its commit was made.
    pub committed_at: Timestamp,
}

/// Entries as they become durable.
#[derive(Debug)]
pub struct Follow {
    store: Store,
    filter: Filter,
    /// For each writer, the sequence number that comes next.
    next: HashMap<u32, u64>,
    ready: VecDeque<Found>,
}

impl Filter {
    /// Does the filter want this entry?
    pub fn wants(&self, found: &Found) -> bool {
        let draft = &found.entry.draft;
        let is = |wanted: &Option<String>, field: &Option<String>| wanted.is_none() || wanted == field;
        let named = is(&self.agent, &draft.who.agent) || is(&self.agent, &draft.who.name);
        // An administrator for a while is named `name:bgl_…`.
        let (human, glass) = match draft.who.human.as_deref().and_then(|human| human.split_once(":bgl_")) {
            Some((name, glass)) => (Some(name), Some(glass)),
            None => (draft.who.human.as_deref(), None),
        };
        let broken = |id: &String| glass.is_some() && id.strip_prefix("bgl_") == glass;
        let linked = self.chain.as_ref().is_none_or(|name| draft.who.chain.contains(name));
        named
            && linked
            && (self.human.as_deref().is_none_or(|wanted| Some(wanted) == human || is(&self.human, &draft.who.human)))
            && self.break_glass.as_ref().is_none_or(broken)
            && is(&self.server, &draft.what.server)
            && is(&self.tool, &draft.what.tool)
            && is(&self.session, &draft.authority.session)
            && is(&self.instance, &draft.who.instance)
            && (self.decision.is_none() || self.decision == draft.decision)
            && self.kind.is_none_or(|kind| kind == draft.kind)
            && self.since.is_none_or(|since| draft.at >= since)
            && self.until.is_none_or(|until| draft.at < until)
            && self.before.is_none_or(|p| p.writer != found.position.writer || found.position.seq < p.seq)
    }
}

impl Recorder {
    /// The newest `limit` entries that the filter wants, newest first.
    pub async fn search(&self, filter: &Filter, limit: usize) -> Result<Vec<Found>, RecordError> {
        self.search_those(filter, &|_| true, limit).await
    }

    /// The newest `limit` entries that the filter wants and that are `those`, newest first.
    pub async fn search_those(
        &self,
        filter: &Filter,
        those: &(dyn Fn(&Found) -> bool + Sync),
        limit: usize,
    ) -> Result<Vec<Found>, RecordError> {
        let mut all = Vec::new();
        let edge = self.edge(filter).await?;
        for (writer, _) in log::writers(&self.inner.store).await? {
            let edge = edge.filter(|(_, of)| *of != writer);
            all.extend(self.search_writer(writer, (filter, those), edge, limit).await?);
        }
        all.sort_by_key(|found| std::cmp::Reverse((found.committed_at, found.position.writer, found.position.seq)));
        all.truncate(limit);
        Ok(all)
    }

    /// When the commit of the position before which to search was made, and whose it is.
    async fn edge(&self, filter: &Filter) -> Result<Option<(Timestamp, u32)>, RecordError> {
        let Some(before) = filter.before else { return Ok(None) };
        let segment = log::segment(&self.inner.store, before).await?;
        Ok(segment.map(|segment| (segment.committed_at, before.writer)))
    }

    /// `edge`: of another writer, only commits before it are wanted.
    async fn search_writer(
        &self,
        writer: u32,
        (filter, those): (&Filter, &(dyn Fn(&Found) -> bool + Sync)),
        edge: Option<(Timestamp, u32)>,
        limit: usize,
    ) -> Result<Vec<Found>, RecordError> {
        let mut scan = log::newest_first(&self.inner.store, writer);
        let mut found = Vec::new();
        while let Some(segment) = scan.next().await? {
            // An entry is older than its commit, and commits only get older from here.
            if filter.since.is_some_and(|since| segment.committed_at < since) {
                break;
            }
            if edge.is_some_and(|edge| (segment.committed_at, writer) >= edge) {
                continue;
            }
            for (position, bytes) in segment.entries().rev() {
                if found.len() == limit {
                    return Ok(found);
                }
                found.extend(wanted(filter, position, bytes, segment.committed_at)?.filter(|found| those(found)));
            }
        }
        Ok(found)
    }

    /// The newest `count` entries that the filter wants, oldest of them first.
    pub async fn tail(&self, filter: &Filter, count: usize) -> Result<Vec<Found>, RecordError> {
        let mut found = self.search(filter, count).await?;
        found.reverse();
        Ok(found)
    }

    /// Entries that become durable from now on.
    pub async fn follow(&self, filter: Filter) -> Result<Follow, RecordError> {
        let next = log::writers(&self.inner.store).await?.into_iter().collect();
        Ok(Follow { store: self.inner.store.clone(), filter, next, ready: VecDeque::new() })
    }

    /// One entry.
    pub async fn entry(&self, position: Position) -> Result<Found, RecordError> {
        let missing = || RecordError::NoSuchEntry(position);
        let segment = log::segment(&self.inner.store, position).await?.ok_or_else(missing)?;
        let bytes = segment.entry(position.seq).ok_or_else(missing)?;
        let entry = decode_if(bytes, position, |_| true)?.ok_or_else(missing)?;
        Ok(Found { position, entry, committed_at: segment.committed_at })
    }
}

impl Follow {
    /// The next entry. Waits until there is one.
    pub async fn next(&mut self) -> Result<Found, RecordError> {
        loop {
            if let Some(found) = self.ready.pop_front() {
                return Ok(found);
            }
            self.look().await?;
            if self.ready.is_empty() {
                tokio::time::sleep(EVERY).await;
            }
        }
    }

    async fn look(&mut self) -> Result<(), RecordError> {
        for (writer, end) in log::writers(&self.store).await? {
            let next = self.next.entry(writer).or_insert(0);
            if *next >= end {
                continue;
            }
            let mut scan = log::forward(&self.store, Position { writer, seq: *next });
            let Some(segment) = scan.next().await? else { continue };
            for (position, bytes) in segment.entries().filter(|(p, _)| p.seq >= *next) {
                self.ready.extend(wanted(&self.filter, position, bytes, segment.committed_at)?);
            }
            *next = segment.end();
        }
        Ok(())
    }
}

fn wanted(
    filter: &Filter,
    position: Position,
    bytes: &[u8],
    committed_at: Timestamp,
) -> Result<Option<Found>, RecordError> {
    let entry = decode_if(bytes, position, |kind| filter.kind.is_none_or(|wanted| wanted == kind))?;
    let found = entry.map(|entry| Found { position, entry, committed_at });
    Ok(found.filter(|found| filter.wants(found)))
}
