//! How the gateway ends.

use bytes::Bytes;
use http::{Method, Request};
use mesh_rpc::reason;
use mesh_testkit::{browse, eventually};
use serde_json::{Value, json};
use shop::orders::v1::{
    GetOrderRequest, GetOrderResponse, WatchOrderRequest,
    orders_service_client::OrdersServiceClient,
};
use tonic::Code;

use crate::{
    support::{Gateway, MUG, Shop, detail, uuid},
    witness::Witness,
};

#[tokio::test]
async fn a_gateway_that_is_told_to_end_does_and_takes_no_more_connections() {
    let gateway = Gateway::before(&[]).await;
    assert_eq!(gateway.get("/readyz").await.status, 200);

    gateway.service.stop();
    gateway.service.finish().await;

    eventually("nobody to listen", async || {
        let request = Request::get("/readyz").body(Bytes::new()).unwrap();
        browse(gateway.at, request).await.is_err()
    })
    .await;
}

#[tokio::test]
async fn calls_that_are_under_way_are_answered_before_the_gateway_ends() {
    let witness = Witness::held().await;
    let gateway = Gateway::before(&[("orders", witness.at)]).await;
    let (at, target) = (gateway.at, format!("/v1/orders/{}", uuid()));
    let json = tokio::spawn(async move {
        let answer = browse(at, Request::get(target).body(Bytes::new()).unwrap()).await.unwrap();
        (answer.status.as_u16(), answer.text().await)
    });
    let mut orders = OrdersServiceClient::new(gateway.channel());
    let grpc = tokio::spawn(async move { orders.get_order(GetOrderRequest::default()).await });
    eventually("both calls to arrive", async || witness.count() == 2).await;

    gateway.service.stop();
    eventually("nobody to listen", async || {
        let request = Request::get("/readyz").body(Bytes::new()).unwrap();
        browse(gateway.at, request).await.is_err()
    })
    .await;
    assert!(!json.is_finished() && !grpc.is_finished());
    witness.release();

    assert_eq!(json.await.unwrap(), (200, "{}".to_owned()));
    assert_eq!(grpc.await.unwrap().unwrap().into_inner(), GetOrderResponse::default());
    assert_eq!(witness.count(), 2, "neither was asked twice");
    gateway.service.finish().await;
}

/// An order that nobody holds pieces for, so that it stays as it is.
async fn order(gateway: &Gateway) -> String {
    let customer = uuid();
    let line = json!({ "requestId": uuid(), "sku": MUG, "quantity": 1 }).to_string();
    let cart = gateway.tell(Method::POST, &format!("/v1/carts/{customer}/lines"), &line).await;
    let etag = cart.json().await["cart"]["etag"].clone();
    let address = json!({ "recipient": "Ada", "lines": ["Main Street 1"], "city": "Berlin",
                          "postalCode": "10115", "countryCode": "DE" });
    let order = json!({ "requestId": uuid(), "customerId": customer, "cartEtag": etag,
                        "cardToken": "token", "address": address });
    let answer = gateway.tell(Method::POST, "/v1/orders", &order.to_string()).await;
    let placed = answer.json().await;
    placed["order"]["orderId"].as_str().unwrap_or_else(|| panic!("{placed}")).to_owned()
}

#[tokio::test]
async fn a_stream_without_end_ends_with_the_gateway_and_says_so() {
    let shop = Shop::open().await;
    let gateway = &shop.gateway;
    let order_id = order(gateway).await;
    let watch = format!("/v1/orders/{order_id}:watch");

    let mut lines = gateway.get(&watch).await;
    assert_eq!(lines.header("content-type"), "application/x-ndjson");
    let first: Value = serde_json::from_slice(&lines.piece().await.unwrap()).unwrap();
    assert_eq!(first["change"]["state"], "ORDER_STATE_PENDING");
    let request = Request::get(&watch)
        .header("accept", "text/event-stream")
        .header("accept-encoding", "gzip");
    let mut events = gateway.send(request.body(Bytes::new()).unwrap()).await;
    assert_eq!(events.header("content-type"), "text/event-stream");
    assert!(events.headers.get("content-encoding").is_none(), "a stream is never compressed");
    let first = events.piece().await.unwrap();
    assert!(first.starts_with(b"data: {") && first.ends_with(b"}\n\n"), "{first:?}");
    let mut grpc = OrdersServiceClient::new(gateway.channel());
    let request = WatchOrderRequest { order_id, after_version: 0 };
    let mut changes = grpc.watch_order(request).await.unwrap().into_inner();
    assert!(changes.message().await.unwrap().is_some());

    gateway.service.stop();

    let last: Value = serde_json::from_slice(&lines.piece().await.unwrap()).unwrap();
    assert_eq!(detail(&last["error"], "ErrorInfo")["reason"], "SERVICE_STOPPING");
    assert!(lines.piece().await.is_none());
    assert!(events.piece().await.unwrap().starts_with(b"event: error\ndata: {"));
    let ended = changes.message().await.unwrap_err();
    assert_eq!(
        (ended.code(), reason(&ended).as_deref()),
        (Code::Unavailable, Some("SERVICE_STOPPING"))
    );
    gateway.service.finish().await;
}
