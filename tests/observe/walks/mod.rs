//! The walks of docs/OBSERVE.md: a fault, the alert that it raises, and each command from there to the
//! cause, which shows what the page says.

mod operator;
mod page;
mod screen;

use std::convert::Infallible;
use std::time::Duration;

use futures::future::select_all;
use mesh_local::Signal;
use shop::catalog::v1::{ListProductsRequest, catalog_service_client::CatalogServiceClient};
use shop::orders::v1::OrderState;
use sqlx::{Connection as _, PgConnection};
use tokio::time::sleep;

use crate::callers::Channel;
use crate::shop::{GOOD_CARD, Shop};
use operator::Operator;

const CUSTOMERS: usize = 4;
const PAUSE: Duration = Duration::from_millis(50);
const ENDING: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_fail_lead_to_the_session_that_holds_a_lock() {
    let walk = page::walk("A service's calls fail");
    let mut operator = Operator::at_work("lock").await;
    let sku = operator.shop().stocked(5).await;
    let request = operator.shop().order_of(&sku, 1, GOOD_CARD).await;
    let mut lock = superuser(operator.shop(), "catalog").await;
    let holder: i32 =
        sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut lock).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE products IN ACCESS EXCLUSIVE MODE")
        .execute(&mut lock)
        .await
        .unwrap();

    let catalog = operator.shop().catalog();
    let walked = async {
        operator.woken_by(&walk.alert).await;
        operator.told("REQUEST_ID", &request.request_id);
        let refused = operator.shop().place(request).await.unwrap_err();
        println!("a customer is told {refused:?}");
        operator.walks(&walk.way).await;
    };
    tokio::select! {
        never = browse(catalog) => match never {},
        () = walked => (),
    }

    assert_eq!(operator.saw("PID"), holder.to_string());
    let mut administrator = superuser(operator.shop(), "catalog").await;
    sqlx::query("SELECT pg_terminate_backend($1)")
        .bind(holder)
        .execute(&mut administrator)
        .await
        .unwrap();
    operator.walks(&walk.afterwards).await;
    operator.shop().simple_order().await;
    operator.goes_home().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_that_wait_lead_to_the_process_that_hangs() {
    let walk = page::walk("Orders wait for a service");
    let mut operator = Operator::at_work("hang").await;
    let sku = operator.shop().stocked(5).await;
    let request = operator.shop().order_of(&sku, 1, GOOD_CARD).await;
    let hung = operator.shop().platform.service("processor").pid().unwrap();
    operator.shop().platform.service("processor").stop();

    operator.woken_by(&walk.alert).await;
    let order = operator.shop().place(request).await.unwrap();
    operator.walks(&walk.way).await;

    assert_eq!(operator.saw("PID"), hung.to_string());
    assert_eq!(operator.saw("ORDER_ID"), order.order_id);
    operator.shop().platform.service("processor").cont();
    operator.walks(&walk.afterwards).await;
    operator.shop().settled(&order.order_id).await;
    operator.goes_home().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_nobody_hears_of_lead_to_the_broker_that_is_away() {
    let walk = page::walk("Events are not published");
    let mut operator = Operator::at_work("broker").await;
    let broker = operator.shop().platform.nats().process().clone();
    broker.down(Signal::TERM, ENDING).await;

    let order = operator.shop().simple_order().await;
    operator.shop().comes_to(&order.order_id, OrderState::Confirmed).await;
    operator.told("ORDER_ID", &order.order_id);
    operator.woken_by(&walk.alert).await;
    operator.walks(&walk.way).await;

    operator.shop().platform.nats().up().await;
    operator.walks(&walk.afterwards).await;
    operator.goes_home().await;
}

async fn superuser(shop: &Shop, service: &str) -> PgConnection {
    PgConnection::connect(&shop.platform.superuser_url(service)).await.unwrap()
}

/// Customers look at what there is, whatever they are answered.
async fn browse(catalog: CatalogServiceClient<Channel>) -> Infallible {
    let customers = (0..CUSTOMERS).map(|_| Box::pin(customer(catalog.clone())));
    select_all(customers).await.0
}

async fn customer(mut catalog: CatalogServiceClient<Channel>) -> Infallible {
    loop {
        let _ = catalog.list_products(ListProductsRequest::default()).await;
        sleep(PAUSE).await;
    }
}
