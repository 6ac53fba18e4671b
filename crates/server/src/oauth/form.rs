//! `application/x-www-form-urlencoded`, read strictly.

/// Its content type.
pub(crate) const KIND: &[u8] = b"application/x-www-form-urlencoded";

/// The pairs in their order; nothing if an escape is broken or what comes out is not UTF-8.
pub(crate) fn pairs(body: &[u8]) -> Option<Vec<(String, String)>> {
    let text = std::str::from_utf8(body).ok()?;
    text.split('&').filter(|pair| !pair.is_empty()).map(pair).collect()
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
    fn broken_escapes_are_refused() {
        for bad in [&b"a=%"[..], b"a=%4", b"a=%zz", b"a=%ff", b"\xff=1"] {
            assert_eq!(pairs(bad), None, "{bad:?}");
        }
    }
}
