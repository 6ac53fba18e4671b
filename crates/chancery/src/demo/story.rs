//! The story as data: `demo.json` of the sample company.

use std::collections::BTreeMap;
use std::path::Path;

use chancery_model::problem::BAD_CONFIG;
use serde::Deserialize;

use crate::failure::{Done, Failure};

/// A whole story.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Story {
    /// Its name.
    pub title: String,
    /// Systems that are started, by their name in the configuration: the first line each prints ends with its URL.
    pub systems: BTreeMap<String, Vec<String>>,
    /// Secrets that are stored, by name: each is what its command prints.
    pub secrets: BTreeMap<String, Vec<String>>,
    /// Agents and people, by name: each takes tasks as lines and answers each with a line of JSON.
    pub agents: BTreeMap<String, Vec<String>>,
    /// What happens.
    pub chapters: Vec<Chapter>,
    /// What a reader may try afterwards.
    pub afterwards: Vec<String>,
}

/// A part of the story.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chapter {
    /// Its heading.
    pub title: String,
    /// Its steps, in order.
    pub steps: Vec<Step>,
}

/// One step: it is done, compared with what is expected, and told.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What to do.
    #[serde(rename = "do")]
    pub act: Act,
    /// What is told when it went as expected. `{said}` is what the agent said, `{first}` the first line of output.
    #[serde(default)]
    pub say: String,
    /// Texts that the output must show.
    #[serde(default)]
    pub shows: Vec<String>,
    /// Texts that the output must not show.
    #[serde(default)]
    pub hides: Vec<String>,
    /// Words of the output that later steps need: the first that begins like this is kept under this name.
    #[serde(default)]
    pub keeps: BTreeMap<String, String>,
    /// Whether the output is printed as well.
    #[serde(default)]
    pub print: bool,
}

/// What a step does.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Act {
    /// A verb of the command line.
    Chancery {
        /// Its words. `{decision}` is the last denied decision, `{dir}` the directory of the demo; other names are what
        /// earlier steps kept.
        words: Vec<String>,
        /// The exit code it must have.
        #[serde(default)]
        exit: i32,
    },
    /// Another program.
    Run {
        /// Program and arguments; `{bin}` is the directory of this program, the rest as above.
        words: Vec<String>,
        /// The exit code it must have.
        #[serde(default)]
        exit: i32,
    },
    /// A task for an agent or a person.
    Task {
        /// The agent or person.
        agent: String,
        /// The task.
        task: String,
        /// A word to work on. It is not told: it may be a secret.
        with: Option<String>,
        /// What became of its last call: `allowed`, `failed`, `hidden`, `denied` or `refused`. None where it calls nothing.
        outcome: Option<String>,
        /// The code of the denial.
        code: Option<String>,
    },
}

impl Story {
    /// Reads `demo.json`.
    pub fn read(path: &Path) -> Done<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Failure::file(path, e))?;
        serde_json::from_str(&text).map_err(|e| Failure::new(BAD_CONFIG, format!("{}: {e}", path.display())))
    }

    /// How many steps there are.
    pub fn steps(&self) -> usize {
        self.chapters.iter().map(|chapter| chapter.steps.len()).sum()
    }
}
