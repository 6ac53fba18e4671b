//! The words of the inventory: what sorts of things there are, and how one may hang on another.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error};
use serde::{Serialize, Serializer};

macro_rules! vocabulary {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$doc])* $variant,)*
        }

        impl $name {
            /// Every one, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// As it stands in JSON and on the command line.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// The one that is written so.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.as_str() == text)
            }

            /// Its place in [`Self::ALL`].
            #[must_use]
            pub const fn number(self) -> u8 {
                self as u8
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).ok_or_else(|| D::Error::custom(format!("`{text}` is none of them")))
            }
        }
    };
}

vocabulary! {
    /// What sort of thing a node of the identity graph is.
    NodeKind {
        /// An agent that thinks with a language model.
        AiAgent = "ai_agent",
        /// What agents are made from.
        Blueprint = "blueprint",
        /// An account that software logs in with.
        ServiceAccount = "service_account",
        /// A service principal or the registration of an application.
        ServicePrincipal = "service_principal",
        /// A client of an authorization server.
        OauthClient = "oauth_client",
        /// A role that others step into.
        AssumableRole = "assumable_role",
        /// An identity that a platform gives to what runs on it.
        WorkloadIdentity = "workload_identity",
        /// An account of a machine.
        MachineAccount = "machine_account",
        /// A user of a service who is a program.
        BotUser = "bot_user",
        /// A job that a timer starts.
        ScheduledJob = "scheduled_job",
        /// A pipeline of continuous integration.
        CiPipeline = "ci_pipeline",
        /// An application of a third party that somebody consented to.
        Integration = "integration",
        /// A login role of a database.
        DbRole = "db_role",
        /// A user account of which it is not known whether a person is behind it.
        User = "user",
        /// A person.
        Human = "human",
        /// Several people.
        Team = "team",
        /// A credential that is stated or referred to.
        Credential = "credential",
        /// Something that is protected.
        Resource = "resource",
        /// A set of permissions.
        Policy = "policy",
        /// A set of permissions that is given to somebody.
        Role = "role",
        /// Several identities.
        Group = "group",
        /// A function that an agent calls.
        Tool = "tool",
        /// A server of tools.
        McpServer = "mcp_server",
        /// A language model.
        Model = "model",
        /// What an agent remembers or reads: a memory, a vector store, a data set.
        Memory = "memory",
        /// An entry of a store of secrets. Whoever reads it has what is in it.
        SecretStoreEntry = "secret_store_entry",
        /// Something that runs: a process, a pod, a function, a workflow.
        Runtime = "runtime",
        /// A file or repository. Whoever reads it has what is in it.
        CodeLocation = "code_location",
        /// A piece of work that is given to an agent.
        Task = "task",
        /// An account, tenant or installation that others are in.
        Tenant = "tenant",
    }
}

impl NodeKind {
    /// Whether somebody can answer for it: it acts, or lets others act as it.
    #[must_use]
    pub const fn acts(self) -> bool {
        matches!(
            self,
            Self::AiAgent
                | Self::ServiceAccount
                | Self::ServicePrincipal
                | Self::OauthClient
                | Self::AssumableRole
                | Self::WorkloadIdentity
                | Self::MachineAccount
                | Self::BotUser
                | Self::ScheduledJob
                | Self::CiPipeline
                | Self::Integration
                | Self::DbRole
                | Self::User
                | Self::McpServer
                | Self::Runtime
        )
    }

    /// Reading it is enough to have what is kept in it.
    #[must_use]
    pub const fn is_place(self) -> bool {
        matches!(self, Self::SecretStoreEntry | Self::CodeLocation)
    }
}

vocabulary! {
    /// How one node hangs on another. Read it from left to right: `from` KIND `to`.
    EdgeKind {
        /// A credential logs in as an identity.
        AuthenticatesAs = "authenticates_as",
        /// An identity, server or workload is given a credential.
        UsesCredential = "uses_credential",
        /// A workload runs under an identity.
        RunsAs = "runs_as",
        /// An identity may step into a role.
        CanAssume = "can_assume",
        /// An outside identity (a repository, a branch, a cluster's account) is taken for an identity here.
        FederatesTo = "federates_to",
        /// An identity is in a group.
        MemberOf = "member_of",
        /// An identity is given a role.
        HasRole = "has_role",
        /// An identity may give itself what another has.
        CanEscalateTo = "can_escalate_to",
        /// An identity may make a credential of another.
        CanAddCredentialTo = "can_add_credential_to",
        /// An identity may use a resource.
        CanAccess = "can_access",
        /// An agent or person makes another agent or a server act.
        Invokes = "invokes",
        /// An agent calls a tool.
        UsesTool = "uses_tool",
        /// An agent reads or writes a memory.
        UsesMemory = "uses_memory",
        /// A credential is kept in a place on purpose.
        StoredIn = "stored_in",
        /// A credential lies in a place where it should not.
        FoundIn = "found_in",
        /// Somebody lets another act for them.
        DelegatesTo = "delegates_to",
        /// Two records are of one thing.
        SameAs = "same_as",
        /// A policy or role holds a permission.
        Grants = "grants",
        /// A server offers a tool.
        ExposesTool = "exposes_tool",
        /// An agent thinks with a model.
        UsesModel = "uses_model",
        /// An agent does a piece of work.
        Performs = "performs",
        /// Something is in something larger.
        PartOf = "part_of",
        /// Somebody answers for it.
        OwnedBy = "owned_by",
        /// Somebody vouches for its purpose.
        SponsoredBy = "sponsored_by",
        /// Somebody made it.
        CreatedBy = "created_by",
        /// Somebody agreed to an integration.
        ConsentedBy = "consented_by",
        /// A credential or service is used by somebody.
        ConsumedBy = "consumed_by",
        /// Something does not work without another.
        DependsOn = "depends_on",
        /// Somebody was seen to use it.
        ObservedUsing = "observed_using",
        /// Another took its place.
        SucceededBy = "succeeded_by",
    }
}
