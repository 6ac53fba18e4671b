//! Why something was not registered or changed.

use chancery_model::problem::{self, Row};
use chancery_model::{BadManifest, BlueprintRefused, Digest, TransitionRefused};
use chancery_store::StoreError;

/// A change that did not happen.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// A field is missing, blank, too long, or not of its form.
    #[error("{field}: {why}")]
    Field {
        /// Which.
        field: &'static str,
        /// What is wrong, and what it has to be.
        why: String,
    },
    /// The name belongs to another identity, or belonged to one: names are never reused.
    #[error("the name `{0}` is taken: names are never reused")]
    NameTaken(String),
    /// What was discovered cannot be taken for this identity.
    #[error("{0}")]
    Adoption(String),
    /// There is none.
    #[error("there is no agent `{0}`")]
    NoAgent(String),
    /// There is none.
    #[error("there is no blueprint `{0}`")]
    NoBlueprint(String),
    /// The name belongs to another blueprint.
    #[error("the name `{0}` is taken: names are never reused")]
    BlueprintTaken(String),
    /// The blueprint's state does not allow it.
    #[error("{0}")]
    Blueprint(#[from] BlueprintRefused),
    /// Names of a batch that cannot be taken, each with its reason. None of the batch was made.
    #[error("{} of {of}: {}", bad.len(), some(bad))]
    Instances {
        /// What is wrong, name by name.
        bad: Vec<String>,
        /// How many were asked for.
        of: usize,
    },
    /// A text that is no manifest.
    #[error("{0}")]
    Manifest(#[from] BadManifest),
    /// Approved is what was looked at, and that is not what was stated last.
    #[error("`{digest}` is not what {of} stated last")]
    Unseen {
        /// What was to be approved.
        digest: Digest,
        /// Of whom.
        of: String,
    },
    /// There is none.
    #[error("there is no grant `{0}`")]
    NoGrant(String),
    /// A trust source that would trust more than one workload, or that cannot be checked.
    #[error("{field}: {why}")]
    NotExact {
        /// Which field.
        field: &'static str,
        /// What is wrong, and what to write instead.
        why: String,
    },
    /// There is none.
    #[error("there is no trust source `{0}`")]
    NoTrustSource(String),
    /// The name is taken, or the workload is this agent's already.
    #[error("{0}")]
    TrustSourceExists(String),
    /// A client that cannot be an agent's.
    #[error("{0}")]
    BadClient(String),
    /// Clients do not register themselves here.
    #[error("`oauth.registration` is off")]
    RegistrationOff,
    /// A code that is wrong, used, replaced or expired.
    #[error("it is wrong, was used or replaced, or expired")]
    BadRegistrationCode,
    /// Metadata that are not taken, with the error of RFC 7591, section 3.2.2.
    #[error("{why}")]
    BadMetadata {
        /// `invalid_redirect_uri` or `invalid_client_metadata`.
        error: &'static str,
        /// What is wrong.
        why: String,
    },
    /// There is none.
    #[error("no agent has a client `{0}`")]
    NoClient(String),
    /// The state does not allow it.
    #[error("{0}")]
    Transition(#[from] TransitionRefused),
    /// The grant is over already.
    #[error("the grant `{0}` was revoked already")]
    RevokedAlready(String),
    /// There is none.
    #[error("there is no person `{0}`")]
    NoPerson(String),
    /// The name belongs to another person: names are never reused.
    #[error("the name `{0}` is taken: names are never reused")]
    PersonTaken(String),
    /// It is not one of the configuration.
    #[error("`{0}` is no identity provider of the configuration")]
    NoProvider(String),
    /// One account is one person's.
    #[error("the account is a person's already")]
    AccountTaken,
    /// There is none.
    #[error("the person has no account `{0}` there")]
    NoAccount(String),
    /// Their state does not allow it.
    #[error("`{0}` is {1}")]
    PersonState(String, String),
    /// There is none.
    #[error("there is no group `{0}`")]
    NoGroup(String),
    /// The name belongs to a group or a person.
    #[error("the name `{0}` is taken: names are never reused")]
    GroupTaken(String),
    /// They are in it already, or are not in it.
    #[error("`{0}` is {1} the group")]
    Member(String, &'static str),
    /// One certificate is one agent's.
    #[error("another agent has this certificate")]
    CertificateTaken,
    /// Others changed the same thing at the same time, again and again.
    #[error("`{0}` is being changed by others: look at it and try again")]
    Busy(String),
    /// The store failed.
    #[error("{0}")]
    Store(StoreError),
}

impl RegisterError {
    /// Its row of the error table.
    pub fn row(&self) -> Row {
        match self {
            Self::Field { .. } => problem::BAD_FIELD,
            Self::NameTaken(_) => problem::AGENT_EXISTS,
            Self::Adoption(_) => problem::ADOPTION_REFUSED,
            Self::NoAgent(_) => problem::NO_AGENT,
            Self::NoGrant(_) => problem::NO_GRANT,
            Self::NoBlueprint(_) => problem::NO_BLUEPRINT,
            Self::BlueprintTaken(_) => problem::BLUEPRINT_EXISTS,
            Self::Blueprint(_) => problem::BLUEPRINT_STATE,
            Self::Instances { .. } => problem::BAD_INSTANCES,
            Self::Manifest(_) => problem::BAD_MANIFEST,
            Self::Unseen { .. } => problem::MANIFEST_UNSEEN,
            Self::NotExact { .. } => problem::BAD_TRUST_SOURCE,
            Self::NoTrustSource(_) => problem::NO_TRUST_SOURCE,
            Self::TrustSourceExists(_) => problem::TRUST_SOURCE_EXISTS,
            Self::BadClient(_) => problem::BAD_CLIENT_DATA,
            Self::RegistrationOff => problem::REGISTRATION_OFF,
            Self::BadRegistrationCode => problem::BAD_REGISTRATION_CODE,
            Self::BadMetadata { .. } => problem::BAD_CLIENT_METADATA,
            Self::NoClient(_) => problem::NO_CLIENT,
            Self::Transition(_) | Self::RevokedAlready(_) | Self::Busy(_) => problem::BAD_TRANSITION,
            Self::NoPerson(_) => problem::NO_PERSON,
            Self::PersonTaken(_) => problem::PERSON_EXISTS,
            Self::NoProvider(_) => problem::NO_PROVIDER,
            Self::AccountTaken => problem::ACCOUNT_TAKEN,
            Self::NoAccount(_) => problem::NO_ACCOUNT,
            Self::NoGroup(_) => problem::NO_GROUP,
            Self::GroupTaken(_) => problem::GROUP_EXISTS,
            Self::PersonState(..) | Self::Member(..) => problem::BAD_PERSON_STATE,
            Self::CertificateTaken => problem::CERTIFICATE_TAKEN,
            Self::Store(_) => problem::STORE_FAILED,
        }
    }
}

/// How many bad names are told.
const TOLD: usize = 5;

fn some(bad: &[String]) -> String {
    let told = bad.iter().take(TOLD).map(String::as_str).collect::<Vec<_>>().join("; ");
    if bad.len() > TOLD { format!("{told}; and {} more", bad.len() - TOLD) } else { told }
}

impl From<StoreError> for RegisterError {
    fn from(e: StoreError) -> Self {
        e.refusal::<Self>().unwrap_or_else(Self::Store)
    }
}
