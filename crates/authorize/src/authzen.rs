//! OpenID AuthZEN Authorization API 1.0: evaluation and evaluations, as pure functions over the engine.
//!
//! A subject's or resource's `type` is a Cedar entity type and its `id` the entity's id; `properties` give
//! attributes, over those of the directory, as far as the schema declares them (others are not seen by policies).
//! `action.name` is the id of a Cedar action. `context` gives the attributes of the action's context type.
//! What the schema does not know is a deny with a reason.

use chancery_model::Timestamp;
use chancery_model::problem::BAD_EVALUATION;
use serde::{Deserialize, Serialize};

use crate::{Engine, Properties, Verdict};

/// A subject or a resource (sections 5.1 and 5.3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityRef {
    /// The entity type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The entity's id.
    pub id: String,
    /// Its attributes as the caller knows them.
    #[serde(default, skip_serializing_if = "Properties::is_empty")]
    pub properties: Properties,
}

/// An action (section 5.2). Its properties take part in no decision: Cedar's actions have none per request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionRef {
    /// The action's id.
    pub name: String,
    /// Kept with the question.
    #[serde(default, skip_serializing_if = "Properties::is_empty")]
    pub properties: Properties,
}

/// One question (section 6.1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Who.
    pub subject: EntityRef,
    /// What.
    pub action: ActionRef,
    /// On what.
    pub resource: EntityRef,
    /// Under which circumstances.
    #[serde(default, skip_serializing_if = "Properties::is_empty")]
    pub context: Properties,
}

/// The same, of borrowed parts.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Who.
    pub subject: &'a EntityRef,
    /// What.
    pub action: &'a ActionRef,
    /// On what.
    pub resource: &'a EntityRef,
    /// Under which circumstances.
    pub context: &'a Properties,
}

impl Evaluation {
    /// Borrows it.
    pub fn question(&self) -> Question<'_> {
        Question { subject: &self.subject, action: &self.action, resource: &self.resource, context: &self.context }
    }
}

impl Question<'_> {
    /// A copy to be kept.
    pub fn to_evaluation(&self) -> Evaluation {
        Evaluation {
            subject: self.subject.clone(),
            action: self.action.clone(),
            resource: self.resource.clone(),
            context: self.context.clone(),
        }
    }
}

/// One question of several, or what the others take from it (section 7.1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartialEvaluation {
    /// Who.
    #[serde(default)]
    pub subject: Option<EntityRef>,
    /// What.
    #[serde(default)]
    pub action: Option<ActionRef>,
    /// On what.
    #[serde(default)]
    pub resource: Option<EntityRef>,
    /// Under which circumstances.
    #[serde(default)]
    pub context: Option<Properties>,
}

/// In which order, and how far, several questions are answered (section 7.1.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Semantics {
    /// All of them.
    #[default]
    ExecuteAll,
    /// Up to and with the first deny.
    DenyOnFirstDeny,
    /// Up to and with the first permit.
    PermitOnFirstPermit,
}

/// Options of several questions (section 7.1.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// How far to go.
    #[serde(default)]
    pub evaluations_semantic: Semantics,
}

/// Several questions (section 7.1). Top-level members are defaults for those of `evaluations` that lack them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluations {
    /// Default subject.
    #[serde(default)]
    pub subject: Option<EntityRef>,
    /// Default action.
    #[serde(default)]
    pub action: Option<ActionRef>,
    /// Default resource.
    #[serde(default)]
    pub resource: Option<EntityRef>,
    /// Default context.
    #[serde(default)]
    pub context: Option<Properties>,
    /// The questions; none means the top-level members are the only one.
    #[serde(default)]
    pub evaluations: Vec<PartialEvaluation>,
    /// How far to go.
    #[serde(default)]
    pub options: Options,
}

/// A question that lacks a member it must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the question has no `{missing}`")]
pub struct BadEvaluation {
    /// The member.
    pub missing: &'static str,
}

impl Evaluations {
    /// The questions with the defaults filled in; an error stands in the place of one that lacks a member.
    pub fn questions(&self) -> impl Iterator<Item = Result<Question<'_>, BadEvaluation>> {
        let alone = self.evaluations.is_empty().then(|| self.question(None));
        alone.into_iter().chain(self.evaluations.iter().map(|item| self.question(Some(item))))
    }

    fn question<'a>(&'a self, item: Option<&'a PartialEvaluation>) -> Result<Question<'a>, BadEvaluation> {
        fn pick<'a, T>(
            own: Option<&'a T>,
            default: &'a Option<T>,
            missing: &'static str,
        ) -> Result<&'a T, BadEvaluation> {
            own.or(default.as_ref()).ok_or(BadEvaluation { missing })
        }
        let context = item.and_then(|item| item.context.as_ref()).or(self.context.as_ref());
        Ok(Question {
            subject: pick(item.and_then(|item| item.subject.as_ref()), &self.subject, "subject")?,
            action: pick(item.and_then(|item| item.action.as_ref()), &self.action, "action")?,
            resource: pick(item.and_then(|item| item.resource.as_ref()), &self.resource, "resource")?,
            context: context.unwrap_or(&NO_PROPERTIES),
        })
    }
}

static NO_PROPERTIES: Properties = Properties(Vec::new());

/// Answers several questions in their order, as far as their semantics go. A question that lacks a member is a
/// deny in its place; with [`Semantics::DenyOnFirstDeny`] it ends the answers like any other deny.
pub fn evaluations(engine: &Engine, asked: &Evaluations, now: Timestamp) -> Vec<Verdict> {
    let mut verdicts = Vec::with_capacity(asked.evaluations.len().max(1));
    for question in asked.questions() {
        let verdict = match question {
            Ok(question) => engine.question(question, now),
            Err(bad) => Verdict::refused(&engine.version(), BAD_EVALUATION, bad.to_string()),
        };
        let last = match asked.options.evaluations_semantic {
            Semantics::ExecuteAll => false,
            Semantics::DenyOnFirstDeny => !verdict.allows(),
            Semantics::PermitOnFirstPermit => verdict.allows(),
        };
        verdicts.push(verdict);
        if last {
            break;
        }
    }
    verdicts
}
