//! gRPC, passed through to real services.

use mesh_rpc::reason;
use shop::{
    catalog::v1::{
        CreateCategoryRequest, GetProductRequest, catalog_service_client::CatalogServiceClient,
    },
    inventory::v1::{GetStockRequest, inventory_service_client::InventoryServiceClient},
    orders::v1::{WatchOrderRequest, orders_service_client::OrdersServiceClient},
};
use tonic::{Code, Request};
use tonic_types::StatusExt as _;

use crate::support::{MUG, Shop, uuid};

#[tokio::test]
async fn answers_and_errors_come_as_the_service_gives_them() {
    let shop = Shop::open().await;
    let mut catalog = CatalogServiceClient::new(shop.gateway.channel());

    let found = catalog.get_product(GetProductRequest { sku: MUG.to_owned() }).await.unwrap();
    assert!(found.metadata().contains_key("x-request-id"));
    assert_eq!(found.into_inner().product.unwrap().sku, MUG);

    let mut request = Request::new(GetProductRequest { sku: "NOTHING".to_owned() });
    request.metadata_mut().insert("x-request-id", "mine".parse().unwrap());
    let refused = catalog.get_product(request).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).unwrap().as_str()),
        (Code::NotFound, "PRODUCT_NOT_FOUND")
    );
    assert_eq!(refused.get_details_bad_request().unwrap().field_violations[0].field, "sku");
    assert_eq!(refused.get_details_request_info().unwrap().request_id, "mine");
}

#[tokio::test]
async fn what_is_not_declared_cannot_be_reached() {
    let shop = Shop::open().await;
    let channel = shop.gateway.channel();

    let create = CreateCategoryRequest { request_id: uuid(), slug: "a".into(), name: "A".into() };
    let inside = CatalogServiceClient::new(channel.clone()).create_category(create).await;
    let stock = GetStockRequest { sku: MUG.to_owned() };
    let other = InventoryServiceClient::new(channel).get_stock(stock).await;
    for refused in [inside.unwrap_err(), other.unwrap_err()] {
        assert_eq!(refused.code(), Code::Unimplemented);
        assert_eq!(reason(&refused).as_deref(), Some("RPC_UNKNOWN"));
    }
}

#[tokio::test]
async fn a_stream_s_status_comes_through() {
    let shop = Shop::open().await;
    let mut orders = OrdersServiceClient::new(shop.gateway.channel());

    let request = WatchOrderRequest { order_id: uuid(), after_version: 0 };
    let refused = match orders.watch_order(request).await {
        Ok(stream) => stream.into_inner().message().await.unwrap_err(),
        Err(status) => status,
    };
    assert_eq!(reason(&refused).as_deref(), Some("ORDER_NOT_FOUND"));
}

#[tokio::test]
async fn a_service_that_is_away_is_unavailable_and_the_gateway_is_not() {
    let gateway = crate::support::Gateway::before(&[]).await;
    // By HTTP: a client of gRPC would end the call itself.
    let request = http::Request::get(format!("/v1/products/{MUG}")).header("grpc-timeout", "300m");
    let away = gateway.send(request.body(bytes::Bytes::new()).unwrap()).await;

    assert!(matches!(away.status.as_u16(), 503 | 504), "{away:?}");
    assert_eq!(gateway.get("/readyz").await.status, 200);
}
