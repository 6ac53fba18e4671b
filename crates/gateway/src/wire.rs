//! Which revision of MCP a request speaks, and whether its headers say what its body says.
//!
//! The body is the truth. On the wire of 2026-07-28 the headers `MCP-Protocol-Version`, `Mcp-Method`, `Mcp-Name` and
//! `Mcp-Param-*` repeat parts of it, so that others can route without reading it: where they differ from it, or stand
//! twice, the request is refused. What goes upstream carries headers made from the body, never the ones that came.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::message::{Form, Message};
use crate::methods::{METHODS, Rule};
use crate::refusal::{Elicits, Refusal, rpc};
use crate::sessions::Place;
use chancery_model::problem;

/// The revision whose requests stand for themselves.
pub(crate) const STATELESS: &str = "2026-07-28";
/// The revisions with `initialize` and sessions, newest first.
pub(crate) const SESSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");

/// What a request speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// A revision with sessions; the version its header names, if it has one.
    Sessions(Option<&'static str>),
    /// 2026-07-28.
    Stateless,
}

impl Wire {
    pub(crate) fn is_stateless(self) -> bool {
        self == Self::Stateless
    }
}

/// Tells the wire, and compares the headers with the body. `Mcp-Param-*` is compared by [`check_params`], once the
/// tool is known.
pub(crate) fn of(headers: &HeaderMap, message: &Message) -> Result<Wire, Refusal> {
    let version = single(headers, &VERSION)?;
    let claim = message.meta(META_VERSION);
    let stateless = version == Some(STATELESS) || claim.is_some() || message.method() == "server/discover";
    if !stateless {
        let wire = sessions(version, message)?;
        agrees(headers, &METHOD, Some(message.method()), Presence::Optional)?;
        agrees(headers, &NAME, named(message), Presence::Optional)?;
        return Ok(wire);
    }
    match message.form {
        Form::Request(_) => stateless_request(headers, version, message)?,
        Form::Notification => agrees(headers, &METHOD, Some(message.method()), Presence::Optional)?,
        Form::Response(_) => return Err(Refusal::malformed("the server asks nothing on the wire of 2026-07-28")),
        Form::Listen | Form::End => return Err(no_http_method()),
    }
    Ok(Wire::Stateless)
}

/// GET and DELETE belong to sessions.
fn no_http_method() -> Refusal {
    Refusal::new(problem::NO_METHOD, rpc::INVALID_REQUEST, "2026-07-28 knows only POST")
        .header(http::header::ALLOW, "POST")
}

fn sessions(version: Option<&str>, message: &Message) -> Result<Wire, Refusal> {
    let Some(version) = version else { return Ok(Wire::Sessions(None)) };
    let Some(known) = SESSIONS.into_iter().find(|known| *known == version) else {
        return Err(unsupported(version));
    };
    if message.method() == "initialize" && message.text("protocolVersion") != Some(version) {
        return Err(Refusal::mismatch("MCP-Protocol-Version is not params.protocolVersion").status(BAD));
    }
    Ok(Wire::Sessions(Some(known)))
}

const BAD: StatusCode = StatusCode::BAD_REQUEST;

/// How the client of a request can be asked to let a person open an address. What it can do stands in the request on the
/// wire of 2026-07-28, and was said when its session was opened before.
pub(crate) fn elicits(wire: Wire, message: &Message, place: &Place) -> Elicits {
    let asks = ["tools/call", "resources/read", "prompts/get"].contains(&message.method());
    match (wire, place.session()) {
        (Wire::Stateless, _) if asks && opens_addresses(message.meta(META_CAPABILITIES)) => Elicits::ByResult,
        (Wire::Sessions(_), Some(session)) if session.elicits() => Elicits::ByError,
        _ => Elicits::No,
    }
}

/// Do these capabilities of a client hold elicitation by URL?
pub(crate) fn opens_addresses(capabilities: Option<&Value>) -> bool {
    capabilities.and_then(|all| all.get("elicitation")?.get("url")).is_some_and(Value::is_object)
}

/// The order of the checks is the specification's: the envelope, then the headers, then the version.
fn stateless_request(headers: &HeaderMap, version: Option<&str>, message: &Message) -> Result<(), Refusal> {
    let claim = message.meta(META_VERSION).ok_or_else(|| missing(META_VERSION))?;
    let claim = claim.as_str().ok_or_else(|| Refusal::invalid_params(format!("`{META_VERSION}` is not a string")))?;
    if !message.meta(META_CAPABILITIES).is_some_and(Value::is_object) {
        return Err(missing(META_CAPABILITIES));
    }
    if version != Some(claim) {
        return Err(Refusal::mismatch(format!("MCP-Protocol-Version is not the body's `{claim}`")));
    }
    agrees(headers, &METHOD, Some(message.method()), Presence::Required)?;
    agrees(headers, &NAME, named(message), Presence::Required)?;
    if claim == STATELESS { Ok(()) } else { Err(unsupported(claim)) }
}

fn missing(key: &str) -> Refusal {
    Refusal::invalid_params(format!("`params._meta` lacks `{key}`"))
}

fn unsupported(version: &str) -> Refusal {
    let shown: String = version.chars().take(40).collect();
    Refusal::new(problem::BAD_MESSAGE, rpc::UNSUPPORTED_VERSION, format!("MCP version `{shown}` is not spoken here"))
        .data(json!({ "supported": [STATELESS], "requested": shown }))
}

/// What `Mcp-Name` repeats.
fn named(message: &Message) -> Option<&str> {
    let rule: &Rule = METHODS.iter().find(|rule| rule.method == message.method())?;
    message.text(rule.name?)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    Required,
    Optional,
}

fn agrees(headers: &HeaderMap, name: &HeaderName, body: Option<&str>, presence: Presence) -> Result<(), Refusal> {
    match (single(headers, name)?, body) {
        (None, Some(_)) if presence == Presence::Required => Err(Refusal::mismatch(format!("{name} is missing"))),
        (None, _) => Ok(()),
        (Some(header), Some(body)) if decode(header).as_deref() == Some(body) => Ok(()),
        (Some(_), Some(body)) => Err(Refusal::mismatch(format!("{name} is not the body's `{body}`"))),
        (Some(_), None) => Err(Refusal::mismatch(format!("{name} names something the body does not have"))),
    }
}

/// The value of a header that may stand once at the most.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Refusal::mismatch(format!("{name} stands more than once")));
    }
    first.to_str().map(|text| Some(text.trim_matches([' ', '\t']))).map_err(|_| {
        Refusal::mismatch(format!("{name} has characters beyond visible ASCII: wrap its value as =?base64?…?="))
    })
}

/// Undoes the wrapping of values that cannot stand in a header. Nothing but canonical base64 of UTF-8 is accepted.
fn decode(value: &str) -> Option<String> {
    let Some(inner) = value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) else {
        return Some(value.to_owned());
    };
    let bytes = STANDARD.decode(inner).ok()?;
    String::from_utf8(bytes).ok()
}

/// Wraps a value that cannot stand in a header as it is.
fn encode(value: &str) -> String {
    let plain = value.bytes().all(|b| (0x20..0x7f).contains(&b))
        && value.trim() == value
        && !(value.starts_with("=?base64?") && value.ends_with("?="));
    if plain { value.to_owned() } else { format!("=?base64?{}?=", STANDARD.encode(value)) }
}

/// An argument that a tool's schema wants repeated in a header (`x-mcp-header`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParamHeader {
    pub(crate) header: HeaderName,
    pub(crate) path: Vec<String>,
}

/// Compares `Mcp-Param-*` with the arguments: both there and equal, or both absent.
pub(crate) fn check_params(headers: &HeaderMap, params: &[ParamHeader], arguments: &Value) -> Result<(), Refusal> {
    for param in params {
        let header = single(headers, &param.header)?;
        let body = at(arguments, &param.path).filter(|value| !value.is_null());
        let agree = match (header, body) {
            (None, None) => true,
            (None, Some(value)) => text_of(value).is_none(),
            (Some(_), None) => false,
            (Some(header), Some(value)) => decode(header).is_some_and(|header| same(&header, value)),
        };
        if !agree {
            let path = param.path.join(".");
            return Err(Refusal::mismatch(format!("{} is not the argument `{path}`", param.header)));
        }
    }
    Ok(())
}

fn at<'v>(arguments: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(arguments, |value, step| value.get(step))
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) => Some(value.to_string()),
        Value::Number(_) => chancery_model::canonical(value).ok().and_then(|b| String::from_utf8(b).ok()),
        _ => None,
    }
}

/// Integers may be written as decimals (`42.0`); everything else is compared as text.
fn same(header: &str, value: &Value) -> bool {
    let decimal = |text: &str| {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let all = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        all(whole) && all(fraction)
    };
    match value {
        Value::Number(number) => decimal(header) && number.as_f64().is_some_and(|n| header.parse() == Ok(n)),
        _ => text_of(value).as_deref() == Some(header),
    }
}

/// The headers of the wire of 2026-07-28, made from the message.
pub(crate) fn headers_of(message: &Message, params: &[ParamHeader], into: &mut HeaderMap) {
    into.insert(VERSION, HeaderValue::from_static(STATELESS));
    put(into, METHOD, message.method());
    if let Some(name) = named(message) {
        put(into, NAME, name);
    }
    let Some(arguments) = message.param("arguments") else { return };
    for param in params {
        if let Some(text) = at(arguments, &param.path).and_then(text_of) {
            put(into, param.header.clone(), &text);
        }
    }
}

/// The version header of the wires with sessions.
pub(crate) fn version_header(version: &str, into: &mut HeaderMap) {
    put(into, VERSION, version);
}

fn put(into: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(&encode(value)) {
        into.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        map
    }

    fn call(name: &str, version: &str) -> Message {
        let text = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": name, "arguments": {}, "_meta": {META_VERSION: version, META_CAPABILITIES: {}}}});
        Message::read(text.to_string().as_bytes()).unwrap()
    }

    fn code(headers: &HeaderMap, message: &Message) -> i64 {
        of(headers, message).map_or_else(|refusal| refusal.rpc, |_| 0)
    }

    const GOOD: [(&str, &str); 3] =
        [("mcp-protocol-version", STATELESS), ("mcp-method", "tools/call"), ("mcp-name", "refund")];

    #[test]
    fn headers_that_repeat_the_body_pass() {
        assert_eq!(of(&headers(&GOOD), &call("refund", STATELESS)).unwrap(), Wire::Stateless);
        let mut spaced = GOOD;
        spaced[2].1 = "  refund ";
        assert_eq!(code(&headers(&spaced), &call("refund", STATELESS)), 0);
    }

    #[test]
    fn headers_that_differ_from_the_body_are_refused() {
        for (which, value) in [
            (0, "2025-11-25"),
            (1, "tools/list"),
            (1, "TOOLS/CALL"),
            (2, "balance"),
            (2, "Refund"),
            (2, "=?base64?cmVmdW5k"),
            (2, "=?base64?!!!!?="),
        ] {
            let mut changed = GOOD;
            changed[which].1 = value;
            assert_eq!(code(&headers(&changed), &call("refund", STATELESS)), rpc::HEADER_MISMATCH, "{value}");
        }
        for (left_out, header) in GOOD.iter().enumerate().take(3) {
            let mut fewer = GOOD.to_vec();
            fewer.remove(left_out);
            assert_eq!(code(&headers(&fewer), &call("refund", STATELESS)), rpc::HEADER_MISMATCH);
            let mut twice = GOOD.to_vec();
            twice.push(*header);
            assert_eq!(code(&headers(&twice), &call("refund", STATELESS)), rpc::HEADER_MISMATCH);
        }
    }

    #[test]
    fn a_wrapped_name_is_unwrapped_once() {
        let name = "Überweisung";
        let wrapped = encode(name);
        let mut with = GOOD;
        with[2].1 = &wrapped;
        assert_eq!(code(&headers(&with), &call(name, STATELESS)), 0);
        assert_eq!(code(&headers(&with), &call(&wrapped, STATELESS)), rpc::HEADER_MISMATCH);
        let twice = encode(&wrapped);
        with[2].1 = &twice;
        assert_eq!(code(&headers(&with), &call(&wrapped, STATELESS)), 0);
    }

    #[test]
    fn versions_are_told_apart() {
        let unknown = "v999.0.0";
        let mut with = GOOD;
        with[0].1 = unknown;
        assert_eq!(code(&headers(&with), &call("refund", unknown)), rpc::UNSUPPORTED_VERSION);
        let ping = Message::read(br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#).unwrap();
        assert_eq!(of(&headers(&[]), &ping).unwrap(), Wire::Sessions(None));
        assert_eq!(code(&headers(&[("mcp-protocol-version", "1999-01-01")]), &ping), rpc::UNSUPPORTED_VERSION);
        let known = headers(&[("mcp-protocol-version", "2025-06-18")]);
        assert_eq!(of(&known, &ping).unwrap(), Wire::Sessions(Some("2025-06-18")));
        assert_eq!(code(&headers(&[("mcp-protocol-version", STATELESS)]), &ping), rpc::INVALID_PARAMS);
    }

    #[test]
    fn parameters_in_headers_agree_with_the_arguments() {
        let params = [ParamHeader { header: HeaderName::from_static("mcp-param-region"), path: vec!["region".into()] }];
        let check = |pairs: &[(&'static str, &str)], arguments: Value| {
            check_params(&headers(pairs), &params, &arguments).is_ok()
        };
        assert!(check(&[("mcp-param-region", "eu")], json!({"region": "eu"})));
        assert!(check(&[("mcp-param-region", "=?base64?SGVsbG8=?=")], json!({"region": "Hello"})));
        assert!(check(&[("mcp-param-region", "42.0")], json!({"region": 42})));
        assert!(check(&[("mcp-param-region", "true")], json!({"region": true})));
        assert!(check(&[], json!({})) && check(&[], json!({"region": null})));
        assert!(!check(&[("mcp-param-region", "us")], json!({"region": "eu"})));
        assert!(!check(&[("mcp-param-region", "=?base64?SGVsbG8?=")], json!({"region": "Hello"})));
        assert!(!check(&[("mcp-param-region", "4.2e1")], json!({"region": 42})));
        assert!(!check(&[("mcp-param-region", "eu")], json!({})));
        assert!(!check(&[], json!({"region": "eu"})));
        assert!(!check(&[("mcp-param-region", "eu"), ("mcp-param-region", "eu")], json!({"region": "eu"})));
    }
}
