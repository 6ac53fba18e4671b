//! Reading the bundle's archive: strictly, in its one order, member by member.

use std::io::{ErrorKind, Read};

use chancery_tlog::bundle::{BLOCK, END, padding, read_header};

use crate::{Detected, Failure};

pub(crate) struct Archive<'r> {
    input: &'r mut dyn Read,
    /// Whether headers, padding and what stands behind the end are checked.
    strict: bool,
}

impl<'r> Archive<'r> {
    pub(crate) fn new(input: &'r mut dyn Read, strict: bool) -> Self {
        Self { input, strict }
    }

    /// Reads the next member into `content`, replacing what was there. It must be `path`.
    pub(crate) fn member(&mut self, path: &str, content: &mut Vec<u8>) -> Result<(), Failure> {
        content.clear();
        let mut block = [0; BLOCK];
        self.fill(&mut block, path)?;
        let (found, length) = self.header(&block, path)?;
        if found != path {
            return Err(wrong("the archive", "next member", &format!("`{path}`"), &format!("`{found}`")));
        }
        // Memory grows with what is really there, not with what the header claims.
        let read = (&mut *self.input).take(length).read_to_end(content).map_err(Failure::Io)?;
        if read as u64 != length {
            return Err(truncated(path));
        }
        self.zeros(padding(length), path, "padding")
    }

    fn header<'b>(&self, block: &'b [u8; BLOCK], path: &str) -> Result<(&'b str, u64), Failure> {
        match read_header(block) {
            Ok(header) => Ok(header),
            Err(_) if block.iter().all(|&b| b == 0) => {
                Err(wrong("the archive", "next member", &format!("`{path}`"), "the end"))
            }
            Err(_) if !self.strict => lenient(block).ok_or_else(|| wrong(path, "header", "a path", "none")),
            Err(e) => Err(wrong(path, "header", "the one a member has", &format!("other bytes: {e}"))),
        }
    }

    /// The archive must end here.
    pub(crate) fn end(&mut self) -> Result<(), Failure> {
        self.zeros(END.len(), "the archive", "end")?;
        let mut more = [0];
        match self.input.read(&mut more).map_err(Failure::Io)? {
            0 => Ok(()),
            _ if !self.strict => Ok(()),
            _ => Err(wrong("the archive", "end", "nothing behind it", "more bytes")),
        }
    }

    fn zeros(&mut self, count: usize, place: &str, field: &'static str) -> Result<(), Failure> {
        let mut bytes = [0; END.len()];
        self.fill(&mut bytes[..count], place)?;
        if !self.strict || bytes[..count].iter().all(|&b| b == 0) {
            return Ok(());
        }
        Err(wrong(place, field, "zeros", "other bytes"))
    }

    fn fill(&mut self, bytes: &mut [u8], place: &str) -> Result<(), Failure> {
        self.input.read_exact(bytes).map_err(|e| match e.kind() {
            ErrorKind::UnexpectedEof => truncated(place),
            _ => Failure::Io(e),
        })
    }
}

/// Path and length as any reader of tar would take them.
fn lenient(block: &[u8; BLOCK]) -> Option<(&str, u64)> {
    let end = block.iter().take(100).position(|&b| b == 0)?;
    let path = std::str::from_utf8(&block[..end]).ok()?;
    let digits = std::str::from_utf8(&block[124..135]).ok()?;
    Some((path, u64::from_str_radix(digits, 8).ok()?))
}

fn truncated(place: &str) -> Failure {
    wrong(place, "length", "the whole of it", "the end of the file")
}

fn wrong(place: &str, field: &'static str, expected: &str, found: &str) -> Failure {
    Detected { place: place.to_owned(), field, expected: expected.to_owned(), found: found.to_owned() }.into()
}
