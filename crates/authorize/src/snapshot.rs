//! What is in force: the policies of a directory with the schema they were checked against, altogether or not
//! at all.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cedar_policy_core::ast::{EntityType, EntityUID};
use cedar_policy_core::validator::ValidatorSchema;
use chancery_model::{Hash, Meter, Tool, ToolState};

use crate::diagnostic::Diagnostic;
use crate::entity::Node;
use crate::files::Files;
use crate::index::Index;
use crate::rule::Rule;
use crate::schema::Types;
use crate::value::{Fields, Shape};

/// What a snapshot is built from.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// The policy directory.
    pub files: &'a Files,
    /// The names of the configured servers. Policies about tools of one of them that has no approved tool yet wait
    /// until it has.
    pub servers: &'a [String],
    /// The known tools. Only definitions that were approved count: of a tool that changed the approved one, of one
    /// that never was approved nothing. Policies about the latter wait, and whatever is asked about it is refused.
    pub tools: &'a [Tool],
    /// SHA-256, for the version of the set.
    pub hash: fn(&[u8]) -> Hash,
}

/// An action of the schema.
#[derive(Debug)]
pub(crate) struct Action {
    pub node: Arc<Node>,
    /// The members of its context.
    pub context: Fields,
    principals: HashSet<EntityType>,
    resources: HashSet<EntityType>,
}

impl Action {
    pub fn new(schema: &ValidatorSchema, node: Arc<Node>) -> Self {
        let context = match schema.context_type(&node.uid).map(Shape::of) {
            Some(Shape::Record(fields)) => fields,
            _ => Fields::default(),
        };
        let plain = |kind: &EntityType| kind.with_loc(None);
        Self {
            context,
            principals: schema.principals_for_action(&node.uid).into_iter().flatten().map(plain).collect(),
            resources: schema.resources_for_action(&node.uid).into_iter().flatten().map(plain).collect(),
            node,
        }
    }

    /// The same, as another node.
    #[cfg(feature = "faults")]
    pub fn with(&self, node: Arc<Node>) -> Self {
        let Self { context, principals, resources, .. } = self;
        Self { node, context: context.clone(), principals: principals.clone(), resources: resources.clone() }
    }

    /// Can one of this type do it?
    pub fn takes_principal(&self, kind: &EntityType) -> bool {
        self.principals.contains(kind)
    }

    /// Can it be done to one of this type?
    pub fn takes_resource(&self, kind: &EntityType) -> bool {
        self.resources.contains(kind)
    }
}

/// A tool that can be called.
#[derive(Debug)]
pub(crate) struct Callable {
    pub server: Arc<str>,
    pub tool: Arc<str>,
    pub node: Arc<Node>,
    pub action: Arc<Action>,
    /// The type of `context.args`.
    pub args: Fields,
}

/// Whether a tool may be used, and the digest of its approved definition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub state: ToolState,
    pub digest: Hash,
}

impl Standing {
    pub fn of(tool: &Tool) -> Self {
        Self { state: tool.state, digest: tool.digest }
    }
}

/// Which members of `context.args` any policy looks at; the others need not be converted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reads {
    /// Some policy takes the context or the arguments as a whole.
    pub whole: bool,
    /// Every attribute name in any policy.
    pub names: HashSet<String>,
}

impl Reads {
    /// Can a policy see the argument of this name?
    pub fn sees(&self, name: &str) -> bool {
        self.whole || self.names.contains(name)
    }
}

/// What a policy set wants to know of an act beside its request: whoever asks the engine brings it along.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The declared meters. All of them count; those that `read` names are looked at.
    pub meters: Vec<Meter>,
    /// Does some policy look at this meter? In the order of `meters`.
    pub read: Vec<bool>,
    /// Does some policy look at what the session did?
    pub done: bool,
    /// Does some policy look at how many calls it began?
    pub calls: bool,
    /// Does some policy look at what the session is for?
    pub purpose: bool,
}

impl Needs {
    /// Is there a policy about what the session did before?
    pub fn history(&self) -> bool {
        self.done || self.calls
    }
}

/// A checked policy set, immutable.
#[derive(Debug)]
pub struct Snapshot {
    pub(crate) version: Arc<str>,
    pub(crate) schema: ValidatorSchema,
    pub(crate) types: Types,
    pub(crate) rules: Vec<Rule>,
    pub(crate) index: Index,
    pub(crate) templates: HashMap<Arc<str>, Rule>,
    pub(crate) entities: HashMap<EntityUID, Arc<Node>>,
    pub(crate) actions: HashMap<EntityUID, Arc<Action>>,
    pub(crate) named_actions: HashMap<String, Arc<Action>>,
    pub(crate) tools: HashMap<String, HashMap<String, Callable>>,
    /// Every known tool by its qualified name: whether it may be used, and the definition that was built in.
    pub(crate) standing: HashMap<String, Standing>,
    pub(crate) servers: HashMap<String, (Arc<str>, Arc<Node>)>,
    /// The groups that `entities.json` puts agents into, with all that these are in.
    pub(crate) memberships: HashMap<String, Vec<EntityUID>>,
    pub(crate) reads: Reads,
    pub(crate) needs: Arc<Needs>,
    pub(crate) warnings: Vec<Diagnostic>,
}

impl Snapshot {
    /// Reads and checks everything. Either all of it holds, or the list says everything that does not.
    pub fn build(sources: &Sources<'_>) -> Result<Self, Vec<Diagnostic>> {
        crate::load::snapshot(sources)
    }

    /// What somebody should look at, although it is in force.
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// Digest of everything that was built in, in lower-case hex.
    pub fn version(&self) -> &Arc<str> {
        &self.version
    }

    /// The ids of the static policies, in the order of their files.
    pub fn policies(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| &*rule.id)
    }

    /// The ids of the templates that grants can link.
    pub fn templates(&self) -> impl Iterator<Item = &str> {
        self.templates.keys().map(|id| &**id)
    }

    /// What it wants to know of an act beside its request.
    pub fn needs(&self) -> &Arc<Needs> {
        &self.needs
    }

    /// How many policies every decision has to look at because their scope says nothing.
    pub fn unindexed(&self) -> usize {
        self.index.always.len()
    }
}
