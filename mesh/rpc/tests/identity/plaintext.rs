//! Plaintext where TLS is due, TLS where plaintext is due, and headers that only a sidecar may set.

use mesh_rpc::{Code, Disposition, Identity, disposition, peer::Mode, reason};
use mesh_runtime::{Service, ServiceConfig};
use tonic::{Request, metadata::MetadataMap, transport::Channel};

use crate::{
    serving::Serving,
    support::{Callee, Lab, Options, XFCC, ask, metric, who},
};

const ELEMENT: &str = "By=spiffe://mesh.local/orders;Hash=46;Subject=\"\";URI=";

#[tokio::test]
async fn plaintext_to_a_port_that_takes_tls_is_refused_in_words() {
    let lab = Lab::new();
    let callee = Callee::start(Options::tls("tls_only", &lab.credentials("orders"))).await;
    let channel = callee.endpoint().connect_lazy();

    let status = who(&channel).await.unwrap_err();

    assert_eq!(status.code(), Code::Unauthenticated, "{status}");
    assert_eq!(status.message(), "the server takes TLS only");
    assert_ne!(disposition(&status), Disposition::MaybeProcessed);
    assert_eq!(callee.handled(), 0);
    let labels = ["service=\"tls_only\"", "result=\"plaintext\""];
    assert!(metric("mesh_tls_handshakes_total", &labels) >= 1.0);
}

#[tokio::test]
async fn tls_to_a_port_that_takes_plaintext_says_so() {
    let lab = Lab::new();
    let callee = Callee::start(Options::plaintext("orders", Mode::Optional)).await;
    let channel = callee.channel(&lab.credentials("gateway"), "orders");

    let status = who(&channel).await.unwrap_err();

    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(status.message().contains("does not speak TLS"), "{status}");
    assert_eq!(disposition(&status), Disposition::NotSent);
}

#[tokio::test]
async fn the_sidecar_says_who_calls() {
    let sidecar = Options::plaintext("orders", Mode::Required).behind_sidecar([127, 0, 0, 1]);
    let callee = Callee::start(sidecar).await;
    let channel = callee.endpoint().connect_lazy();

    let peer = forwarded(&channel, "spiffe://mesh.local/gateway").await;
    let foreigner = forwarded(&channel, "spiffe://elsewhere.local/gateway").await;
    let nobody = who(&channel).await;

    assert_eq!(peer.unwrap(), "gateway by Xfcc");
    assert!(!callee.seen.metadata.lock().unwrap().contains_key(XFCC), "it is not handed on");
    assert_eq!(reason(&foreigner.unwrap_err()).as_deref(), Some("PEER_FOREIGN"));
    assert_eq!(reason(&nobody.unwrap_err()).as_deref(), Some("XFCC_MISSING"));
}

#[tokio::test]
async fn a_service_beside_a_sidecar_believes_its_header_and_no_other_connections() {
    let orders = Serving::start("orders", &beside_sidecar([127, 0, 0, 1]).await).await;
    let elsewhere = Serving::start("orders", &beside_sidecar([127, 0, 0, 6]).await).await;
    let gateway = format!("{ELEMENT}spiffe://cluster.local/ns/shop/sa/gateway");
    let stranger = format!("{ELEMENT}spiffe://cluster.local/ns/other/sa/gateway");
    let forwarded = async |serving: &Serving, value: &str| {
        let mut metadata = MetadataMap::new();
        metadata.insert(XFCC, value.parse().unwrap());
        serving.caller(&Identity::default(), "orders").say(metadata).await
    };

    let peer = forwarded(&orders, &gateway).await;
    let other = forwarded(&orders, &stranger).await;
    let silent = orders.caller(&Identity::default(), "orders").who().await;
    let pretended = forwarded(&elsewhere, &gateway).await;

    assert_eq!(peer.unwrap(), "gateway by Xfcc");
    let refusals =
        [(other, "PEER_FOREIGN"), (silent, "XFCC_MISSING"), (pretended, "TOKEN_MISSING")];
    for (answer, why) in refusals {
        assert_eq!(reason(&answer.unwrap_err()).as_deref(), Some(why));
    }
    orders.stop().await;
    elsewhere.stop().await;
}

/// The identity of orders as it is configured beside a sidecar that connects from `address`.
async fn beside_sidecar(address: [u8; 4]) -> Identity {
    let config = ServiceConfig {
        sidecar_addr: Some(address.into()),
        spiffe_id: Some("spiffe://cluster.local/ns/shop/sa/orders".to_owned()),
        log_level: "off".to_owned(),
        ..ServiceConfig::default()
    };
    let service = Service::begin("orders", &config).await.unwrap();
    let identity = Identity::of_service(&service, &config).unwrap();
    service.stop();
    service.finish().await;
    identity
}

#[tokio::test]
async fn a_strangers_word_on_who_calls_is_removed_and_counted() {
    let required = Options::plaintext("strict", Mode::Required).behind_sidecar([127, 0, 0, 6]);
    let strict = Callee::start(required).await;
    let optional = Options::plaintext("lenient", Mode::Optional).behind_sidecar([127, 0, 0, 6]);
    let lenient = Callee::start(optional).await;
    let admin = "spiffe://mesh.local/admin";

    let refused = forwarded(&strict.endpoint().connect_lazy(), admin).await;
    let answered = forwarded(&lenient.endpoint().connect_lazy(), admin).await;

    assert_eq!(reason(&refused.unwrap_err()).as_deref(), Some("TOKEN_MISSING"));
    assert_eq!(answered.unwrap(), "somebody by Loopback");
    assert!(!lenient.seen.metadata.lock().unwrap().contains_key(XFCC));
    for service in ["service=\"strict\"", "service=\"lenient\""] {
        assert!(metric("mesh_auth_xfcc_ignored_total", &[service]) >= 1.0, "{service}");
    }
}

#[tokio::test]
async fn a_certificate_counts_for_more_than_a_header() {
    let lab = Lab::new();
    let options = Options::tls("orders", &lab.credentials("orders"));
    let callee = Callee::start(options.behind_sidecar([127, 0, 0, 1])).await;
    let channel = callee.channel(&lab.credentials("gateway"), "orders");

    let peer = forwarded(&channel, "spiffe://mesh.local/admin").await;

    assert_eq!(peer.unwrap(), "gateway by MutualTls");
}

/// Calls with the header that a sidecar sets for the caller `id`.
async fn forwarded(channel: &Channel, id: &str) -> Result<String, tonic::Status> {
    let mut request = Request::new(Default::default());
    request.metadata_mut().insert(XFCC, format!("{ELEMENT}{id}").parse().unwrap());
    ask(channel, request).await
}
