//! Takes injected credentials out of whatever comes back from an upstream.
//!
//! A credential is looked for as it is, as JSON writes it, and as hexadecimal, percent-encoding and base64 (both
//! alphabets, at each of the three alignments it can have inside a longer text) write it.

use aho_corasick::AhoCorasick;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use bytes::Bytes;

/// What stands where a credential stood.
pub(crate) const REMOVED: &str = "[removed by chancery]";

/// Shorter secrets cannot be told from ordinary text.
pub(crate) const SHORTEST: usize = 8;

/// Finds the forms of some secrets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scrubber {
    finder: Option<AhoCorasick>,
}

impl Scrubber {
    /// A scrubber for these secrets; those shorter than [`SHORTEST`] are not looked for.
    pub(crate) fn new<'s>(secrets: impl IntoIterator<Item = &'s str>) -> Self {
        let mut forms: Vec<Vec<u8>> =
            secrets.into_iter().filter(|secret| secret.len() >= SHORTEST).flat_map(forms).collect();
        forms.sort();
        forms.dedup();
        let builder = || {
            aho_corasick::AhoCorasickBuilder::new().match_kind(aho_corasick::MatchKind::LeftmostLongest).build(&forms)
        };
        Self { finder: if forms.is_empty() { None } else { builder().ok() } }
    }

    /// The bytes without the secrets, and whether there were any. Clean bytes are not copied.
    pub(crate) fn bytes(&self, bytes: Bytes) -> (Bytes, bool) {
        match &self.finder {
            Some(finder) if finder.is_match(&bytes[..]) => {
                (finder.replace_all_bytes(&bytes, &self.marks()).into(), true)
            }
            _ => (bytes, false),
        }
    }

    /// The text without the secrets.
    pub(crate) fn text(&self, text: &str) -> String {
        match &self.finder {
            Some(finder) => finder.replace_all(text, &self.marks()),
            None => text.to_owned(),
        }
    }

    fn marks(&self) -> Vec<&'static str> {
        vec![REMOVED; self.finder.as_ref().map_or(0, AhoCorasick::patterns_len)]
    }
}

fn forms(secret: &str) -> Vec<Vec<u8>> {
    let bytes = secret.as_bytes();
    let json = serde_json::to_string(secret).unwrap_or_default();
    let mut forms = vec![
        bytes.to_vec(),
        json.trim_matches('"').as_bytes().to_vec(),
        hex(bytes, "0123456789abcdef"),
        hex(bytes, "0123456789ABCDEF"),
    ];
    for digits in ["0123456789abcdef", "0123456789ABCDEF"] {
        forms.push(percent(bytes, digits, false));
        forms.push(percent(bytes, digits, true));
    }
    for before in 0..3 {
        forms.push(base64_inside(bytes, before, |b| STANDARD_NO_PAD.encode(b)));
        forms.push(base64_inside(bytes, before, |b| URL_SAFE_NO_PAD.encode(b)));
    }
    forms.retain(|form| form.len() >= SHORTEST);
    forms
}

fn hex(bytes: &[u8], digits: &str) -> Vec<u8> {
    let digits = digits.as_bytes();
    bytes.iter().flat_map(|b| [digits[usize::from(b >> 4)], digits[usize::from(b & 15)]]).collect()
}

fn percent(bytes: &[u8], digits: &str, all: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() * 3);
    for byte in bytes {
        if !all && (byte.is_ascii_alphanumeric() || b"-._~".contains(byte)) {
            out.push(*byte);
        } else {
            out.push(b'%');
            out.extend(hex(&[*byte], digits));
        }
    }
    out
}

/// What of the base64 of a text does not depend on what stands around the secret, if `before` bytes modulo three
/// stand before it.
fn base64_inside(bytes: &[u8], before: usize, encode: impl Fn(&[u8]) -> String) -> Vec<u8> {
    let mut padded = vec![0; before];
    padded.extend_from_slice(bytes);
    let encoded = encode(&padded);
    // Characters that carry a bit of what stands before or behind are left out.
    let start = (before * 8).div_ceil(6);
    let end = padded.len() * 8 / 6;
    encoded.as_bytes().get(start..end).unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;

    const SECRET: &str = "s3cr3t/+T0ken~\"x\"";

    fn scrubbed(text: &str) -> String {
        let (bytes, found) = Scrubber::new([SECRET]).bytes(Bytes::from(text.to_owned()));
        let out = String::from_utf8(bytes.to_vec()).unwrap();
        assert_eq!(found, out != text);
        out
    }

    #[test]
    fn every_form_is_removed() {
        let b = SECRET.as_bytes();
        let upper: String = hex(b, "0123456789ABCDEF").iter().map(|b| char::from(*b)).collect();
        for form in [
            SECRET.to_owned(),
            serde_json::to_string(SECRET).unwrap(),
            upper.to_lowercase(),
            upper,
            String::from_utf8(percent(b, "0123456789ABCDEF", false)).unwrap(),
            String::from_utf8(percent(b, "0123456789abcdef", false)).unwrap(),
            String::from_utf8(percent(b, "0123456789ABCDEF", true)).unwrap(),
        ] {
            assert!(scrubbed(&format!("before {form} after")).contains(REMOVED), "{form}");
        }
        for prefix in ["", "u", "us", "Bearer ", "user:"] {
            for form in
                [STANDARD.encode(format!("{prefix}{SECRET}zz")), URL_SAFE_NO_PAD.encode(format!("{prefix}{SECRET}"))]
            {
                let out = scrubbed(&form);
                assert!(out.contains(REMOVED), "{prefix}: {form}");
                // What is left decodes to nothing of the secret but its outermost two bytes.
                assert!(out.len() < REMOVED.len() + prefix.len() * 2 + 12, "{out}");
            }
        }
    }

    #[test]
    fn clean_bytes_are_left_alone() {
        assert_eq!(scrubbed("nothing here"), "nothing here");
        assert_eq!(Scrubber::new(["short"]).bytes(Bytes::from_static(b"short")).0, "short");
    }
}
