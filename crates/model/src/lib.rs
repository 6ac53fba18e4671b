//! The nouns of Chancery: what exists, which states it may be in, and how an entry of the log is written.
//!
//! Pure by law: no async, no IO, no ambient time, randomness or environment. Everything that other rooms
//! exchange is a type of this crate, named as `docs/glossary.md` names it.

mod account;
mod agent;
mod approval;
mod blueprint;
mod break_glass;
mod certificate;
mod change;
mod client;
mod client_secret;
mod consent;
mod containment;
mod decision;
mod entry;
mod finding;
mod grant;
mod group;
mod id;
mod inventory;
mod json;
mod limit;
mod login;
mod manifest;
mod meter;
mod passkey;
mod person;
pub mod problem;
mod proposal;
mod random;
mod secret;
mod session;
mod signal;
mod stand_in;
mod sweep;
mod time;
mod tool;
mod trust;

pub use account::Account;
pub use agent::{Agent, AgentKind, AgentState, BearerUse, Epoch, TransitionRefused};
pub use approval::{Approval, ApprovalKind, ApprovalState, Demand, DryRun, Enforcer, Foretold, Risk, Vote};
pub use blueprint::{Blueprint, BlueprintRefused, BlueprintState, Standing};
pub use break_glass::BreakGlass;
pub use certificate::{CertificateRule, ClientCertificate};
pub use change::Changed;
pub use client::{Client, ClientKind};
pub use client_secret::ClientSecret;
pub use consent::Consent;
pub use containment::{Containment, Scope};
pub use decision::{Decision, Determining, NearMiss, Outcome, Share};
pub use entry::{
    Authority, Body, Change, Commitment, DecodeError, Draft, Entry, Header, HeaderRef, Kind, Position,
    Result as ActResult, Sealed, What, Who, Why,
};
pub use finding::{Finding, Severity};
pub use grant::{Grant, GrantMode};
pub use group::Group;
pub use id::{
    AgentId, ApprovalId, AskId, BadId, BlueprintId, BreakGlassId, ContainmentId, DecisionId, GrantId, GroupId, HeldId,
    LoginId, PasskeyId, PersonId, ProposalId, SessionId, StandInId, StreamId, SweepId,
};
pub use inventory::{EdgeKind, NodeKind};
pub use json::{ArgumentsRefused, Limits, canonical, folded, parse_strict};
pub use limit::{BadLimits, Bound, Covered, LIMITS, Limit};
pub use login::{LOGIN_IDLE, LOGIN_MAXIMUM, Login};
pub use manifest::{BadManifest, Digest, Manifest, Seen, Stated};
pub use meter::{Counts, Meter, Of, Per, Use, Window};
pub use passkey::Passkey;
pub use person::{Person, PersonState, Role};
pub use problem::Problem;
pub use proposal::{Proposal, ProposalState};
pub use random::Random;
pub use secret::Secret;
pub use session::{Session, SessionEnded, SessionState};
pub use signal::{Delivery, HeldSignal, SignalAction, SignalStream, StreamStatus};
pub use stand_in::StandIn;
pub use sweep::{
    BadUrn, Body as ObjectBody, Coverage, CoverageStatus, Gap, LastUsed, Link, Object, ObjectState, Sweep, SweepStatus,
    Urn,
};
pub use time::{Clock, Span, Timestamp};
pub use tool::{Server, Tool, ToolState};
pub use trust::{TrustKind, TrustSource};

/// A SHA-256 value.
pub type Hash = [u8; 32];
