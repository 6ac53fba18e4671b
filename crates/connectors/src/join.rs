//! Edges between files: a name here, what bears it there.

use std::collections::BTreeMap;

use crate::report::{Edge, Report};

/// One end of an edge.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// This very thing.
    Id(String),
    /// Whatever is called so, for instance `service_account` and `default/builder`.
    Named(&'static str, String),
}

/// What is called how, and which edges wait for it.
#[derive(Default)]
pub(crate) struct Joins {
    /// By kind and name: where it stands and its id. Several files may use one name.
    named: BTreeMap<(&'static str, String), Vec<(String, String)>>,
    edges: Vec<(String, End, &'static str, End)>,
}

impl Joins {
    /// From now on `name` is this id, most of all for files near `path`.
    pub fn name(&mut self, path: &str, kind: &'static str, name: String, id: String) {
        self.named.entry((kind, name)).or_default().push((path.to_owned(), id));
    }

    /// An edge that a file at `path` states.
    pub fn edge(&mut self, path: &str, from: End, kind: &'static str, to: End) {
        self.edges.push((path.to_owned(), from, kind, to));
    }

    /// Once every file is read.
    pub fn settle(self, report: &mut Report) {
        for (path, from, kind, to) in &self.edges {
            let ((from, known), (to, there)) = (self.find(path, from), self.find(path, to));
            report.edges.push(Edge { from, kind, to, unresolved: !(known && there) });
        }
    }

    /// Its id, and whether there is such a thing. Of several with the name, the one in the nearest directory is meant.
    fn find(&self, path: &str, end: &End) -> (String, bool) {
        let (kind, name) = match end {
            End::Id(id) => return (id.clone(), true),
            End::Named(kind, name) => (*kind, name),
        };
        let candidates = self.named.get(&(kind, name.clone())).map_or(&[][..], Vec::as_slice);
        let near = candidates.iter().max_by_key(|(there, _)| (common(path, there), std::cmp::Reverse(there.clone())));
        near.map_or_else(|| (format!("{kind}:{name}"), false), |(_, id)| (id.clone(), true))
    }
}

/// How many directories two paths begin with together; one more if they are the same file.
fn common(a: &str, b: &str) -> usize {
    if a == b {
        return usize::MAX;
    }
    let directories = |path: &str| path.rsplit_once('/').map_or_else(String::new, |(dir, _)| dir.to_owned());
    let (a, b) = (directories(a), directories(b));
    a.split('/').zip(b.split('/')).take_while(|(x, y)| x == y).count()
}
