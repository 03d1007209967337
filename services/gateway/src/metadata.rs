//! Which headers go on to a service, and which come back.
//!
//! Nothing goes on that is not named here or in the configuration: whatever a client pretends to be,
//! in a header that services believe, ends at the door.

use http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts};

use crate::edge;

/// What the call itself needs, and who it is made for: each service verifies that itself.
const CALL: [HeaderName; 4] = [
    header::AUTHORIZATION,
    HeaderName::from_static("grpc-timeout"),
    HeaderName::from_static("grpc-encoding"),
    HeaderName::from_static("grpc-accept-encoding"),
];
/// Where the client is, as this door knows it: what comes from outside under this name ends here.
const CLIENT_ADDRESS: HeaderName = HeaderName::from_static("x-mesh-client-address");
/// What of an answer is between the services alone.
const INTERNAL: [HeaderName; 2] =
    [HeaderName::from_static("x-mesh-refusal"), HeaderName::from_static("x-mesh-criticality")];

/// The headers of a call that a client's request becomes; `content_type` is a kind of gRPC's.
pub(crate) fn onwards(
    head: &Parts,
    content_type: HeaderValue,
    allowed: &[HeaderName],
) -> HeaderMap {
    let mut onwards = HeaderMap::with_capacity(8);
    onwards.insert(header::CONTENT_TYPE, content_type);
    onwards.insert(header::TE, HeaderValue::from_static("trailers"));
    for name in CALL.iter().chain(allowed.iter().filter(|name| !CALL.contains(name))) {
        for value in head.headers.get_all(name) {
            onwards.append(name, value.clone());
        }
    }
    if let Some(address) = edge::address(head)
        && let Ok(address) = address.to_string().try_into()
    {
        onwards.insert(CLIENT_ADDRESS, address);
    }
    onwards
}

/// Takes out of an answer's headers what is nobody's business outside.
pub(crate) fn strip(headers: &mut HeaderMap) {
    for name in &INTERNAL {
        headers.remove(name);
    }
}

/// Bytes of all headers, each counted as RFC 9113 §6.5.2 does.
pub(crate) fn size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum()
}

/// Reads a name that a configuration lets through: none that a service believes.
pub(crate) fn allowed(text: &str) -> Result<HeaderName, String> {
    let name: HeaderName = text.trim().parse().map_err(|_| format!("`{text}` is no name"))?;
    let reserved = ["grpc-", "x-mesh-", "x-envoy-", "x-forwarded-", "trace", "baggage"];
    let own =
        [header::CONTENT_TYPE, header::TE, header::HOST, header::CONNECTION, header::AUTHORIZATION];
    let is_known = reserved.iter().any(|start| name.as_str().starts_with(start));
    if is_known || own.contains(&name) {
        return Err(format!(
            "`{name}` is a header that services believe: it cannot come from outside"
        ));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_goes_on_that_is_not_named() {
        let (mut head, ()) = http::Request::new(()).into_parts();
        let came = [
            ("grpc-timeout", "1S"),
            ("x-forwarded-client-cert", "URI=spiffe://mesh.local/orders"),
            ("x-mesh-service-token", "t"),
            ("x-mesh-criticality", "CRITICAL"),
            ("x-mesh-client-address", "203.0.113.9"),
            ("grpc-previous-rpc-attempts", "0"),
            ("x-envoy-attempt-count", "2"),
            ("authorization", "Bearer x"),
            ("cookie", "a=b"),
            ("accept-language", "de"),
        ];
        for (name, value) in came {
            head.headers.insert(name, HeaderValue::from_static(value));
        }
        let grpc = HeaderValue::from_static("application/grpc");

        let sent = onwards(&head, grpc.clone(), &[]);
        let mut names: Vec<_> = sent.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["authorization", "content-type", "grpc-timeout", "te"]);

        let sent = onwards(&head, grpc, &[header::ACCEPT_LANGUAGE]);
        assert_eq!(sent["accept-language"], "de");
    }

    #[test]
    fn a_configuration_cannot_let_through_what_services_believe() {
        assert_eq!(allowed(" Accept-Language").unwrap(), header::ACCEPT_LANGUAGE);
        for refused in
            ["X-Forwarded-Client-Cert", "x-mesh-service-token", "grpc-timeout", "te", "a b", ""]
        {
            assert!(allowed(refused).is_err(), "{refused}");
        }
    }
}
