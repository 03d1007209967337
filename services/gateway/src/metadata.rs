//! Which headers go on to a service, and which come back.
//!
//! Nothing goes on that is not named here or in the configuration: whatever a client pretends to be,
//! in a header that services believe, ends at the door.

use http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts};
use mesh_rpc::USER_BUCKET;

use crate::edge::{self, Subject};

/// What the call itself needs, and who it is made for: each service verifies that itself.
const CALL: [HeaderName; 4] = [
    header::AUTHORIZATION,
    HeaderName::from_static("grpc-timeout"),
    HeaderName::from_static("grpc-encoding"),
    HeaderName::from_static("grpc-accept-encoding"),
];
/// Where the client is, as this door knows it: what comes from outside under this name ends here.
const CLIENT_ADDRESS: HeaderName = HeaderName::from_static("x-mesh-client-address");
/// Of what the hundred parts of all users are: everybody's are others' of something else.
const PARTS: &str = "versions";
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
    onwards.extend(bucket(head).map(|bucket| (USER_BUCKET, bucket)));
    onwards
}

/// In which part of all users whoever asks is, if it is sure who that is. Sidecars lead each part to one
/// version of a service.
fn bucket(head: &Parts) -> Option<HeaderValue> {
    let Subject(user) = head.extensions.get()?;
    HeaderValue::try_from(format!("{:02}", mesh_flags::place(PARTS, user))).ok()
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
    let reserved = ["grpc-", "x-mesh-", "x-user-", "x-envoy-", "x-forwarded-", "trace", "baggage"];
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
            ("x-user-bucket", "07"),
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
    fn a_user_is_in_one_part_of_all_whatever_the_client_says() {
        let (mut head, ()) = http::Request::new(()).into_parts();
        head.headers.insert("x-user-bucket", HeaderValue::from_static("07"));
        let grpc = HeaderValue::from_static("application/grpc");
        let mut sent = |user: &str| {
            head.extensions.insert(Subject(user.into()));
            onwards(&head, grpc.clone(), &[])["x-user-bucket"].to_str().unwrap().to_owned()
        };

        // Written down: another hash would move every user at once.
        assert_eq!(["ada", "grace", "joan"].map(&mut sent), ["73", "28", "59"]);
        let all: std::collections::BTreeSet<_> =
            (0..2_000).map(|number| sent(&format!("user-{number}"))).collect();
        assert_eq!(all.len(), 100);
        assert!(all.iter().all(|bucket| bucket.len() == 2 && bucket.parse::<u8>().is_ok()));
    }

    #[test]
    fn a_configuration_cannot_let_through_what_services_believe() {
        assert_eq!(allowed(" Accept-Language").unwrap(), header::ACCEPT_LANGUAGE);
        for refused in [
            "X-Forwarded-Client-Cert",
            "x-mesh-service-token",
            "x-user-bucket",
            "grpc-timeout",
            "te",
            "a b",
            "",
        ] {
            assert!(allowed(refused).is_err(), "{refused}");
        }
    }
}
