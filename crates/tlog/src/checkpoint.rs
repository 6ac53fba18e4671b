//! C2SP tlog-checkpoint: what a log states about itself, signed.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{BadNote, Hash, Note, Signer, VerifierKey};

/// The state of a log: how many leaves, and their root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's unique name.
    pub origin: String,
    /// Leaves in the tree.
    pub size: u64,
    /// Their root (RFC 6962, section 2.1).
    pub root: Hash,
    /// Extension lines, each without its newline. We write none.
    pub extensions: Vec<String>,
}

/// A checkpoint that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCheckpoint {
    /// Its text is not a checkpoint.
    #[error("not a checkpoint: {0}")]
    Format(&'static str),
    /// Its note is not believed.
    #[error(transparent)]
    Note(#[from] BadNote),
    /// It is of another log than the key that signed it.
    #[error("the checkpoint's origin is `{origin}`, but the key that signed it is named `{key}`")]
    OtherLog {
        /// The origin it states.
        origin: String,
        /// The name of the key.
        key: String,
    },
}

impl Checkpoint {
    /// The state of `origin`'s log at `size` leaves.
    pub fn new(origin: &str, size: u64, root: Hash) -> Self {
        Self { origin: origin.to_owned(), size, root, extensions: Vec::new() }
    }

    /// The text that is signed.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root));
        for line in &self.extensions {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// Reads the text of a checkpoint. Only its one canonical form is accepted.
    pub fn parse(text: &str) -> Result<Self, BadCheckpoint> {
        let refuse = BadCheckpoint::Format;
        let mut lines = text.strip_suffix('\n').ok_or(refuse("the last line does not end"))?.split('\n');
        let origin = lines.next().filter(|o| !o.is_empty()).ok_or(refuse("no origin"))?;
        let size = lines.next().and_then(|s| s.parse().ok()).ok_or(refuse("no tree size on the second line"))?;
        let root = lines.next().and_then(|r| STANDARD.decode(r).ok()).and_then(|r| r.try_into().ok());
        let root = root.ok_or(refuse("no root hash on the third line"))?;
        let extensions = lines.map(str::to_owned).collect();
        let read = Self { origin: origin.to_owned(), size, root, extensions };
        if read.extensions.iter().any(String::is_empty) {
            return Err(refuse("an extension line is empty"));
        }
        if read.text() == text { Ok(read) } else { Err(refuse("not in canonical form")) }
    }

    /// The checkpoint as a note signed by `signer`, whose name must be the origin.
    pub fn sign(&self, signer: &Signer) -> Result<String, BadCheckpoint> {
        self.is_of(signer.key())?;
        Ok(signer.sign(&self.text())?)
    }

    /// Opens a signed checkpoint: `key` must have signed it, and its origin must be the key's name.
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, BadCheckpoint> {
        let checkpoint = Self::parse(Note::parse(note)?.verify(key)?)?;
        checkpoint.is_of(key)?;
        Ok(checkpoint)
    }

    fn is_of(&self, key: &VerifierKey) -> Result<(), BadCheckpoint> {
        if self.origin == key.name() {
            return Ok(());
        }
        Err(BadCheckpoint::OtherLog { origin: self.origin.clone(), key: key.name().to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_survives_signing() {
        let signer = Signer::from_seed("log.example", &[1; 32]).unwrap();
        let mut checkpoint = Checkpoint::new("log.example", 1_234_567, [9; 32]);
        checkpoint.extensions.push("an extension".into());
        let note = checkpoint.sign(&signer).unwrap();
        assert_eq!(Checkpoint::open(&note, signer.key()), Ok(checkpoint));
    }

    #[test]
    fn a_checkpoint_of_another_log_is_refused() {
        let signer = Signer::from_seed("log.example", &[1; 32]).unwrap();
        let other = Checkpoint::new("other.example", 1, [9; 32]);
        assert!(matches!(other.sign(&signer), Err(BadCheckpoint::OtherLog { .. })));
        let note = signer.sign(&other.text()).unwrap();
        assert!(matches!(Checkpoint::open(&note, signer.key()), Err(BadCheckpoint::OtherLog { .. })));
    }

    #[test]
    fn other_spellings_are_refused() {
        let root = STANDARD.encode([9; 32]);
        for text in [
            String::new(),
            format!("\n1\n{root}\n"),
            format!("o\n01\n{root}\n"),
            format!("o\n+1\n{root}\n"),
            format!("o\n1\n{root}"),
            format!("o\n1\n{root}\n\n"),
            "o\n1\nAAAA\n".to_owned(),
            "o\n1\n".to_owned(),
        ] {
            assert!(Checkpoint::parse(&text).is_err(), "`{text}` was accepted");
        }
    }
}
