//! D9: orders and payments cannot hear each other, and then they can.

use mesh_testkit::{Fault, TcpProxy, eventually};

use super::{Calls, Customer, fixed, load::Load, starts};
use crate::shop::Shop;

#[tokio::test(flavor = "multi_thread")]
async fn after_a_partition_calls_resume_without_a_restart_and_money_is_right() {
    let door = TcpProxy::start().await;
    let shop = Shop::open_with(|it| {
        it.source("orders", "payments", &fixed(&[door.address()]))
            // No order turns back while it lasts.
            .env("orders", "CHECKOUT_STEP_LIMIT_SECONDS", "300")
    })
    .await;
    door.lead_to(shop.platform.grpc("payments"));
    let orders = shop.platform.service("orders");
    let started = starts(&shop.platform);
    let customer = Customer::of(&shop.platform).await;
    let load = Load::through(customer.channel("orders", &[orders.grpc()]), &shop).await;

    let faults = async {
        load.more(30).await;
        // First silence, then refusal.
        for fault in [Fault::Blackhole, Fault::Cut] {
            let failed = Calls::made(orders, "payments").await.failed();
            door.set(fault);
            load.more(30).await;
            eventually("orders to miss payments", async || {
                Calls::made(orders, "payments").await.failed() > failed
            })
            .await;
            println!("{:?}, {:?}", door.hits(), Calls::made(orders, "payments").await);
            door.set(Fault::None);
            let paid = Calls::made(orders, "payments").await.ended("OK");
            eventually("payments to be called again", async || {
                Calls::made(orders, "payments").await.ended("OK") > paid + 10.0
            })
            .await;
        }
        load.close();
    };
    tokio::join!(load.run(), faults);

    let hits = door.hits();
    assert!(hits.swallowed > 0 && hits.cut > 0, "{hits:?}");
    assert_eq!(load.failures(), [""; 0], "orders are taken all the while");
    load.is_settled(&shop).await;
    assert_eq!(starts(&shop.platform), started, "nobody had to be restarted");
    shop.platform.shutdown().await;
}
