//! Takes injected credentials out of whatever comes back from an upstream.
//!
//! A credential is looked for as it is, as JSON writes it, and as hexadecimal, percent-encoding and base64 (both
//! alphabets, at each of the three alignments it can have inside a longer text) write it. JSON may escape any character,
//! and a text in JSON may be JSON itself: where there are escapes, each form is also looked for in what is left of the
//! text without them, whatever they are and however often they were escaped again.

use std::ops::Range;

use aho_corasick::AhoCorasick;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use bytes::Bytes;

/// What stands where a credential stood.
pub(crate) const REMOVED: &str = "[removed by chancery]";

/// Shorter secrets cannot be told from ordinary text.
pub(crate) const SHORTEST: usize = 8;
/// The same of a form that lost its backslashes.
const SHORTEST_BARE: usize = 4;

/// Finds the forms of some secrets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scrubber {
    finder: Option<AhoCorasick>,
    /// Finds the forms without escapes in text without escapes.
    bare: Option<AhoCorasick>,
}

impl Scrubber {
    /// A scrubber for these secrets; those shorter than [`SHORTEST`] are not looked for.
    pub(crate) fn new<'s>(secrets: impl IntoIterator<Item = &'s str>) -> Self {
        let forms: Vec<Vec<u8>> =
            secrets.into_iter().filter(|secret| secret.len() >= SHORTEST).flat_map(forms).collect();
        let mut bare: Vec<Vec<u8>> = forms.iter().map(|form| without_escapes(form, |_| {})).collect();
        bare.retain(|form| form.len() >= SHORTEST_BARE);
        Self { finder: finder(forms), bare: finder(bare) }
    }

    /// The bytes without the secrets, and whether there were any. Clean bytes are not copied.
    pub(crate) fn bytes(&self, bytes: Bytes) -> (Bytes, bool) {
        let Some(finder) = &self.finder else { return (bytes, false) };
        // First what is escaped: it is known where its escapes begin.
        let (bytes, found) = match self.escaped(&bytes) {
            Some(clean) => (clean.into(), true),
            None => (bytes, false),
        };
        if !finder.is_match(&bytes[..]) {
            return (bytes, found);
        }
        (finder.replace_all_bytes(&bytes, &marks(finder)).into(), true)
    }

    /// The text without the secrets.
    pub(crate) fn text(&self, text: &str) -> String {
        if self.finder.is_none() {
            return text.to_owned();
        }
        let (clean, _) = self.bytes(Bytes::copy_from_slice(text.as_bytes()));
        String::from_utf8_lossy(&clean).into_owned()
    }

    /// The bytes without secrets that escapes hid, if there were any. With an escaped character go all its backslashes,
    /// so that what is JSON stays JSON.
    fn escaped(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let finder = self.bare.as_ref().filter(|_| may_hide(bytes))?;
        if !finder.is_match(&without_escapes(bytes, |_| {})) {
            return None;
        }
        let mut origins = Vec::with_capacity(bytes.len());
        let text = without_escapes(bytes, |origin| origins.push(origin));
        let (mut out, mut from) = (Vec::with_capacity(bytes.len()), 0);
        for found in finder.find_iter(&text) {
            out.extend_from_slice(bytes.get(from..origins[found.start()].start)?);
            out.extend_from_slice(REMOVED.as_bytes());
            from = origins[found.end() - 1].end;
        }
        out.extend_from_slice(bytes.get(from..)?);
        Some(out)
    }
}

fn finder(mut forms: Vec<Vec<u8>>) -> Option<AhoCorasick> {
    forms.sort();
    forms.dedup();
    let mut builder = aho_corasick::AhoCorasickBuilder::new();
    builder.match_kind(aho_corasick::MatchKind::LeftmostLongest);
    if forms.is_empty() { None } else { builder.build(&forms).ok() }
}

fn marks(finder: &AhoCorasick) -> Vec<&'static str> {
    vec![REMOVED; finder.patterns_len()]
}

/// Are there escapes that the forms do not have? Those of quotes, line ends and the like they do have.
fn may_hide(bytes: &[u8]) -> bool {
    bytes.contains(&b'\\') && bytes.windows(2).any(|two| matches!(two, b"\\/" | b"\\u" | b"\\\\"))
}

/// The text without its backslashes, `\uXXXX` replaced by its character. `origin` is told of each byte where what it
/// was made of stood.
fn without_escapes(bytes: &[u8], mut origin: impl FnMut(Range<usize>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        at += backslashes(&bytes[at..]);
        let mut buffer = [0; 4];
        let (made, length) = match bytes.get(at) {
            None => break,
            Some(b'u') if at > start => match unicode(&bytes[at..]) {
                Some((char, length)) => (char.encode_utf8(&mut buffer).as_bytes(), length),
                None => (&bytes[at..=at], 1),
            },
            Some(_) => (&bytes[at..=at], 1),
        };
        at += length;
        out.extend_from_slice(made);
        made.iter().for_each(|_| origin(start..at));
    }
    out
}

/// How long the backslashes are that stand here; one of them may be written `\u005c` itself.
fn backslashes(bytes: &[u8]) -> usize {
    let mut length = 0;
    loop {
        length += match bytes.get(length..) {
            Some([b'\\', ..]) => 1,
            Some([b'u', b'0', b'0', b'5', b'c' | b'C', ..]) if length > 0 => 5,
            _ => return length,
        };
    }
}

/// The character of `uXXXX`, or of two of them with backslashes between, and how long that is.
fn unicode(bytes: &[u8]) -> Option<(char, usize)> {
    const LENGTH: usize = 5;
    let first = unit(bytes)?;
    if let Some(char) = char::from_u32(u32::from(first)) {
        return Some((char, LENGTH));
    }
    let between = backslashes(&bytes[LENGTH..]);
    let second = unit(&bytes[LENGTH + between..])?;
    let char = char::decode_utf16([first, second]).next()?.ok()?;
    Some((char, LENGTH + between + LENGTH))
}

fn unit(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.strip_prefix(b"u")?.get(..4)?;
    let digits = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u16::from_str_radix(digits, 16).ok()
}

fn forms(secret: &str) -> Vec<Vec<u8>> {
    let bytes = secret.as_bytes();
    let json = serde_json::to_string(secret).unwrap_or_default();
    let mut forms = vec![
        bytes.to_vec(),
        json.strip_prefix('"').and_then(|json| json.strip_suffix('"')).unwrap_or(&json).as_bytes().to_vec(),
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

    /// JSON of a text, each character written as `how` has it, escaped again `again` times.
    fn written(text: &str, how: &[u8], again: usize) -> String {
        let mut out = String::new();
        let mut buffer = [0; 2];
        for (i, char) in text.chars().enumerate() {
            let escaped = |out: &mut String, char: char, units: &mut [u16; 2]| {
                char.encode_utf16(units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04X}")));
            };
            match how[i % how.len()] % 3 {
                0 => escaped(&mut out, char, &mut buffer),
                1 if char == '/' => out.push_str("\\/"),
                _ => out.push_str(&inside(&char.to_string())),
            }
        }
        (0..again).for_each(|_| out = inside(&out));
        out
    }

    fn inside(text: &str) -> String {
        let json = serde_json::to_string(text).unwrap();
        json[1..json.len() - 1].to_owned()
    }

    #[test]
    fn escapes_hide_nothing() {
        for (said, hidden) in [
            (r#""s3cr3t\/+T0ken~\"x\" after""#, true),
            (r#""\u0073\u0033cr3t\u002F\u002bT0ken~\u0022x\u0022""#, true),
            (r#""{\"key\":\"s3cr3t\\/+T0ken~\\\"x\\\"\"}""#, true),
            (r#""{\"key\":\"s3cr3t\\u002f+T0ken~\\\"x\\\"\"}""#, true),
            (r#""s3cr3t\/+\u005cu0054\u0030ken~\"x\"""#, true),
            (r#""C:\\temp\/x \ud83d\ude00 \u12 \u00zz s3cr3t\/+T0ken""#, false),
        ] {
            let out = scrubbed(said);
            assert_eq!(out.contains(REMOVED), hidden, "{said}: {out}");
            assert!(!hidden || !out.contains("T0ken"), "{said}: {out}");
            let valid = |text: &str| serde_json::from_str::<serde_json::Value>(text).is_ok();
            assert_eq!(valid(&out), valid(said), "{said}: {out}");
        }
        // A secret that ends like its own JSON does.
        let (clean, _) = Scrubber::new(["00aaA0a\""]).bytes(Bytes::from_static(br#"{"a":"00aaA0a\""}"#));
        assert_eq!(&clean[..], br#"{"a":"[removed by chancery]"}"#);
        let emoji = "pass\u{1f600}word";
        let (clean, found) = Scrubber::new([emoji]).bytes(Bytes::from_static(br#"{"a":"pass\uD83d\ude00word"}"#));
        assert_eq!((&clean[..], found), (&br#"{"a":"[removed by chancery]"}"#[..], true));
    }

    proptest::proptest! {
        #[test]
        fn any_way_to_write_a_secret_is_found(
            secret in "[ -~]{8,40}",
            how in proptest::collection::vec(0u8..3, 1..8),
            again in 0usize..3,
            before in "[a-z ]{0,5}",
        ) {
            let said = format!("{{\"text\":\"{before}{}\"}}", written(&secret, &how, again));
            proptest::prop_assume!(secret.bytes().filter(|b| *b != b'\\').count() >= SHORTEST_BARE);
            let (clean, found) = Scrubber::new([secret.as_str()]).bytes(Bytes::from(said.clone()));
            proptest::prop_assert!(found, "{}", said);
            let clean: serde_json::Value = serde_json::from_slice(&clean).unwrap();
            let text = clean["text"].as_str().unwrap();
            proptest::prop_assert!(text.contains(REMOVED), "{} -> {}", said, text);
        }
    }

    #[test]
    fn clean_bytes_are_left_alone() {
        assert_eq!(scrubbed("nothing here"), "nothing here");
        assert_eq!(Scrubber::new(["short"]).bytes(Bytes::from_static(b"short")).0, "short");
    }
}
