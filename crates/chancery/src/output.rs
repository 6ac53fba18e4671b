//! What goes to standard output: one set of rows, seven shapes.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use chancery_model::Timestamp;
use clap::ValueEnum;
use clap::builder::PossibleValuesParser;
use serde_json::Value;

use crate::failure::Failure;

/// How data is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns for people; separated by tabs, without a heading, when piped.
    Table,
    /// The same with every column.
    Wide,
    /// One JSON document.
    Json,
    /// One JSON document a line.
    Jsonl,
    /// Comma-separated with a heading, safe to open in a spreadsheet.
    Csv,
    /// Names or ids only, one a line.
    Name,
}

impl Format {
    /// What may be said on the command line. As text, so that the one verb whose `-o` is a file can say so.
    pub fn names() -> PossibleValuesParser {
        PossibleValuesParser::new(Self::value_variants().iter().filter_map(ValueEnum::to_possible_value))
    }

    /// The format of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::from_str(name, false).ok()
    }
}

/// A column: its heading, and the JSON pointer (RFC 6901) of its value in a row.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    title: &'static str,
    pointer: &'static str,
    wide: bool,
}

/// A column that is always shown.
pub const fn column(title: &'static str, pointer: &'static str) -> Column {
    Column { title, pointer, wide: false }
}

/// A column that is shown by `-o wide` and in the details of one row.
pub const fn wide(title: &'static str, pointer: &'static str) -> Column {
    Column { title, pointer, wide: true }
}

/// Where data goes, and in which shape.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    format: Option<Format>,
    terminal: bool,
    colour: bool,
    now: Timestamp,
}

impl Output {
    /// `colour` is what the environment allows (`NO_COLOR`, `CLICOLOR_FORCE`); `now` is for relative times.
    pub fn new(format: Option<Format>, colour: bool, now: Timestamp) -> Self {
        let terminal = io::stdout().is_terminal();
        Self { format, terminal, colour: colour && terminal, now }
    }

    /// Whether standard output is to be read by a program as JSON.
    pub fn is_json(&self) -> bool {
        matches!(self.format, Some(Format::Json | Format::Jsonl))
    }

    /// Whether a person is watching.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Prints many rows.
    pub fn list(&self, columns: &[Column], rows: &[Value]) -> Result<(), Failure> {
        let text = match self.format {
            Some(Format::Json) => pretty(&Value::Array(rows.to_vec())),
            Some(Format::Jsonl) => rows.iter().map(|row| format!("{row}\n")).collect(),
            Some(Format::Csv) => csv(columns, rows),
            Some(Format::Name) => rows.iter().map(|row| format!("{}\n", cell(row, columns[0].pointer))).collect(),
            Some(Format::Wide) => self.table(columns, rows),
            Some(Format::Table) | None => {
                let narrow: Vec<Column> = columns.iter().filter(|c| !c.wide).copied().collect();
                self.table(&narrow, rows)
            }
        };
        self.text(&text)
    }

    /// Prints one row in detail.
    pub fn item(&self, columns: &[Column], row: &Value) -> Result<(), Failure> {
        match self.format {
            Some(Format::Json) => self.text(&pretty(row)),
            Some(Format::Table | Format::Wide) | None => self.text(&self.details(columns, row)),
            Some(Format::Jsonl | Format::Csv | Format::Name) => self.list(columns, std::slice::from_ref(row)),
        }
    }

    /// Prints one row of a stream that has no end.
    pub fn event(&self, columns: &[Column], row: &Value) -> Result<(), Failure> {
        match self.format {
            Some(Format::Json | Format::Jsonl) => self.text(&format!("{row}\n")),
            Some(Format::Name) => self.text(&format!("{}\n", cell(row, columns[0].pointer))),
            Some(Format::Csv) => self.text(&csv_line(columns.iter().map(|c| cell(row, c.pointer)))),
            _ => self.text(&tabbed(columns, row)),
        }
    }

    /// Prints a text as it is.
    pub fn text(&self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::output)
    }

    /// A remark about what was done, on standard error, where it does not get into data.
    pub fn note(&self, text: &str) {
        // Nobody left to read it is no reason to fail.
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    fn table(&self, columns: &[Column], rows: &[Value]) -> String {
        if !self.terminal {
            return rows.iter().map(|row| tabbed(columns, row)).collect();
        }
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING).set_header(columns.iter().map(|c| self.bold(c.title)));
        for row in rows {
            table.add_row(columns.iter().map(|c| self.shown(row, c.pointer)));
        }
        let lines = table.to_string();
        let trimmed: Vec<&str> = lines.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end()).collect();
        trimmed.join("\n") + "\n"
    }

    fn details(&self, columns: &[Column], row: &Value) -> String {
        let width = columns.iter().map(|c| c.title.len()).max().unwrap_or(0);
        let mut text = String::new();
        for c in columns {
            let value = self.shown(row, c.pointer);
            if !value.is_empty() && self.terminal {
                let _ = writeln!(text, "{:width$}  {value}", c.title.to_lowercase());
            } else if !self.terminal {
                let _ = writeln!(text, "{}\t{value}", c.title.to_lowercase());
            }
        }
        text
    }

    fn bold(&self, text: &str) -> String {
        if self.colour { format!("\u{1b}[1m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// A cell for people: times with their distance from now.
    fn shown(&self, row: &Value, pointer: &str) -> String {
        let text = cell(row, pointer);
        let is_time = self.terminal && pointer.ends_with("_at");
        match Timestamp::parse(&text).filter(|_| is_time) {
            Some(time) => format!("{} ({})", short_time(&text), distance(time, self.now)),
            None => text,
        }
    }
}

/// `2026-11-23T03:00:05.123456Z` without what is below seconds.
fn short_time(rfc3339: &str) -> String {
    rfc3339.split_once('.').map_or_else(|| rfc3339.to_owned(), |(whole, _)| format!("{whole}Z"))
}

fn distance(time: Timestamp, now: Timestamp) -> String {
    let seconds = (time - now).as_seconds();
    let (number, unit) = match seconds.unsigned_abs() {
        s @ 0..120 => (s, "s"),
        s @ 120..7_200 => (s / 60, "min"),
        s @ 7_200..172_800 => (s / 3_600, "h"),
        s => (s / 86_400, "d"),
    };
    if seconds < 0 { format!("{number} {unit} ago") } else { format!("in {number} {unit}") }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).map(|text| text + "\n").unwrap_or_default()
}

fn tabbed(columns: &[Column], row: &Value) -> String {
    let cells: Vec<String> = columns.iter().map(|c| cell(row, c.pointer).replace('\t', " ")).collect();
    cells.join("\t") + "\n"
}

/// A value as one line of text without control characters: names come from strangers.
pub fn cell(row: &Value, pointer: &str) -> String {
    let text = match row.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items.iter().map(|i| cell(i, "")).collect::<Vec<_>>().join(", "),
        Some(other) => other.to_string(),
    };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn csv(columns: &[Column], rows: &[Value]) -> String {
    let heading = csv_line(columns.iter().map(|c| c.title.to_lowercase()));
    let lines = rows.iter().map(|row| csv_line(columns.iter().map(|c| cell(row, c.pointer))));
    std::iter::once(heading).chain(lines).collect()
}

fn csv_line(cells: impl Iterator<Item = String>) -> String {
    cells.map(|c| csv_cell(&c)).collect::<Vec<_>>().join(",") + "\n"
}

/// Quoted where needed (RFC 4180); what a spreadsheet would take for a formula is made text.
fn csv_cell(text: &str) -> String {
    let inert = if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text.to_owned() };
    if inert.contains([',', '"', '\'']) { format!("\"{}\"", inert.replace('"', "\"\"")) } else { inert }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const COLUMNS: &[Column] = &[column("NAME", "/name"), wide("PURPOSE", "/purpose")];

    #[test]
    fn a_piped_row_is_tabbed_and_cannot_forge_another() {
        let row = json!({"name": "a\tb", "purpose": "x\ny\u{1b}[31m"});
        assert_eq!(tabbed(COLUMNS, &row), "a b\tx y [31m\n");
    }

    #[test]
    fn a_spreadsheet_sees_no_formula() {
        assert_eq!(csv_cell("=1+1"), "\"'=1+1\"");
        assert_eq!(csv_cell("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(csv_cell("plain"), "plain");
    }

    #[test]
    fn distances_are_short() {
        let now = Timestamp::from_seconds(1_000_000);
        assert_eq!(distance(Timestamp::from_seconds(999_000), now), "16 min ago");
        assert_eq!(distance(Timestamp::from_seconds(1_000_000 + 200_000), now), "in 2 d");
    }
}
