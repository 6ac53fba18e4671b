//! Which scopes are asked for (MCP, scope selection strategy and scope challenge handling).

use super::challenge::Challenge;
use super::discovery::Discovered;

const OFFLINE: &str = "offline_access";

/// The scopes of a first request: those of the configuration, else those of the challenge, else those the resource
/// lists; nothing if nobody names any. What a challenge wants besides what was granted is added to it, never put in its
/// place. `lasting` asks for a refresh token besides, where the server knows that scope.
pub(super) fn wanted(
    configured: Option<&[String]>,
    challenge: &Challenge,
    found: &Discovered,
    granted: &[String],
    lasting: bool,
) -> Vec<String> {
    if let Some(configured) = configured {
        return configured.to_vec();
    }
    let named = words(challenge.scope.as_deref());
    let listed = || found.scopes.clone().unwrap_or_default();
    let mut scopes = united(granted, if named.is_empty() && granted.is_empty() { listed() } else { named });
    let known = found.server.scopes_supported.iter().flatten().any(|scope| scope == OFFLINE);
    if lasting && known {
        scopes = united(&scopes, vec![OFFLINE.to_owned()]);
    }
    scopes
}

/// The scopes of a challenge that a token lacks.
pub(super) fn missing(challenge: &Challenge, granted: &[String]) -> Vec<String> {
    words(challenge.scope.as_deref()).into_iter().filter(|scope| !granted.contains(scope)).collect()
}

pub(super) fn united(first: &[String], second: Vec<String>) -> Vec<String> {
    let mut all = first.to_vec();
    for scope in second {
        if !all.contains(&scope) {
            all.push(scope);
        }
    }
    all
}

pub(super) fn words(scope: Option<&str>) -> Vec<String> {
    scope.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

/// The parameter; nothing if no scope is asked for.
pub(super) fn parameter(scopes: &[String]) -> Option<String> {
    (!scopes.is_empty()).then(|| scopes.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::metadata::AuthorizationServer;

    fn of(text: &str) -> Vec<String> {
        words(Some(text))
    }

    fn found(listed: Option<&str>, server: Option<&str>) -> Discovered {
        let server = AuthorizationServer { scopes_supported: server.map(of), ..AuthorizationServer::default() };
        Discovered { resource: String::new(), scopes: listed.map(of), bound: false, server }
    }

    fn challenge(scope: Option<&str>) -> Challenge {
        Challenge { scope: scope.map(str::to_owned), ..Challenge::default() }
    }

    #[test]
    fn a_challenge_goes_before_what_is_listed_and_the_configuration_before_both() {
        let found = found(Some("a b"), Some("a b offline_access"));
        assert_eq!(wanted(None, &challenge(Some("c")), &found, &[], false), of("c"));
        assert_eq!(wanted(None, &challenge(None), &found, &[], false), of("a b"));
        assert_eq!(wanted(Some(&of("d")), &challenge(Some("c")), &found, &[], true), of("d"));
        assert_eq!(parameter(&wanted(None, &challenge(None), &self::found(None, None), &[], true)), None);
    }

    #[test]
    fn what_was_granted_is_kept_when_more_is_wanted() {
        let found = found(Some("x"), None);
        assert_eq!(wanted(None, &challenge(Some("write")), &found, &of("read"), false), of("read write"));
        assert_eq!(missing(&challenge(Some("read write")), &of("read")), of("write"));
    }

    #[test]
    fn a_refresh_token_is_asked_for_only_where_the_server_knows_how() {
        assert_eq!(
            wanted(None, &challenge(Some("a")), &found(None, Some("offline_access")), &[], true),
            of("a offline_access")
        );
        assert_eq!(wanted(None, &challenge(Some("a")), &found(None, Some("a")), &[], true), of("a"));
    }
}
