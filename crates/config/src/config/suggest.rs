//! Turns the parser's message into one with a place and a suggestion.

use std::path::Path;

use super::ConfigError;

/// The error with file, line and column, and the known key that looks most like an unknown one.
pub(super) fn explain(error: &toml::de::Error, text: &str, path: &Path) -> ConfigError {
    let place = match error.span() {
        Some(span) => {
            let (line, column) = line_and_column(text, span.start);
            format!("{}:{line}:{column}", path.display())
        }
        None => path.display().to_string(),
    };
    let message = error.message().to_owned();
    let suggestion = closest(&message).map(|key| format!("did you mean `{key}`?"));
    ConfigError { place, message, suggestion }
}

fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
    (line, column)
}

/// serde names the unknown key first and the known ones after it, all in backticks.
fn closest(message: &str) -> Option<String> {
    if !message.starts_with("unknown ") {
        return None;
    }
    let mut names = message.split('`').skip(1).step_by(2);
    let unknown = names.next()?;
    let best = names.min_by_key(|known| distance(unknown, known))?;
    (distance(unknown, best) <= unknown.len().max(best.len()) / 2).then(|| best.to_owned())
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.chars().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}
