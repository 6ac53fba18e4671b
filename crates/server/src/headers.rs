//! Reading headers that must not be there twice.

use chancery_model::problem::{BAD_MESSAGE, Problem};
use http::{HeaderMap, HeaderName};

/// The one value of a header, if it is there. Two values, or one that is not visible ASCII, are ambiguous: refused.
pub(crate) fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::new(BAD_MESSAGE, format!("the header `{name}` is there twice")));
    }
    match first.to_str() {
        Ok(text) => Ok(Some(text)),
        Err(_) => Err(Problem::new(BAD_MESSAGE, format!("the header `{name}` is not ASCII"))),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header};

    use super::*;

    #[test]
    fn a_header_that_is_there_twice_is_refused() {
        let mut headers = HeaderMap::new();
        assert_eq!(single(&headers, &header::HOST), Ok(None));
        headers.append(header::HOST, HeaderValue::from_static("a"));
        assert_eq!(single(&headers, &header::HOST), Ok(Some("a")));
        headers.append(header::HOST, HeaderValue::from_static("a"));
        assert!(single(&headers, &header::HOST).is_err());
    }
}
