//! What became of tools since the policy set in force was built.

use std::collections::{HashMap, HashSet};
use std::sync::{PoisonError, RwLock};

use chancery_model::Tool;

use crate::snapshot::Standing;

/// Tools that changed, by their qualified names, and servers of which nothing can be trusted.
#[derive(Debug, Default)]
pub(crate) struct Tools {
    changed: RwLock<HashMap<String, Standing>>,
    blocked: RwLock<HashSet<String>>,
}

impl Tools {
    /// Takes over a tool as it is now.
    pub fn put(&self, tool: &Tool) {
        let mut changed = self.changed.write().unwrap_or_else(PoisonError::into_inner);
        changed.insert(tool.qualified(), Standing::of(tool));
    }

    /// How a tool stands, if it changed.
    pub fn get(&self, qualified: &str) -> Option<Standing> {
        self.changed.read().unwrap_or_else(PoisonError::into_inner).get(qualified).copied()
    }

    /// Blocks all tools of a server, or ends that.
    pub fn block(&self, server: &str, blocked: bool) {
        let mut servers = self.blocked.write().unwrap_or_else(PoisonError::into_inner);
        if blocked {
            servers.insert(server.to_owned());
        } else {
            servers.remove(server);
        }
    }

    /// Is the server of this tool blocked?
    pub fn is_blocked(&self, qualified: &str) -> bool {
        let server = qualified.split_once('/').map_or(qualified, |(server, _)| server);
        self.blocked.read().unwrap_or_else(PoisonError::into_inner).contains(server)
    }
}
