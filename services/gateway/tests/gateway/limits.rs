//! How much a request may have.

use bytes::Bytes;
use http::{Method, Request};
use mesh_rpc::reason;
use shop::catalog::v1::{GetProductRequest, catalog_service_client::CatalogServiceClient};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::Code;

use crate::{
    support::{Gateway, detail, uuid},
    witness::Witness,
};

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_and_no_service_hears_of_it() {
    let witness = Witness::begin().await;
    let gateway =
        Gateway::with(&[("orders", witness.at)], |config| config.max_body_bytes = 64).await;
    let target = format!("/v1/carts/{}:clear", uuid());

    let fits = format!("{{\"requestId\": \"{}\"}}", "x".repeat(40));
    assert_eq!(gateway.tell(Method::POST, &target, &fits).await.status, 200);
    let large = format!("{{\"requestId\": \"{}\"}}", "x".repeat(80));
    let refused = gateway.tell(Method::POST, &target, &large).await;
    assert_eq!(refused.status, 413);
    assert_eq!(detail(&refused.json().await, "ErrorInfo")["reason"], "BODY_TOO_LARGE");
    assert_eq!(witness.count(), 1);
}

#[tokio::test]
async fn headers_that_are_too_large_are_refused_in_the_clients_own_speech() {
    let witness = Witness::begin().await;
    let gateway = Gateway::before(&[("catalog", witness.at)]).await;
    let long = "x".repeat(17 << 10);

    let request = Request::get("/v1/products/MUG").header("x-long", &long);
    let refused = gateway.send(request.body(Bytes::new()).unwrap()).await;
    assert_eq!(refused.status, 431);
    assert_eq!(detail(&refused.json().await, "ErrorInfo")["reason"], "HEADERS_TOO_LARGE");

    let mut request = tonic::Request::new(GetProductRequest::default());
    request.metadata_mut().insert("x-long", long.parse().unwrap());
    let refused = CatalogServiceClient::new(gateway.channel()).get_product(request).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(reason(&refused).as_deref(), Some("HEADERS_TOO_LARGE"));
    assert_eq!(witness.count(), 0);
}

#[tokio::test]
async fn a_head_with_too_much_in_it_is_refused_with_what_is_too_much() {
    let witness = Witness::begin().await;
    let gateway = Gateway::with(&[("catalog", witness.at)], |config| {
        config.max_headers = 16;
        config.max_path_bytes = 256;
    })
    .await;

    let headers = |count: usize| {
        let request = Request::get("/v1/products/MUG");
        // One more is `host`.
        (1..count).fold(request, |request, n| request.header(format!("x-{n}"), "a"))
    };
    let fits = gateway.send(headers(16).body(Bytes::new()).unwrap()).await;
    assert_eq!(fits.status, 200);
    let many = gateway.send(headers(17).body(Bytes::new()).unwrap()).await;
    assert_eq!(many.status, 431);
    assert_eq!(detail(&many.json().await, "ErrorInfo")["reason"], "HEADERS_TOO_MANY");
    let path = |length: usize| format!("/v1/products/{}", "x".repeat(length - 13));
    assert_eq!(gateway.get(&path(256)).await.status, 200);
    let long = gateway.get(&path(257)).await;
    assert_eq!(long.status, 414);
    assert_eq!(detail(&long.json().await, "ErrorInfo")["reason"], "PATH_TOO_LONG");
    assert_eq!(witness.count(), 2);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let witness = Witness::begin().await;
    let gateway =
        Gateway::with(&[("orders", witness.at)], |config| config.max_body_seconds = 1).await;
    let mut stream = TcpStream::connect(gateway.at).await.unwrap();
    let head = format!(
        "POST /v1/carts/{}:clear HTTP/1.1\r\nhost: gateway.test\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: 100\r\n\r\n{{",
        uuid()
    );
    stream.write_all(head.as_bytes()).await.unwrap();

    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("BODY_TOO_SLOW"), "{answer}");
    assert_eq!(witness.count(), 0);
}
