use super::*;
use crate::{peer::token::ServiceKey, reason};

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

#[tokio::test]
async fn a_token_in_plaintext_counts_from_the_networks_that_are_named() {
    let dir = std::env::temp_dir().join(format!("networks-{}", uuid::Uuid::new_v4().simple()));
    let keys = mesh_local::ServiceKeys::make(&dir, &["orders", "gateway"]).unwrap();
    let id = |name| -> SpiffeId { format!("spiffe://mesh.local/{name}").parse().unwrap() };
    let key = ServiceKey::read(id("gateway"), &keys.private("gateway")).unwrap();
    let mut signed = HeaderMap::new();
    key.tokens_for("orders").unwrap().attach(&mut signed);
    let verifier = Verifier::read(id("orders"), &keys.public()).unwrap();
    let local = authenticator(Mode::Local)
        .with_tokens(verifier.believing(&["172.16.0.0/12".parse().unwrap()]));
    let ask = |from: &str, mut headers: HeaderMap| {
        let connection = Connection::plaintext(from.parse().unwrap());
        let decided = local.authenticate(&connection, CALL, &mut headers);
        decided.map_err(|status| reason(&status))
    };

    for from in ["127.0.0.1:1", "172.18.0.7:1", "[::ffff:172.18.0.7]:1"] {
        let peer = ask(from, signed.clone()).unwrap().unwrap();
        assert_eq!(peer, Peer::new(id("gateway"), Source::Token), "{from}");
    }
    assert_eq!(ask("10.0.0.7:1", signed), refused("PLAINTEXT_REFUSED"));
    assert_eq!(ask("172.18.0.7:1", HeaderMap::new()), refused("TOKEN_MISSING"));
    std::fs::remove_dir_all(dir).unwrap();
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
