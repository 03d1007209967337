//! The gateway's own pages.

use crate::support::{Gateway, Shop};

#[tokio::test]
async fn the_contracts_are_described() {
    let gateway = Gateway::before(&[]).await;

    let page = gateway.get("/openapi.json").await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (200, "application/json"));
    let page = page.json().await;
    assert_eq!(page["openapi"], "3.1.0");
    let place = &page["paths"]["/v1/orders"]["post"];
    assert_eq!(place["operationId"], "OrdersService_PlaceOrder");
    let summary = place["summary"].as_str().unwrap();
    assert!(summary.starts_with("Orders what is in the customer's cart"), "{summary}");
    let text = page.to_string();
    assert!(text.contains("CatalogService_GetProduct"));
    for inside in
        ["CatalogService_CreateProduct", "ShippingService_CreateShipment", "PaymentsService"]
    {
        assert!(!text.contains(inside), "{inside} is not reached");
    }
}

#[tokio::test]
async fn the_gateway_is_ready_whatever_the_services_are() {
    let gateway = Gateway::before(&[]).await;

    assert_eq!(gateway.get("/healthz").await.json().await["status"], "alive");
    assert_eq!(gateway.get("/readyz").await.json().await["ready"], true);
    let health = gateway.get("/health").await;
    assert_eq!(health.status, 503);
    let health = health.json().await;
    assert_eq!(health["status"], "unhealthy");
    assert_eq!(health["services"]["orders"]["status"], "unhealthy");
    assert_eq!(gateway.get("/readyz").await.status, 200);
    let post = gateway.tell(http::Method::POST, "/health", "").await;
    assert_eq!((post.status.as_u16(), post.header("allow")), (405, "GET"));
}

#[tokio::test]
async fn services_that_answer_and_services_that_do_not_are_told_apart() {
    let shop = Shop::open().await;

    let health = shop.gateway.get("/health").await;

    assert_eq!(health.status, 200);
    let health = health.json().await;
    assert_eq!(health["status"], "degraded", "{health}");
    assert_eq!(health["services"]["catalog"]["status"], "healthy", "{health}");
    assert_eq!(health["services"]["shipping"]["status"], "unhealthy", "{health}");
    assert!(health["services"]["catalog"]["response_ms"].is_u64());
}
