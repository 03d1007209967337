//! C3: slow queries hold every connection of a service's pool.

use std::time::{Duration, Instant};

use futures::future::join_all;
use mesh_rpc::Channel;
use mesh_testkit::eventually;
use shop::{
    catalog::v1::{ListProductsRequest, catalog_service_client::CatalogServiceClient},
    orders::v1::OrderState,
};
use sqlx::{Connection as _, PgConnection};
use tonic::Code;

use crate::shop::Shop;

const POOL: usize = 2;
const CALLERS: usize = 24;
/// What the contract gives a list.
const DEADLINE: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn callers_of_an_exhausted_pool_are_told_in_time_and_others_notice_nothing() {
    let pool = POOL.to_string();
    let shop = Shop::open_with(|it| it.env("catalog", "DATABASE_POOL", &pool)).await;
    let order = shop.simple_order().await;
    shop.comes_to(&order.order_id, OrderState::Confirmed).await;
    let superuser = shop.platform.superuser_url("catalog");
    let mut lock = PgConnection::connect(&superuser).await.unwrap();
    let slow = "BEGIN; LOCK TABLE products IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(slow).execute(&mut lock).await.unwrap();

    let door = Channel::new("customer", "catalog", &[shop.platform.grpc("catalog")]).unwrap();
    let list = async || {
        let begun = Instant::now();
        let request = mesh_rpc::timeout_request(ListProductsRequest::default(), DEADLINE);
        let answer = CatalogServiceClient::new(door.clone()).list_products(request).await;
        (answer.map(drop), begun.elapsed())
    };
    let others = async {
        // Whoever does not need the catalog is served meanwhile.
        let sku = order.lines[0].sku.clone();
        for _ in 0..10 {
            shop.stock(&sku).await;
            shop.order(&order.order_id).await;
            assert!(shop.payment(&order.order_id).await.is_some());
            assert!(shop.shipment(&order.order_id).await.is_some());
        }
    };
    let (answers, ()) = tokio::join!(join_all((0..CALLERS).map(|_| list())), others);

    let mut shed = 0;
    for (answer, took) in answers {
        let status = answer.expect_err("nobody reads what is locked");
        match status.code() {
            Code::ResourceExhausted => {
                assert_eq!(mesh_rpc::reason(&status).as_deref(), Some("POOL_EXHAUSTED"));
                assert!(took < DEADLINE, "{took:?}");
                shed += 1;
            }
            code => assert_eq!(code, Code::DeadlineExceeded, "{status:?}"),
        }
    }
    println!("{shed} of {CALLERS} shed");
    assert!(shed >= CALLERS - 2 * POOL, "{shed} shed");
    assert!(shop.platform.service("catalog").is_ready().await, "a full pool is no outage");

    sqlx::query("ROLLBACK").execute(&mut lock).await.unwrap();
    eventually("the catalog to answer again", async || list().await.0.is_ok()).await;
    let order = shop.simple_order().await;
    shop.comes_to(&order.order_id, OrderState::Confirmed).await;
    shop.audit_is_clean().await;
    shop.platform.shutdown().await;
}
