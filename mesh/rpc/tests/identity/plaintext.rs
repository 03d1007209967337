//! Plaintext where TLS is due, TLS where plaintext is due, and headers that only a sidecar may set.

use mesh_rpc::{Code, Disposition, disposition, peer::Mode, reason};
use tonic::{Request, transport::Channel};

use crate::support::{Callee, Lab, Options, XFCC, ask, metric, who};

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
