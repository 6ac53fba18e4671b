//! `meters.json`: what is counted, and what policies look at of it.

use std::fmt;

use chancery_model::problem::{POLICY_METERS, POLICY_WAITS};
use chancery_model::{Meter, Of};
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

use crate::diagnostic::Diagnostic;
use crate::snapshot::{Needs, Reads, Sources};

pub(crate) const FILE: &str = "meters.json";
/// Meters that one policy set may have: each is looked at in every call.
const MOST: usize = 64;

/// The declared meters. What is wrong with them is added to `problems`.
pub(crate) fn read(sources: &Sources<'_>, problems: &mut Vec<Diagnostic>) -> Vec<Meter> {
    let Some(text) = sources.files.meters() else { return Vec::new() };
    match serde_json::from_str::<Declared>(text) {
        Ok(declared) => {
            problems.extend(declared.0.iter().filter_map(|meter| nowhere(sources, text, meter)));
            declared.0
        }
        Err(error) => {
            problems.push(unreadable(text, &error));
            Vec::new()
        }
    }
}

/// The content of the file.
struct Declared(Vec<Meter>);

impl<'de> Deserialize<'de> for Declared {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Each)
    }
}

struct Each;

impl<'de> Visitor<'de> for Each {
    type Value = Declared;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of meters")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Declared, A::Error> {
        let mut meters: Vec<Meter> = Vec::new();
        while let Some(meter) = seq.next_element::<Meter>()? {
            if meters.iter().any(|other| other.name == meter.name) {
                return Err(A::Error::custom(format_args!("there are two meters `{}`", meter.name)));
            }
            if meters.len() == MOST {
                return Err(A::Error::custom(format_args!("there are more than {MOST} meters")));
            }
            meters.push(meter);
        }
        Ok(Declared(meters))
    }
}

fn unreadable(text: &str, error: &serde_json::Error) -> Diagnostic {
    let said = error.to_string();
    let message = said.split(" at line ").next().unwrap_or(&said).to_owned();
    let before: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let start = (before + error.column().saturating_sub(1)).min(text.len());
    Diagnostic::error(FILE, POLICY_METERS, message).span(text, start, start)
}

/// A meter of a server that is not configured would count nothing, for ever.
fn nowhere(sources: &Sources<'_>, text: &str, meter: &Meter) -> Option<Diagnostic> {
    let Of { server, .. } = meter.of.as_ref()?;
    let known = sources.servers.is_empty()
        || sources.servers.contains(server)
        || sources.tools.iter().any(|tool| tool.server == *server);
    let message = || format!("meter `{}` counts calls of server `{server}`, which is not configured", meter.name);
    (!known).then(|| Diagnostic::error(FILE, POLICY_METERS, message()).at_name(text, server))
}

/// Tools that are counted and not known yet: a slip of the pen would count nothing.
pub(super) fn waiting(sources: &Sources<'_>, meters: &[Meter]) -> Vec<Diagnostic> {
    let known = |of: &Of, name: &String| sources.tools.iter().any(|t| t.server == of.server && t.name == *name);
    let text = sources.files.meters().unwrap_or_default();
    let note = |meter: &Meter, of: &Of, name: &String| {
        let message = format!("meter `{}` counts calls of `{}/{name}`, which is not known yet", meter.name, of.server);
        Diagnostic::warning(FILE, POLICY_WAITS, message).at_name(text, name)
    };
    let named = meters.iter().filter_map(|meter| Some((meter, meter.of.as_ref()?)));
    let unknown = named.flat_map(|(meter, of)| of.tools.iter().map(move |name| (meter, of, name)));
    unknown.filter(|(_, of, name)| !known(of, name)).map(|(meter, of, name)| note(meter, of, name)).collect()
}

impl Diagnostic {
    /// The same, at the first place where this text stands in quotes.
    fn at_name(self, text: &str, name: &str) -> Self {
        let quoted = format!("\"{name}\"");
        match text.find(&quoted) {
            Some(start) => self.span(text, start, start + quoted.len()),
            None => self,
        }
    }
}

/// What the policies want to know beside a request.
pub(super) fn needs(meters: Vec<Meter>, reads: &Reads) -> Needs {
    let read = meters.iter().map(|meter| reads.sees(&meter.name)).collect();
    Needs {
        read,
        meters,
        done: reads.sees("done"),
        calls: reads.sees("calls"),
        purpose: reads.sees("purpose") || reads.sees("task"),
    }
}
