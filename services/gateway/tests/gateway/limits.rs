//! How much a request may have.

use bytes::Bytes;
use http::{Method, Request};
use mesh_rpc::reason;
use shop::catalog::v1::{GetProductRequest, catalog_service_client::CatalogServiceClient};
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
