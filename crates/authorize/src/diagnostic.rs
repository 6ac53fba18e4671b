//! What is wrong with a policy directory, said so that its author can mend it.

use std::fmt;

use cedar_policy_core::parser::Loc;
use chancery_model::problem::Row;
use serde::Serialize;

/// Whether it keeps the files from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It does: nothing of the directory comes into force.
    Error,
    /// It does not, but somebody should look at it.
    Warning,
}

/// One remark about one place. Lines and columns count from 1; 0 where there is no place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Diagnostic {
    /// The file, relative to the policy directory.
    pub file: String,
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
    /// `C3…` of the table of error codes.
    pub code: &'static str,
    /// Whether it is fatal.
    pub severity: Severity,
    /// What is wrong, in a sentence.
    pub message: String,
    /// What would mend it.
    pub suggestion: Option<String>,
    /// The line itself.
    pub source: Option<String>,
    /// How many characters of it are meant, from the column on.
    pub width: usize,
}

impl Diagnostic {
    /// An error about a file as a whole.
    pub(crate) fn error(file: &str, row: Row, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: 0,
            column: 0,
            code: row.code,
            severity: Severity::Error,
            message: message.into(),
            suggestion: None,
            source: None,
            width: 0,
        }
    }

    /// A warning about a file as a whole.
    pub(crate) fn warning(file: &str, row: Row, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(file, row, message) }
    }

    /// The same, about this place of the text the location carries.
    pub(crate) fn at(self, loc: Option<&Loc>) -> Self {
        match loc {
            Some(loc) => self.span(&loc.src, loc.start(), loc.end()),
            None => self,
        }
    }

    /// The same, about the bytes `start..end` of `text`.
    pub(crate) fn span(mut self, text: &str, start: usize, end: usize) -> Self {
        let before = text.get(..start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = text[line_start..].lines().next().unwrap_or_default();
        let marked = text.get(start..end).unwrap_or_default().lines().next().unwrap_or_default();
        self.line = before.matches('\n').count() + 1;
        self.column = before[line_start..].chars().count() + 1;
        self.source = Some(line.to_owned());
        self.width = marked.chars().count().max(1);
        self
    }

    /// The same, with advice.
    pub(crate) fn suggest(self, suggestion: impl Into<String>) -> Self {
        Self { suggestion: Some(suggestion.into()), ..self }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, message, code, .. } = self;
        match line {
            0 => write!(f, "{file}  {message}   [{code}]")?,
            _ => write!(f, "{file}:{line}:{column}  {message}   [{code}]")?,
        }
        if let Some(source) = &self.source {
            let (gap, marks) = (" ".repeat(column.saturating_sub(1)), "^".repeat(self.width));
            write!(f, "\n{line:>4} | {source}\n     | {gap}{marks}")?;
            if let Some(advice) = &self.suggestion {
                write!(f, " {advice}")?;
            }
        } else if let Some(advice) = &self.suggestion {
            write!(f, "\n  do:  {advice}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chancery_model::problem::POLICY_TYPE;

    use super::*;

    #[test]
    fn the_place_is_shown_under_the_line() {
        let text = "permit (principal, action, resource)\n  when { context.amout <= 200 };\n";
        let start = text.find("context.amout").unwrap();
        let shown = Diagnostic::error("refunds.cedar", POLICY_TYPE, "unknown attribute `amout`")
            .span(text, start, start + 13)
            .suggest("did you mean `amount`?")
            .to_string();
        assert_eq!(
            shown,
            "refunds.cedar:2:10  unknown attribute `amout`   [C3002]\n   2 |   when { context.amout <= 200 };\n     |          ^^^^^^^^^^^^^ did you mean `amount`?"
        );
    }
}
