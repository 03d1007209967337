//! The demo against real processes, one of which dies meanwhile.

use std::sync::Arc;

use mesh_testkit::eventually;
use meshctl::demo::{self, Amount, Options, Tally};
use meshctl::operate::Desk;
use shop::orders::v1::{ListOrdersRequest, OrderState};
use sqlx::PgPool;

use crate::callers::{doors, operator};
use crate::shop::{SERVICES, Shop};

const ORDERS: u64 = 60;

#[tokio::test(flavor = "multi_thread")]
async fn every_order_of_a_demo_settles_though_the_orders_service_is_killed() {
    let shop = Shop::open().await;
    let platform = &shop.platform;
    let doors = doors(platform);
    let options = Options { amount: Amount::Orders(ORDERS), ..Options::default() };
    let tally = Arc::new(Tally::default());

    let demo = tokio::spawn({
        let tally = Arc::clone(&tally);
        async move { demo::run(&doors, options, tally).await }
    });
    eventually("some orders to be settled", async || tally.done() >= ORDERS / 6).await;
    platform.service("orders").kill().await;
    let report = demo.await.unwrap().unwrap();

    assert!(report.unsettled.is_empty(), "{:?}", report.unsettled);
    assert!(report.parked.is_empty(), "{:?}", report.parked);
    assert_eq!((report.orders, report.cancelled), (ORDERS, 0));
    assert!(report.confirmed > 0 && report.rejected > 0, "{report:?}");
    assert!(report.retried > 0, "nobody noticed that the service was gone");
    assert!(report.delivered > 0 && report.shipped > report.delivered, "{report:?}");

    // What customers see as settled is settled for the operator too, a moment later.
    let desk = Desk::open(
        &operator(platform),
        SERVICES.iter().map(|name| ((*name).to_owned(), vec![platform.grpc(name)])),
    );
    let desk = desk.unwrap();
    eventually("every saga to end", async || desk.sagas(None).await.complete().unwrap().is_empty())
        .await;
    assert!(desk.dead_letters().await.complete().unwrap().is_empty());
    assert!(desk.saga("no-uuid").await.is_err());

    // What the carrier took along is known to whoever listens to shipping.
    for (state, count) in [
        (OrderState::Delivered, report.delivered),
        (OrderState::Shipped, report.shipped - report.delivered),
    ] {
        let request = ListOrdersRequest { state: state.into(), ..ListOrdersRequest::default() };
        eventually("the orders to be so", async || {
            let listed = shop.order_queries().list_orders(request.clone()).await.ok()?.into_inner();
            (listed.orders.len() as u64 == count).then_some(())
        })
        .await;
    }
    shop.audit_is_clean().await;
    shop.platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_of_a_demo_sign_in_and_order_at_the_front_door() {
    let shop = Shop::with_gateway(|options| options).await;
    let (orders, customers) = (12, 3);
    let options =
        Options { amount: Amount::Orders(orders), concurrency: customers, ..Options::default() };

    let report = demo::run(&doors(&shop.platform), options, Arc::default()).await.unwrap();

    assert_eq!((report.orders, report.unsettled.len()), (orders, 0), "{:?}", report.unsettled);
    let pool = PgPool::connect(shop.platform.database_url("users")).await.unwrap();
    let sessions: i64 =
        sqlx::query_scalar("SELECT count(*) FROM sessions").fetch_one(&pool).await.unwrap();
    assert_eq!(sessions, customers as i64);
    let pool = PgPool::connect(shop.platform.database_url("orders")).await.unwrap();
    let buyers: i64 = sqlx::query_scalar("SELECT count(DISTINCT customer_id) FROM orders")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(buyers, customers as i64);
    // The gateway made every call that made an order.
    let metrics = shop.platform.service("gateway").metrics().await;
    let placed = metrics.lines().find(|line| {
        line.starts_with("rpc_client_call_duration_seconds_count{")
            && line.contains("/PlaceOrder\"")
    });
    let placed: u64 = placed.unwrap().rsplit_once(' ').unwrap().1.parse().unwrap();
    assert!(placed >= orders, "{placed}");
    shop.audit_is_clean().await;
    shop.platform.shutdown().await;
}
