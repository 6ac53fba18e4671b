//! P2: an approval executes exactly what was shown, at most once.
//!
//! (a) Executions that differ in one thing from what was approved: none runs. (b) The same call many times at once: one
//! runs. (c) The server is killed while approved calls are made: none runs twice, over all restarts. Negative controls: an
//! approval that is not bound to the arguments, and one whose use is not looked at.

mod crashes;
mod mutants;
mod races;
