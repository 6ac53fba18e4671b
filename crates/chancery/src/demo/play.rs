//! Plays the story: does each step, compares it with what is expected, and tells it.

use std::collections::BTreeMap;
use std::path::Path;

use super::stage::{Call, Running, Surroundings, failed};
use super::story::{Act, Chapter, Step, Story};
use super::tell::Teller;
use crate::failure::{Done, Failure};

/// A story being played.
pub struct Play<'a> {
    story: &'a Story,
    around: &'a Surroundings,
    teller: Teller,
    agents: BTreeMap<String, Running>,
    /// What `{…}` in words and sentences stands for.
    names: BTreeMap<String, String>,
}

/// What a step gave.
struct Seen {
    /// What expectations are compared with, and what is printed.
    text: String,
    /// What the agent said.
    said: String,
    /// What differed from the expectation; nothing if it went well.
    wrong: Option<String>,
}

impl<'a> Play<'a> {
    /// `dir` is where the demo keeps its files.
    pub fn new(story: &'a Story, around: &'a Surroundings, dir: &Path, teller: Teller) -> Self {
        let bin = around.program.parent().unwrap_or(Path::new("."));
        let places = [("dir", dir), ("bin", bin)];
        let names = places.map(|(name, path)| (name.to_owned(), path.display().to_string())).into();
        Self { story, around, teller, agents: BTreeMap::new(), names }
    }

    /// The same, and `{NAME}` is the address of the system of that name.
    pub fn with(mut self, systems: &BTreeMap<String, String>) -> Self {
        self.names.extend(systems.clone());
        self
    }

    /// Plays every chapter. The first step that does not do what it should ends it.
    pub async fn run(mut self) -> Done {
        for (number, chapter) in self.story.chapters.iter().enumerate() {
            self.teller.chapter(number + 1, &chapter.title);
            self.chapter(chapter).await?;
        }
        Ok(())
    }

    async fn chapter(&mut self, chapter: &Chapter) -> Done {
        for step in &chapter.steps {
            let seen = self.act(&step.act).await?;
            let wrong =
                seen.wrong.clone().or_else(|| self.differs(step, &seen.text)).or_else(|| self.keep(step, &seen.text));
            if step.print || wrong.is_some() {
                self.teller.output(&seen.text);
            }
            if let Some(wrong) = wrong {
                return Err(self.stopped(chapter, &wrong));
            }
            self.teller.done(&self.sentence(step, &seen));
        }
        Ok(())
    }

    fn differs(&self, step: &Step, text: &str) -> Option<String> {
        let filled = |part: &String| self.fill(part);
        let missing = step.shows.iter().map(filled).find(|part| !text.contains(part));
        let leaked = step.hides.iter().map(filled).find(|part| text.contains(part));
        missing
            .map(|part| format!("`{part}` is missing from the output"))
            .or_else(|| leaked.map(|part| format!("`{part}` should not be in the output")))
    }

    /// Keeps what later steps need; what is missing is wrong.
    fn keep(&mut self, step: &Step, text: &str) -> Option<String> {
        for (name, start) in &step.keeps {
            let Some(word) = text.split_whitespace().find(|word| word.starts_with(start.as_str())) else {
                return Some(format!("no word of the output begins with `{start}`"));
            };
            self.names.insert(name.clone(), word.to_owned());
        }
        None
    }

    fn stopped(&self, chapter: &Chapter, wrong: &str) -> Failure {
        failed(format!("in \"{}\": {wrong}", chapter.title))
    }

    async fn act(&mut self, act: &Act) -> Done<Seen> {
        match act {
            Act::Chancery { words, exit } => {
                self.teller.command("chancery ", &self.shown(words));
                let program = self.around.program.display().to_string();
                self.process(&[vec![program], self.filled(words)].concat(), *exit).await
            }
            Act::Run { words, exit } => {
                self.teller.command("", &self.shown(words));
                self.process(&self.filled(words), *exit).await
            }
            Act::Task { agent, task, with, outcome, code } => {
                self.teller.task(agent, task);
                let with = with.as_ref().map(|with| self.fill(with));
                self.task(agent, task, with.as_deref(), outcome.as_deref(), code.as_deref()).await
            }
        }
    }

    async fn process(&self, words: &[String], exit: i32) -> Done<Seen> {
        let done = self.around.run(words, "").await?;
        let wrong = (done.exit != exit).then(|| format!("exit code {} instead of {exit}", done.exit));
        Ok(Seen { said: String::new(), text: done.text, wrong })
    }

    async fn task(
        &mut self,
        agent: &str,
        task: &str,
        with: Option<&str>,
        outcome: Option<&str>,
        code: Option<&str>,
    ) -> Done<Seen> {
        let answer = self.agent(agent)?.ask(task, with).await?;
        self.names.extend(answer.kept);
        let last = answer.calls.last();
        if let Some(decision) = last.and_then(|call| call.decision.clone()) {
            self.names.insert("decision".to_owned(), decision);
        }
        let wrong = match (last, outcome) {
            (Some(last), Some(outcome)) => differs(last, outcome, code),
            (None, Some(_)) => Some(format!("{agent} called nothing")),
            (Some(last), None) => Some(format!("{agent} called {}/{}", last.server, last.tool)),
            (None, None) => None,
        };
        Ok(Seen { said: answer.said, text: last.map(|call| call.text.clone()).unwrap_or_default(), wrong })
    }

    /// The agent's process, started with its first task: it keeps its connections and tokens until the end.
    fn agent(&mut self, name: &str) -> Done<&mut Running> {
        if !self.agents.contains_key(name) {
            let words = self.story.agents.get(name).ok_or_else(|| failed(format!("there is no agent `{name}`")))?;
            self.agents.insert(name.to_owned(), self.around.start(name, words)?);
        }
        self.agents.get_mut(name).ok_or_else(|| failed(format!("there is no agent `{name}`")))
    }

    fn sentence(&self, step: &Step, seen: &Seen) -> String {
        let first = seen.text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
        self.fill(&step.say.replace("{said}", &seen.said).replace("{first}", first))
    }

    /// Words as they are told: without the directories of this run.
    fn shown(&self, words: &[String]) -> Vec<String> {
        words.iter().map(|word| self.fill(&word.replace("{bin}/", "").replace("{dir}/", ""))).collect()
    }

    fn filled(&self, words: &[String]) -> Vec<String> {
        words.iter().map(|word| self.fill(word)).collect()
    }

    fn fill(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }
}

/// How a call differs from what is expected of it.
fn differs(call: &Call, outcome: &str, code: Option<&str>) -> Option<String> {
    if call.outcome != outcome {
        return Some(format!("{}/{} was {} instead of {outcome}", call.server, call.tool, call.outcome));
    }
    let wrong = code.is_some() && call.code.as_deref() != code;
    wrong.then(|| format!("code {} instead of {}", call.code.as_deref().unwrap_or("none"), code.unwrap_or("none")))
}
