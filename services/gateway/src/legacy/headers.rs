//! Which headers an old system is sent, and which of its answer come back. Nothing goes either way that
//! is not named here or in the configuration.

use http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts};
use mesh_runtime::trace;

use crate::{edge, story::Story};

/// What says what is asked for, and how.
const ASKED: [HeaderName; 7] = [
    header::ACCEPT,
    header::ACCEPT_LANGUAGE,
    header::CONTENT_TYPE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::USER_AGENT,
    HeaderName::from_static("idempotency-key"),
];
/// What says what an answer is. No cookies: the shop has none, and services are sent none.
const ANSWERED: [HeaderName; 11] = [
    header::ALLOW,
    header::CACHE_CONTROL,
    header::CONTENT_DISPOSITION,
    header::CONTENT_LANGUAGE,
    header::CONTENT_TYPE,
    header::ETAG,
    header::LAST_MODIFIED,
    header::LINK,
    header::LOCATION,
    header::RETRY_AFTER,
    header::VARY,
];
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The headers of a request to an old system; the user's token only if that verifies it.
pub(super) fn onwards(
    head: &Parts,
    allowed: &[HeaderName],
    sends_token: bool,
    story: &Story,
) -> HeaderMap {
    let mut onwards = HeaderMap::with_capacity(8);
    let is_token = |name: &&HeaderName| **name == header::AUTHORIZATION;
    let own = allowed.iter().filter(|name| !ASKED.contains(name) && !is_token(name));
    let token = sends_token.then_some(&header::AUTHORIZATION);
    for name in ASKED.iter().chain(own).chain(token) {
        for value in head.headers.get_all(name) {
            onwards.append(name, value.clone());
        }
    }
    story.answer(&mut onwards);
    trace::inject(trace::current(), &mut onwards);
    // As this door knows it: whoever is behind it is asked by one that it trusts.
    if let Some(address) = edge::address(head)
        && let Ok(address) = HeaderValue::try_from(address.to_string())
    {
        onwards.insert(FORWARDED_FOR, address);
    }
    onwards
}

/// What of an answer's headers comes back.
pub(super) fn back(headers: &HeaderMap) -> HeaderMap {
    let mut back = HeaderMap::with_capacity(4);
    for name in &ANSWERED {
        for value in headers.get_all(name) {
            back.append(name, value.clone());
        }
    }
    back
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        pairs.collect()
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn an_old_system_is_sent_what_is_asked_and_nobodys_token_or_pretences() {
        let (mut head, ()) = http::Request::new(()).into_parts();
        head.headers = of(&[
            ("accept", "application/json"),
            ("authorization", "Bearer x"),
            ("connection", "x-hop"),
            ("cookie", "a=b"),
            ("host", "shop.example"),
            ("idempotency-key", "k"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("x-channel", "web"),
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-client-cert", "URI=spiffe://mesh.local/orders"),
            ("x-hop", "1"),
            ("x-mesh-service-token", "t"),
            ("x-request-id", "r"),
        ]);
        let story = Story::of(&head.headers);
        let sent = onwards(&head, &[HeaderName::from_static("x-channel")], false, &story);

        let always = ["accept", "idempotency-key", "x-channel", "x-correlation-id", "x-request-id"];
        assert_eq!(names(&sent), always);
        assert!(sent["x-request-id"] == "r" && sent["x-correlation-id"] == "r");
        let set = onwards(&head, &[header::AUTHORIZATION], false, &story);
        assert!(set.get("authorization").is_none(), "whatever the edge sets it to");
        let sent = onwards(&head, &[], true, &story);
        assert_eq!(sent["authorization"], "Bearer x");
    }

    #[test]
    fn of_an_answer_comes_back_what_says_what_it_is() {
        let answer = of(&[
            ("connection", "keep-alive"),
            ("content-type", "application/json"),
            ("etag", "\"7\""),
            ("keep-alive", "timeout=5"),
            ("server", "old/1"),
            ("set-cookie", "session=1"),
            ("transfer-encoding", "chunked"),
            ("x-mesh-refusal", "none"),
        ]);
        assert_eq!(names(&back(&answer)), ["content-type", "etag"]);
    }
}
