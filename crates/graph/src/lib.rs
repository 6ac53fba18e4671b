//! The identity graph in memory: what can somebody reach, who can reach something, by which hops, who can act as whom,
//! what breaks when something is taken away.
//!
//! A [`Graph`] holds nodes with a name and a kind, and edges without anything but their kind: what is known of them
//! stands in the store. Edges lie in two compressed sparse rows (out and in), 5 bytes each way; changes lie beside them
//! until [`Graph::fold`] works them in, and are seen by the next question either way.
//!
//! How rights flow along an edge is said once, in [`flow`](fn@flow).

mod adjacency;
mod flow;
mod graph;
mod names;
mod questions;
mod walk;

pub use flow::{Flow, Gives, flow, gives, needs};
pub use graph::{Edge, Full, Graph, Memory, Node};
pub use questions::{Breaks, Without};
pub use walk::{Hop, Limits, Path, Reach};
