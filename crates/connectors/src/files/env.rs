//! Environment files.

use crate::document::Document;
use crate::sightings::Sightings;

pub(super) fn read(document: &Document<'_>, sightings: &mut Sightings<'_>) -> bool {
    let found = document.lines.iter().filter_map(|(line, name, value)| sightings.field(name, value, &line.to_string()));
    found.count() > 0
}
