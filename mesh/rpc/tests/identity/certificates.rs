//! A good certificate names the caller; a bad one ends the handshake and is named; a missing one
//! is refused in words.

use std::{net::SocketAddr, sync::Arc};

use hyper_util::rt::TokioIo;
use mesh_local::Authority;
use mesh_rpc::{
    Code, Disposition, disposition, reason,
    tls::{Credentials, TlsFiles},
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use crate::support::{Callee, Lab, Options, files, metric, who};

#[tokio::test]
async fn a_certificate_says_who_calls() {
    let lab = Lab::new();
    let callee = Callee::start(Options::tls("orders", &lab.credentials("orders"))).await;

    let channel = callee.channel(&lab.credentials("gateway"), "orders");

    assert_eq!(who(&channel).await.unwrap(), "gateway by MutualTls");
}

#[tokio::test]
async fn a_missing_certificate_is_refused_in_plain_words() {
    let lab = Lab::new();
    let callee = Callee::start(Options::tls("orders", &lab.credentials("orders"))).await;

    let status = who(&nobodys_channel(&lab, callee.address)).await.unwrap_err();

    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(status.message().contains("showed no certificate"), "{status}");
    assert_eq!(reason(&status).as_deref(), Some("CERTIFICATE_MISSING"));
    assert_eq!(callee.handled(), 0);
}

#[tokio::test]
async fn an_expired_certificate_ends_the_handshake_with_that_alert() {
    let lab = Lab::new();
    let callee = Callee::start(Options::tls("expired", &lab.credentials("orders"))).await;

    let channel = callee.channel(&lab.expired("gateway"), "orders");

    refused(&callee, &channel, "certificate_expired").await;
    let labels = ["side=\"server\"", "service=\"expired\"", "result=\"certificate_expired\""];
    assert!(metric("mesh_tls_handshakes_total", &labels) >= 1.0, "the server counts it");
}

#[tokio::test]
async fn a_certificate_that_a_stranger_signed_ends_the_handshake_with_that_alert() {
    let lab = Lab::new();
    let callee = Callee::start(Options::tls("foreign", &lab.credentials("orders"))).await;
    let stranger = Lab::new();
    let files = TlsFiles { trust: lab.authority.trust(), ..stranger.files("gateway") };

    let channel = callee.channel(&Credentials::read(files).unwrap(), "orders");

    refused(&callee, &channel, "unknown_ca").await;
    let labels = ["side=\"server\"", "service=\"foreign\"", "result=\"unknown_ca\""];
    assert!(metric("mesh_tls_handshakes_total", &labels) >= 1.0, "the server counts it");
}

#[tokio::test]
async fn a_server_that_is_somebody_else_is_not_called() {
    let lab = Lab::new();
    let callee = Callee::start(Options::tls("orders", &lab.credentials("orders"))).await;

    let channel = callee.channel(&lab.credentials("gateway"), "payments");

    let words = "the server is spiffe://mesh.local/orders, not spiffe://mesh.local/payments";
    refused(&callee, &channel, words).await;
}

#[tokio::test]
async fn a_server_with_an_expired_certificate_is_not_called() {
    let lab = Lab::new();
    let callee = Callee::start(Options::tls("orders", &lab.expired("orders"))).await;

    let channel = callee.channel(&lab.credentials("gateway"), "orders");

    refused(&callee, &channel, "not accepted: certificate_expired").await;
}

#[tokio::test]
async fn an_authority_is_found_again_where_it_was_founded() {
    let lab = Lab::new();
    let callee = Callee::start(Options::tls("orders", &lab.credentials("orders"))).await;

    let later = Authority::open(&lab.dir).unwrap();
    let gateway = Credentials::read(files(later.issue("gateway").unwrap())).unwrap();

    let channel = callee.channel(&gateway, "orders");
    assert_eq!(who(&channel).await.unwrap(), "gateway by MutualTls");
}

/// Asserts that a call ends before it is sent, for a reason that says `words`.
async fn refused(callee: &Callee, channel: &Channel, words: &str) {
    // Again and again: no call may slip through, or lose the reason.
    for _ in 0..20 {
        let status = who(channel).await.unwrap_err();

        assert_eq!(status.code(), Code::Unauthenticated, "{status}");
        assert!(status.message().contains(words), "{status}");
        assert_eq!(disposition(&status), Disposition::NotSent);
    }
    assert_eq!(callee.handled(), 0);
}

/// A caller that trusts the lab's servers, and has no certificate of its own.
pub fn nobodys_channel(lab: &Lab, address: SocketAddr) -> Channel {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(lab.authority.trust()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    endpoint.connect_with_connector_lazy(service_fn(move |_: http::Uri| {
        let connector = connector.clone();
        async move {
            let stream = TcpStream::connect(address).await?;
            let name = ServerName::try_from("orders").unwrap();
            connector.connect(name, stream).await.map(TokioIo::new)
        }
    }))
}
