//! How the story looks on a terminal.

use std::io::Write;

/// Prints the story as it happens. A reader that is gone is no reason to fail.
#[derive(Clone, Copy, Debug)]
pub struct Teller {
    colour: bool,
}

const BOLD: &str = "1";
const DIM: &str = "2";
const GREEN: &str = "32";

impl Teller {
    /// `colour`: whether a person is watching who wants it.
    pub fn new(colour: bool) -> Self {
        Self { colour }
    }

    /// A line as it is.
    pub fn line(self, text: &str) {
        let _ = writeln!(std::io::stdout().lock(), "{text}");
    }

    /// A heading.
    pub fn chapter(self, number: usize, title: &str) {
        self.line(&format!("\n{}", self.paint(BOLD, &format!("{number}. {title}"))));
    }

    /// A command that is run; `program` ends with a space where it is not the first of the words.
    pub fn command(self, program: &str, words: &[String]) {
        let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        self.line(&self.paint(DIM, &format!("   $ {program}{}", words.join(" "))));
    }

    /// A task that is given.
    pub fn task(self, agent: &str, task: &str) {
        self.line(&self.paint(DIM, &format!("   > {agent}: {task}")));
    }

    /// What a step printed.
    pub fn output(self, text: &str) {
        text.trim_end().lines().for_each(|line| self.line(&format!("     {line}")));
    }

    /// A step that did what it should.
    pub fn done(self, sentence: &str) {
        let mut lines = sentence.lines();
        if let Some(first) = lines.next() {
            self.line(&format!("   {} {first}", self.paint(GREEN, "✓")));
        }
        lines.for_each(|line| self.line(&format!("     {line}")));
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// A word as one would type it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@{}".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        assert_eq!(quoted("--agent"), "--agent");
        assert_eq!(quoted("ticket 118"), "'ticket 118'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
    }
}
