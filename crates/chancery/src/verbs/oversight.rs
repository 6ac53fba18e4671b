//! `chancery oversight`: where people stepped in, and how long it took.

use chancery_model::Span;
use clap::{Args, ValueEnum};
use serde_json::Value;

use super::agent::items;
use crate::context::Context;
use crate::failure::{Done, Failure};
use crate::http::query;
use crate::output::{Column, column, wide};

/// Which window, and how it is put together.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Oversight {
    /// From this day or time on, or so long ago: 30d, 12h
    #[arg(long, value_name = "TIME", default_value = "30d")]
    since: String,
    /// Until this day or time [default: now]
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Put response times together by
    #[arg(long, value_enum, default_value_t = By::All)]
    by: By,
    /// Only response times
    #[arg(long)]
    times: bool,
}

/// How response times are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// All of them
    All,
    /// Day (UTC)
    Day,
    /// Month (UTC)
    Month,
}

const EXAMPLES: &str = "\
Examples:
  chancery oversight                       what people, and what they put in place, stopped or let through
  chancery oversight --times --by month    how long it took them
  chancery oversight --since 2026-10-01 --until 2027-01-01 -o json > oversight.json

Each row names the entry of the log that it is read off: `chancery log prove ENTRY` proves it.";

const COLUMNS: &[Column] = &[
    column("ENTRY", "/entry"),
    column("AT", "/at"),
    column("KIND", "/kind"),
    column("WHAT", "/what"),
    column("BY", "/by"),
    column("TOOK US", "/took_us"),
    column("DRILL", "/drill"),
    wide("AGENT", "/agent"),
    wide("SINCE", "/since"),
    wide("DETAIL", "/detail"),
];

const TIMES: &[Column] = &[
    column("PERIOD", "/period"),
    column("KIND", "/kind"),
    column("COUNT", "/count"),
    column("P50 US", "/p50_us"),
    column("P95 US", "/p95_us"),
    column("MOST US", "/most_us"),
];

/// Shows it. As JSON it is one document with both.
pub async fn run(context: &Context, args: &Oversight) -> Done {
    let from = from(context, &args.since)?;
    let by = args.by.to_possible_value().map(|by| by.get_name().to_owned());
    let wanted = [("from", Some(from.as_str())), ("until", args.until.as_deref()), ("by", by.as_deref())];
    let found = context.admin()?.get(&format!("/v1/oversight{}", query(&wanted))).await?;
    if found["more"] == true {
        context.output.note("there are more than are shown: ask for a shorter time");
    }
    let times = found["times"].as_array().map_or(&[][..], Vec::as_slice);
    match args.times {
        true => context.output.list(TIMES, times),
        false if context.output.is_json() => context.output.item(COLUMNS, &found),
        false => {
            context.output.list(COLUMNS, items(&found))?;
            times.iter().for_each(|row| context.output.note(&told(row)));
            Ok(())
        }
    }
}

/// A time, or so long before now.
fn from(context: &Context, text: &str) -> Result<String, Failure> {
    let unit = |tail: char| text.strip_suffix(tail).and_then(|number| number.parse::<u32>().ok()).map(i64::from);
    let ago = unit('d').map(|days| Span::hours(24 * days)).or_else(|| unit('h').map(Span::hours));
    Ok(ago.map_or_else(|| text.to_owned(), |ago| (context.clock.now() - ago).rfc3339()))
}

fn told(row: &Value) -> String {
    let text = |name: &str| row[name].as_str().unwrap_or_default();
    let seconds = |name: &str| format!("{:.3} s", row[name].as_f64().unwrap_or_default() / 1e6);
    let period = if text("period").is_empty() { String::new() } else { format!("{}  ", text("period")) };
    format!(
        "{period}{:<26} {:>5}   half within {}, 95 % within {}",
        text("kind"),
        row["count"],
        seconds("p50_us"),
        seconds("p95_us")
    )
}
