//! TLS that ends at the gateway.

use std::{io, path::PathBuf, sync::Arc};

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_testkit::{browse, eventually};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::support::{Folder, Gateway};

const NAME: &str = "gateway.test";

/// A gateway with a certificate of its own.
struct Secure {
    gateway: Gateway,
    folder: Folder,
    certificate: String,
}

/// A certificate of nobody's but its own, and its key, in PEM.
fn issued() -> (String, String) {
    let issued = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    (issued.cert.pem(), issued.signing_key.serialize_pem())
}

impl Secure {
    async fn begin() -> Self {
        let folder = Folder::new();
        let (certificate, key) = issued();
        let files = [folder.write("cert.pem", &certificate), folder.write("key.pem", &key)];
        let gateway = Gateway::with(&[], |config| {
            let [certificate, key] = files.map(PathBuf::from);
            config.edge_tls_cert = Some(certificate);
            config.edge_tls_key = Some(key);
        });
        Self { gateway: gateway.await, folder, certificate }
    }

    /// A connection of a client that trusts this certificate, and speaks this.
    async fn connect(&self, trusted: &str, alpn: &[&str]) -> io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap()).unwrap();
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(self.gateway.at).await?;
        let name = ServerName::try_from(NAME).unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }
}

fn request(version: Version) -> Request<Full<Bytes>> {
    let request = Request::get(format!("https://{NAME}/readyz")).version(version);
    request.header("host", NAME).body(Full::default()).unwrap()
}

#[tokio::test]
async fn http_2_and_http_1_are_spoken_and_browsers_told_to_come_back_this_way() {
    let secure = Secure::begin().await;

    let stream = secure.connect(&secure.certificate, &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut client, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let answer = client.send_request(request(Version::HTTP_2)).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["strict-transport-security"], "max-age=31536000");

    let stream = secure.connect(&secure.certificate, &["http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let (mut client, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let answer = client.send_request(request(Version::HTTP_11)).await.unwrap();
    assert_eq!(answer.status(), 200);
    let (stranger, _) = issued();
    assert!(secure.connect(&stranger, &["h2"]).await.is_err(), "the test looks at certificates");
}

#[tokio::test]
async fn who_speaks_plaintext_is_told_so() {
    let secure = Secure::begin().await;

    let plain = Request::get("/readyz").body(Bytes::new()).unwrap();
    let answer = browse(secure.gateway.at, plain).await.unwrap();
    assert_eq!(answer.status, 400);
    assert!(answer.text().await.contains("https://"));
}

#[tokio::test]
async fn a_certificate_is_replaced_while_connections_go_on() {
    let secure = Secure::begin().await;
    let stream = secure.connect(&secure.certificate, &["h2"]).await.unwrap();
    let (mut client, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (renewed, key) = issued();

    // One file after the other: until both fit, the old ones hold.
    secure.folder.write("cert.pem", &renewed);
    secure.folder.write("key.pem", &key);
    eventually("the new certificate to be shown", async || {
        secure.connect(&renewed, &["h2"]).await.is_ok()
    })
    .await;
    assert!(secure.connect(&secure.certificate, &["h2"]).await.is_err());
    let answer = client.send_request(request(Version::HTTP_2)).await.unwrap();
    assert_eq!(answer.status(), 200, "the connection that was open is still the same one");
    assert!(answer.into_body().collect().await.is_ok());
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let folder = Folder::new();
    let (certificate, _) = issued();
    let (_, other) = issued();
    let started = async |certificate: &str, key: &str| {
        let files = [folder.write("cert.pem", certificate), folder.write("key.pem", key)];
        let started = Gateway::try_with(&[], |config| {
            let [certificate, key] = files;
            config.edge_tls_cert = Some(certificate);
            config.edge_tls_key = Some(key);
        });
        format!("{:#}", started.await.err().unwrap())
    };

    let mixed = started(&certificate, &other).await;
    assert!(mixed.contains("key.pem: it is not the key of the certificate"), "{mixed}");
    let empty = started("", &other).await;
    assert!(empty.contains("cert.pem: it holds no certificate"), "{empty}");
    let none = started(&certificate, "nonsense").await;
    assert!(none.contains("key.pem: must be a private key in PEM"), "{none}");
}
