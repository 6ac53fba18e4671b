//! Progress of long work: on standard error, only where a person is watching, and only after half a second.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Before that nothing is shown.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often it is drawn, in hertz.
const RATE: u8 = 8;

/// A bar of bytes with an unknown end.
pub fn bytes(what: &'static str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(RATE)).with_message(what);
    let style = ProgressStyle::with_template("{msg}: {decimal_bytes} ({decimal_bytes_per_sec}), {elapsed}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}

/// Counts further, and draws once patience is over.
pub fn advance(bar: &ProgressBar, count: usize) {
    bar.inc(count as u64);
    if bar.elapsed() < PATIENCE {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    } else if bar.is_hidden() {
        bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(RATE));
    }
}
