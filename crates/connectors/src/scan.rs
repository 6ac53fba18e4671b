//! Walks directories. Every file that is met is accounted for.

use std::fs::{self, DirEntry, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::document::{Format, parse};
use crate::files;
use crate::fingerprint::FingerprintKey;
use crate::join::Joins;
use crate::report::{Excluded, Gap, Report};
use crate::sightings::Sightings;

/// How to scan.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Enter also what others wrote: installed packages, build output, version control.
    pub all: bool,
    /// Files over this many bytes are gaps.
    pub largest: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { all: false, largest: 32 << 20 }
    }
}

/// A place that was asked for cannot be read at all.
#[derive(Debug, thiserror::Error)]
#[error("cannot read `{path}`: {error}", path = path.display())]
pub struct ScanError {
    /// The place.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub error: io::Error,
}

/// Directories that hold what others wrote.
const OTHERS: [(&str, &str); 7] = [
    (".git", "version control"),
    ("node_modules", "installed packages"),
    (".venv", "installed packages"),
    ("venv", "installed packages"),
    ("site-packages", "installed packages"),
    ("__pycache__", "build output"),
    ("target", "build output"),
];

/// Reads everything below these places. The paths of the report are relative to each place when there is one, and begin
/// with the place as it was given when there are several. Links are not followed.
///
/// # Errors
/// A place that cannot be read at all. What cannot be read below a place is a gap.
pub fn scan(places: &[PathBuf], options: Options, key: &FingerprintKey) -> Result<Report, ScanError> {
    let (mut report, mut joins) = (Report::default(), Joins::default());
    for place in places {
        let meta = fs::metadata(place).map_err(|error| ScanError { path: place.clone(), error })?;
        let shown = if places.len() == 1 { String::new() } else { plain(place) };
        let mut walk = Walk { options, key, report: &mut report, joins: &mut joins };
        if meta.is_dir() {
            fs::read_dir(place).map_err(|error| ScanError { path: place.clone(), error })?;
            walk.directory(place, &shown);
        } else {
            let name = place.file_name().map_or_else(|| plain(place), |name| name.to_string_lossy().into_owned());
            walk.file(place, if places.len() == 1 { &name } else { &shown });
        }
    }
    joins.settle(&mut report);
    report.settle();
    Ok(report)
}

fn plain(path: &Path) -> String {
    path.to_string_lossy().trim_end_matches('/').to_owned()
}

struct Walk<'a> {
    options: Options,
    key: &'a FingerprintKey,
    report: &'a mut Report,
    joins: &'a mut Joins,
}

impl Walk<'_> {
    /// A stack, not calls: directories may be deep.
    fn directory(&mut self, path: &Path, shown: &str) {
        let mut waiting = vec![(path.to_owned(), shown.to_owned())];
        while let Some((path, shown)) = waiting.pop() {
            let entries = fs::read_dir(&path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
            match entries {
                Ok(entries) => entries.iter().for_each(|entry| self.entry(entry, &shown, &mut waiting)),
                Err(error) => self.unread(&shown, &error),
            }
        }
    }

    fn entry(&mut self, entry: &DirEntry, above: &str, waiting: &mut Vec<(PathBuf, String)>) {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let shown = if above.is_empty() { name.clone().into_owned() } else { format!("{above}/{name}") };
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => match self.exclusion(&name) {
                Some(reason) => self.report.coverage.excluded.push(Excluded { path: shown, reason }),
                None => waiting.push((entry.path(), shown)),
            },
            Ok(kind) if kind.is_file() => self.file(&entry.path(), &shown),
            Ok(kind) if kind.is_symlink() => {
                self.report.coverage.excluded.push(Excluded { path: shown, reason: "a link, which is not followed" });
            }
            // Sockets, pipes and devices hold no text.
            Ok(_) => {}
            Err(error) => self.unread(&shown, &error),
        }
    }

    fn exclusion(&self, name: &str) -> Option<&'static str> {
        OTHERS.iter().find(|(other, _)| !self.options.all && *other == name).map(|(_, reason)| *reason)
    }

    fn unread(&mut self, shown: &str, error: &io::Error) {
        self.report.coverage.files += 1;
        self.gap(shown, format!("cannot be read: {error}"));
    }

    fn gap(&mut self, shown: &str, reason: String) {
        self.report.coverage.gaps.push(Gap { path: shown.to_owned(), reason });
    }

    fn file(&mut self, path: &Path, shown: &str) {
        self.report.coverage.files += 1;
        let Some(format) = Format::of(shown) else {
            self.report.coverage.irrelevant += 1;
            return;
        };
        match self.text(path) {
            Ok(text) => self.read(path, shown, &text, format),
            Err(reason) => self.gap(shown, reason),
        }
    }

    fn text(&mut self, path: &Path) -> Result<String, String> {
        let unreadable = |error: io::Error| format!("cannot be read: {error}");
        let file = File::open(path).map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.take(self.options.largest + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > self.options.largest {
            return Err(format!("larger than {} bytes", self.options.largest));
        }
        self.report.coverage.bytes += bytes.len() as u64;
        let text = String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
        Ok(text.strip_prefix('\u{feff}').map_or_else(|| text.clone(), str::to_owned))
    }

    fn read(&mut self, path: &Path, shown: &str, text: &str, format: Format) {
        if let Some(reason) = files::unreadable(path, text, format) {
            return self.gap(shown, reason);
        }
        let document = match parse(text, format) {
            Ok(document) => document,
            Err(reason) => return self.gap(shown, reason),
        };
        let mut sightings = Sightings::new(shown, self.report, self.joins, self.key);
        let fits = files::SHAPES.iter().filter(|shape| (shape.read)(&document, &mut sightings)).count();
        match files::not_read_yet(&document) {
            _ if fits > 0 => self.report.coverage.parsed += 1,
            Some(reason) => self.gap(shown, reason),
            None => self.report.coverage.irrelevant += 1,
        }
    }
}
