use super::*;
use crate::reason;

const CALL: &str = "shop.orders.v1.OrdersService/GetOrder";

fn authenticator(mode: Mode) -> Authenticator {
    Authenticator::new("orders", "spiffe://mesh.local".parse().unwrap(), mode)
}

fn decide(
    authenticator: &Authenticator,
    from: &str,
    path: &str,
) -> Result<Option<Peer>, Option<String>> {
    let connection = Connection::plaintext(from.parse().unwrap());
    let mut headers = HeaderMap::new();
    authenticator.authenticate(&connection, path, &mut headers).map_err(|status| reason(&status))
}

fn refused(reason: &str) -> Result<Option<Peer>, Option<String>> {
    Err(Some(reason.to_owned()))
}

#[test]
fn health_and_reflection_are_open_to_everybody() {
    let required = authenticator(Mode::Required);

    for path in [
        "grpc.health.v1.Health/Check",
        "grpc.health.v1.Health/Watch",
        "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ] {
        assert_eq!(decide(&required, "10.0.0.7:1", path), Ok(None), "{path}");
    }
    assert_eq!(decide(&required, "10.0.0.7:1", CALL), refused("PLAINTEXT_REFUSED"));
    assert_eq!(decide(&required, "10.0.0.7:1", "grpc.reflectionx/Y"), refused("PLAINTEXT_REFUSED"));
}

#[test]
fn without_evidence_a_peer_is_on_loopback_or_nobody() {
    let (required, optional) = (authenticator(Mode::Required), authenticator(Mode::Optional));

    assert_eq!(decide(&optional, "127.0.0.1:1", CALL), Ok(Some(Peer::loopback())));
    assert_eq!(decide(&optional, "[::1]:1", CALL), Ok(Some(Peer::loopback())));
    assert_eq!(decide(&optional, "[::ffff:127.0.0.1]:1", CALL), Ok(Some(Peer::loopback())));
    assert_eq!(decide(&optional, "10.0.0.7:1", CALL), Ok(None));
    assert_eq!(decide(&required, "127.0.0.1:1", CALL), refused("TOKEN_MISSING"));
    let local = authenticator(Mode::Local);
    assert_eq!(decide(&local, "127.0.0.1:1", CALL), Ok(Some(Peer::loopback())));
    assert_eq!(decide(&local, "10.0.0.7:1", CALL), refused("PLAINTEXT_REFUSED"));
}

#[test]
fn evidence_that_is_no_good_is_refused_even_where_none_is_needed() {
    let optional = authenticator(Mode::Optional).behind_sidecar([127, 0, 0, 6].into());
    let ask = |from: &str, header: HeaderName, value: &'static str| {
        let connection = Connection::plaintext(from.parse().unwrap());
        let mut headers = HeaderMap::new();
        headers.append(header, HeaderValue::from_static(value));
        let decided = optional.authenticate(&connection, CALL, &mut headers);
        assert!(headers.is_empty(), "evidence is not handed on");
        decided.map_err(|status| reason(&status))
    };

    assert_eq!(ask("127.0.0.6:1", xfcc::HEADER, "Hash=1"), refused("XFCC_MALFORMED"));
    assert_eq!(
        ask("127.0.0.6:1", xfcc::HEADER, "URI=spiffe://mesh.local/ns/orders"),
        refused("PEER_FOREIGN"),
        "the same name in another namespace is somebody else"
    );
    assert_eq!(ask("127.0.0.1:1", HEADER, "x.y.z"), refused("TOKEN_ISSUER_UNKNOWN"));
}
