//! D6: a deadline is shorter than the work.

use std::time::{Duration, Instant};

use mesh_rpc::timeout_request;
use mesh_testkit::eventually;
use shop::{
    catalog::v1::{ListProductsRequest, catalog_service_client::CatalogServiceClient},
    orders::v1::{OrderState, WatchOrderRequest, orders_service_client::OrdersServiceClient},
};
use sqlx::{Connection as _, PgConnection, PgPool};
use tonic::Code;

use super::{Calls, Customer};
use crate::shop::{GOOD_CARD, Shop};

const DEADLINE: Duration = Duration::from_secs(1);
/// What a hop leaves for the way back, at most: 2 %.
const EARLY: Duration = Duration::from_millis(20);
/// The shortest deadline that a contract gives the calls on the way.
const DEFAULT: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_too_slow_ends_at_its_deadline_on_every_hop() {
    let shop = Shop::open().await;
    let sku = shop.stocked(10).await;
    let request = shop.order_of(&sku, 1, GOOD_CARD).await;
    let customer = Customer::of(&shop.platform).await;
    let door = customer.channel("orders", &[shop.platform.grpc("orders")]);
    let mut lock = locked_products(&shop).await;

    let begun = Instant::now();
    let place = timeout_request(request.clone(), DEADLINE);
    let status = OrdersServiceClient::new(door).place_order(place).await.unwrap_err();
    let took = begun.elapsed();

    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    assert!(took >= DEADLINE - EARLY && took < DEFAULT, "{took:?}");
    // Nobody else told the services to stop: they knew the same deadline.
    late(&shop, "orders", "shop.orders.v1.OrdersService/PlaceOrder").await;
    late(&shop, "catalog", "shop.catalog.v1.CatalogService/BatchGetProducts").await;
    let calls = Calls::made(shop.platform.service("orders"), "catalog").await;
    assert_eq!(calls.ended("DEADLINE_EXCEEDED"), 1.0, "{calls:?}");

    sqlx::query("ROLLBACK").execute(&mut lock).await.unwrap();
    assert_eq!(shop.count("orders", "SELECT count(*) FROM orders").await, 0, "nothing went on");
    let order = shop.place(request).await.unwrap();
    shop.comes_to(&order.order_id, OrderState::Confirmed).await;
    shop.audit_is_clean().await;
    shop.platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_is_too_slow_is_ended_in_the_database() {
    let shop = Shop::open().await;
    let customer = Customer::of(&shop.platform).await;
    let door = customer.channel("catalog", &[shop.platform.grpc("catalog")]);
    let watcher = PgPool::connect(&shop.platform.superuser_url("catalog")).await.unwrap();
    let mut lock = locked_products(&shop).await;

    let list = timeout_request(ListProductsRequest::default(), DEADLINE);
    let mut catalog = CatalogServiceClient::new(door);
    let (status, ()) =
        tokio::join!(catalog.list_products(list), crate::data_stores::blocked(&watcher, 1));

    assert_eq!(status.unwrap_err().code(), Code::DeadlineExceeded);
    late(&shop, "catalog", "shop.catalog.v1.CatalogService/ListProducts").await;
    eventually("the query to be ended, although the lock is held", async || {
        let blocked = "SELECT count(*) FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
        sqlx::query_scalar::<_, i64>(blocked).fetch_one(&watcher).await.unwrap() == 0
    })
    .await;

    sqlx::query("ROLLBACK").execute(&mut lock).await.unwrap();
    catalog.list_products(ListProductsRequest::default()).await.unwrap();
    watcher.close().await;
    shop.platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_at_its_deadline_on_both_sides() {
    let shop = Shop::open().await;
    let order = shop.simple_order().await;
    shop.comes_to(&order.order_id, OrderState::Confirmed).await;
    let customer = Customer::of(&shop.platform).await;
    let door = customer.channel("orders", &[shop.platform.grpc("orders")]);

    let begun = Instant::now();
    let request = WatchOrderRequest { order_id: order.order_id.clone(), after_version: 0 };
    let mut orders = OrdersServiceClient::new(door);
    let watch = orders.watch_order(timeout_request(request, DEADLINE)).await;
    let mut watch = watch.unwrap().into_inner();
    let mut told = 0;
    let status = loop {
        match watch.message().await {
            Ok(Some(_)) => told += 1,
            Ok(None) => panic!("it ended as if there were no more"),
            Err(status) => break status,
        }
    };
    let took = begun.elapsed();

    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    assert!(took >= DEADLINE - EARLY && took < DEFAULT, "{took:?}");
    assert!(told > 0, "it told what there was");
    late(&shop, "orders", "shop.orders.v1.OrdersService/WatchOrder").await;
    shop.audit_is_clean().await;
    shop.platform.shutdown().await;
}

/// Nobody reads products until the transaction ends.
async fn locked_products(shop: &Shop) -> PgConnection {
    let mut lock = PgConnection::connect(&shop.platform.superuser_url("catalog")).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE products IN ACCESS EXCLUSIVE MODE")
        .execute(&mut lock)
        .await
        .unwrap();
    lock
}

/// Waits until the service has given one call of the method up: at the deadline, or because its
/// caller, who has the same one, was a moment sooner.
async fn late(shop: &Shop, service: &str, method: &str) {
    eventually(&format!("{service} to give {method} up"), async || {
        let mut ended = 0.0;
        for code in ["DEADLINE_EXCEEDED", "CANCELLED"] {
            let labels = [("rpc_method", method), ("rpc_response_status_code", code)];
            ended += shop.metric(service, "rpc_server_call_duration_seconds_count", &labels).await;
        }
        ended == 1.0
    })
    .await;
}
