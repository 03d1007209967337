//! D5: nobody answers at the end of three hops.

use mesh_testkit::{TcpProxy, eventually};
use shop::processor::v1::processor_service_server::ProcessorServiceServer;

use super::{Calls, Customer, fixed, load::Load, stand_in::StandIn};
use crate::shop::Shop;

/// What the last service may see of the calls that are offered.
const MOST: f64 = 1.1;
const OFFERED: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn a_total_outage_three_hops_away_is_not_amplified() {
    let door = TcpProxy::start().await;
    let shop = Shop::open_with(|it| {
        it.source("payments", "processor", &fixed(&[door.address()]))
            // No order turns back while the outage lasts.
            .env("orders", "CHECKOUT_STEP_LIMIT_SECONDS", "300")
    })
    .await;
    let down = StandIn::start::<ProcessorServiceServer<()>>().await;
    door.lead_to(down.address);
    let orders = shop.platform.service("orders");
    let customer = Customer::of(&shop.platform).await;
    let load = Load::through(customer.channel("orders", &[orders.grpc()]), &shop).await;

    let outage = async {
        load.more(OFFERED).await;
        load.close();
    };
    tokio::join!(load.run(), outage);
    let placed = load.placed();
    eventually("orders to ask payments for each", async || {
        Calls::made(orders, "payments").await.all() >= placed as f64
    })
    .await;
    let (seen, asked) = (down.calls(), Calls::made(orders, "payments").await);
    println!("{placed} orders; payments: {asked:?}; the processor: {seen} calls");
    assert!(seen > 0, "the outage was met");
    assert!(seen as f64 <= MOST * placed as f64, "{seen} calls for {placed} orders");
    assert!(seen as f64 <= MOST * asked.all(), "{seen} calls for {asked:?}");

    door.lead_to(shop.platform.grpc("processor"));
    assert_eq!(load.failures(), [""; 0], "customers are not told");
    load.is_settled(&shop).await;
    shop.platform.shutdown().await;
}
