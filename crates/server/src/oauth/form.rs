//! `application/x-www-form-urlencoded`, read strictly. Whoever sends one may be anybody, and what is read may be held
//! while somebody else is waited for: a form is small.

/// Its content type.
pub(crate) const KIND: &[u8] = b"application/x-www-form-urlencoded";

/// The longest form that is read, in bytes.
pub(crate) const LONGEST: usize = 64 * 1024;
/// The most pairs of one. A page that asks a person about 100 details has a few more.
pub(crate) const MOST: usize = 128;

/// The pairs in their order; nothing if an escape is broken, what comes out is not UTF-8, or it is too long or too many.
pub(crate) fn pairs(body: &[u8]) -> Option<Vec<(String, String)>> {
    let text = std::str::from_utf8(body).ok().filter(|text| text.len() <= LONGEST)?;
    let given = text.split('&').filter(|pair| !pair.is_empty());
    if given.clone().nth(MOST).is_some() {
        return None;
    }
    given.map(pair).collect()
}

fn pair(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    Some((decoded(name)?, decoded(value)?))
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => nibble(rest.next()?)? << 4 | nibble(rest.next()?)?,
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

fn nibble(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_once() {
        let read = pairs(b"a=1&resource=http%3A%2F%2Fx%2Fmcp%2Fcrm&b=x+y%2520&c").unwrap();
        let expected = [("a", "1"), ("resource", "http://x/mcp/crm"), ("b", "x y%20"), ("c", "")];
        assert_eq!(read, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    #[test]
    fn a_form_is_small() {
        assert_eq!(pairs("a&".repeat(MOST).as_bytes()).map(|pairs| pairs.len()), Some(MOST));
        assert_eq!(pairs("a&".repeat(MOST + 1).as_bytes()), None);
        assert!(pairs(format!("a={}", "x".repeat(LONGEST - 2)).as_bytes()).is_some());
        assert_eq!(pairs(format!("a={}", "x".repeat(LONGEST - 1)).as_bytes()), None);
    }

    #[test]
    fn broken_escapes_are_refused() {
        for bad in [&b"a=%"[..], b"a=%4", b"a=%zz", b"a=%ff", b"\xff=1"] {
            assert_eq!(pairs(bad), None, "{bad:?}");
        }
    }
}
