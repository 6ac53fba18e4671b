//! One figure with what it is compared to and the bar it must hold.

use serde_json::json;

/// What must hold.
#[derive(Clone, Copy, Debug)]
pub enum Bar {
    /// Nothing: told for the picture.
    None,
    /// The value itself.
    AtMost(f64),
    /// The value itself.
    AtLeast(f64),
    /// Value / reference.
    RatioAtMost(f64),
    /// Value / reference.
    RatioAtLeast(f64),
    /// Value - reference, for latency beyond something that cannot be avoided.
    AddedAtMost(f64),
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// `group/what/under which circumstances`.
    pub name: String,
    /// Ours.
    pub value: f64,
    /// `us`, `1/s`, `MiB`, `s`, `x`.
    pub unit: &'static str,
    /// What ours stands beside, and its figure in the same unit.
    pub reference: Option<(String, f64)>,
    /// What must hold.
    pub bar: Bar,
}

impl Row {
    /// A figure by itself.
    pub fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit, reference: None, bar: Bar::None }
    }

    /// Beside this.
    pub fn beside(self, reference: impl Into<String>, value: f64) -> Self {
        Self { reference: Some((reference.into(), value)), ..self }
    }

    /// Must hold this.
    pub fn bar(self, bar: Bar) -> Self {
        Self { bar, ..self }
    }

    /// Ours / theirs.
    pub fn ratio(&self) -> Option<f64> {
        self.reference.as_ref().map(|(_, value)| self.value / value)
    }

    /// Does the bar hold? Nothing where there is no bar. A figure that could not be taken holds nothing.
    pub fn holds(&self) -> Option<bool> {
        let reference = self.reference.as_ref().map_or(f64::NAN, |(_, value)| *value);
        match self.bar {
            Bar::None => None,
            Bar::AtMost(most) => Some(self.value <= most),
            Bar::AtLeast(least) => Some(self.value >= least),
            Bar::RatioAtMost(most) => Some(self.value / reference <= most),
            Bar::RatioAtLeast(least) => Some(self.value / reference >= least),
            Bar::AddedAtMost(most) => Some(self.value - reference <= most),
        }
    }

    fn bar_text(&self) -> String {
        match self.bar {
            Bar::None => String::new(),
            Bar::AtMost(most) => format!("<= {most}"),
            Bar::AtLeast(least) => format!(">= {least}"),
            Bar::RatioAtMost(most) => format!("<= {most}x"),
            Bar::RatioAtLeast(least) => format!(">= {least}x"),
            Bar::AddedAtMost(most) => format!("<= reference + {most}"),
        }
    }
}

/// All rows as one JSON array.
pub fn json(rows: &[Row]) {
    let each = |row: &Row| {
        json!({
            "name": row.name, "value": row.value, "unit": row.unit,
            "reference": row.reference.as_ref().map(|(name, _)| name),
            "reference_value": row.reference.as_ref().map(|(_, value)| value),
            "ratio": row.ratio(), "bar": row.bar_text(), "holds": row.holds(),
        })
    };
    println!("{:#}", serde_json::Value::Array(rows.iter().map(each).collect()));
}

/// All rows for people.
pub fn table(rows: &[Row]) {
    println!("| what | value | | beside | its value | ratio | bar | holds |\n|---|---:|---|---|---:|---:|---|---|");
    for row in rows {
        let (beside, theirs) = row.reference.as_ref().map_or(("", String::new()), |(n, v)| (n.as_str(), figure(*v)));
        let ratio = row.ratio().map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
        let holds = row.holds().map_or("", |holds| if holds { "yes" } else { "**no**" });
        let (value, bar) = (figure(row.value), row.bar_text());
        println!("| {} | {value} | {} | {beside} | {theirs} | {ratio} | {bar} | {holds} |", row.name, row.unit);
    }
}

fn figure(value: f64) -> String {
    match value.abs() {
        large if large >= 1_000.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_judged() {
        let row = |bar| Row::new("a", 30.0, "us").beside("floor", 10.0).bar(bar).holds();
        assert_eq!(row(Bar::RatioAtMost(2.5)), Some(false));
        assert_eq!(row(Bar::RatioAtMost(3.0)), Some(true));
        assert_eq!(row(Bar::RatioAtLeast(4.0)), Some(false));
        assert_eq!(row(Bar::AddedAtMost(20.0)), Some(true));
        assert_eq!(row(Bar::AtMost(29.0)), Some(false));
        assert_eq!(row(Bar::AtLeast(30.0)), Some(true));
        assert_eq!(row(Bar::None), None);
    }

    #[test]
    fn what_was_not_measured_holds_nothing() {
        assert_eq!(Row::new("a", f64::NAN, "us").bar(Bar::AtMost(1.0)).holds(), Some(false));
        assert_eq!(Row::new("a", 1.0, "us").bar(Bar::RatioAtLeast(0.0)).holds(), Some(false));
    }
}
