//! Which node this process is: its own key in the data directory, and a row under the same key in the database.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use chancery_model::{Change, Draft, Kind, Random, Secret, Timestamp, Who};
use chancery_tlog::{Signer, sha256};
use serde::{Deserialize, Serialize};

use crate::nodes::{self, Node};
use crate::{Reader, StoreError, Tx};

/// The file of the data directory that holds the node's key.
const FILE: &str = "node.json";

/// What a node says of itself.
#[derive(Clone, Debug, Default)]
pub struct Membership {
    /// Its name; `node-` and its number, if it is empty.
    pub name: String,
    /// Where it can be reached, for people.
    pub address: String,
    /// What it does: `all` or `gateway`.
    pub role: String,
    /// With which it joins, the first time. The first node of a database needs none.
    pub token: Option<Secret>,
}

/// Who this process is.
pub(crate) struct Identity {
    pub(crate) number: u32,
    pub(crate) joined: bool,
    /// Nobody has joined: it is the first of this database.
    pub(crate) founds: bool,
    seed: [u8; 32],
}

#[derive(Serialize, Deserialize)]
struct Kept {
    seed: Vec<u8>,
}

impl Identity {
    /// The node whose key lies in the data directory; a new key is laid there if there is none. A node that has no row
    /// yet takes the next number, and is to join.
    pub(crate) async fn find(tx: &mut Tx, dir: &Path, random: &dyn Random) -> Result<Self, StoreError> {
        let path = dir.join(FILE);
        let seed = match read(&path)? {
            Some(seed) => seed,
            None => keep(&path, random.bytes())?,
        };
        let known = nodes::all(&mut *tx).await?;
        let key = |node: &Node| Signer::from_seed(&node.name, &seed).is_ok_and(|s| s.key().to_string() == node.key);
        match known.iter().find(|node| key(node)) {
            Some(node) if node.left_at.is_some() => {
                let why = format!("node `{}` has left: it can join again with a new data directory", node.name);
                Err(StoreError::Connect(why))
            }
            Some(node) => Ok(Self { number: node.number, joined: true, founds: false, seed }),
            None => Ok(Self { number: next(tx).await?, joined: false, founds: known.is_empty(), seed }),
        }
    }

    /// The row and the entry with which it joins: signed with its own key.
    pub(crate) fn join(&self, settings: &Membership, now: Timestamp) -> Result<(Node, Draft), StoreError> {
        let name = match settings.name.as_str() {
            "" => format!("node-{}", self.number),
            name => name.to_owned(),
        };
        let bad = |e: &dyn std::fmt::Display| StoreError::Connect(format!("`{name}` is no name of a node: {e}"));
        let signer = Signer::from_seed(&name, &self.seed).map_err(|e| bad(&e))?;
        let statement = format!("chancery node join\n{}\n{name}\n", self.number);
        let signed = signer.sign(&statement).map_err(|e| bad(&e))?;
        let node = Node {
            number: self.number,
            name: name.clone(),
            address: settings.address.clone(),
            role: settings.role.clone(),
            key: signer.key().to_string(),
            joined_at: now,
            started_at: now,
            seen_at: Timestamp(0),
            confirmed: 0,
            lease_until: Timestamp(0),
            left_at: None,
        };
        let after = serde_json::json!({
            "number": node.number, "name": name, "address": node.address, "role": node.role, "key": node.key,
            "signed": signed,
        });
        let change =
            Change { noun: "node".into(), id: name.clone(), verb: "join".into(), after: Some(after.to_string()) };
        let who = Who { human: Some("system".into()), ..Who::default() };
        Ok((node, Draft { kind: Kind::Change, at: now, who, change: Some(change), ..Draft::default() }))
    }
}

/// What is kept of a token: its SHA-256.
pub fn token_hash(token: &str) -> chancery_model::Hash {
    sha256(token.trim().as_bytes())
}

/// Enters the first node of a database. It needs no token, for there is nobody who could have made one.
pub(crate) async fn found(tx: &mut Tx, node: &Node) -> Result<(), StoreError> {
    if nodes::all(&mut *tx).await?.is_empty() { nodes::insert(tx, node).await } else { Err(no_token()) }
}

/// Enters a further node.
pub(crate) async fn enter(tx: &mut Tx, node: &Node, token: Option<&Secret>) -> Result<(), StoreError> {
    let token = token.ok_or_else(no_token)?;
    if !nodes::redeem_token(tx, &token_hash(token.expose()), node.joined_at).await? {
        return Err(StoreError::Connect("the token was used before, or is too old: ask for a new one".to_owned()));
    }
    nodes::insert(tx, node).await
}

fn no_token() -> StoreError {
    StoreError::Connect("this database has nodes already: join with a token of theirs".to_owned())
}

/// The first number that nobody has written under.
async fn next(tx: &mut Tx) -> Result<u32, StoreError> {
    use crate::row::Columns;
    let sql = crate::sql(
        "SELECT COALESCE(MAX(number), -1) + 1 AS next FROM (SELECT number FROM nodes \
         UNION ALL SELECT writer FROM log_writers) AS known",
    );
    Ok(Reader::from(tx).one(sql, |row| row.number("next")).await?.unwrap_or(0))
}

fn read(path: &PathBuf) -> Result<Option<[u8; 32]>, StoreError> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(unusable(path, &e)),
    };
    let kept: Kept = serde_json::from_slice(&text).map_err(|e| unusable(path, &e))?;
    kept.seed.try_into().map(Some).map_err(|_| unusable(path, &"its key has not 32 bytes"))
}

fn keep(path: &PathBuf, seed: [u8; 32]) -> Result<[u8; 32], StoreError> {
    let text = serde_json::to_vec(&Kept { seed: seed.to_vec() }).map_err(|e| unusable(path, &e))?;
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.map_err(|e| unusable(path, &e))?;
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(|e| unusable(path, &e))?;
    Ok(seed)
}

fn unusable(path: &Path, why: &dyn std::fmt::Display) -> StoreError {
    StoreError::Open { path: path.display().to_string(), why: why.to_string() }
}
