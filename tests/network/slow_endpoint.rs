//! D2: one endpoint is a hundred times slower.

use std::time::Duration;

use mesh_testkit::{Fault, TcpProxy};

use super::{Customer, endpoint, fixed, load::Load, sent};
use crate::shop::Shop;

/// Each way: both together are a hundred times what inventory takes, some milliseconds to tens.
const DELAY: Duration = Duration::from_secs(1);
const MOST: f64 = 0.05;

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_a_hundred_times_slower_gets_hardly_any_call() {
    let doors = [TcpProxy::start().await, TcpProxy::start().await, TcpProxy::start().await];
    let addresses = doors.each_ref().map(TcpProxy::address);
    let shop = Shop::open_with(|it| {
        it.replicas("inventory", 3).source("orders", "inventory", &fixed(&addresses))
    })
    .await;
    for (door, replica) in doors.iter().zip(0..) {
        door.lead_to(shop.platform.replica("inventory", replica).grpc());
    }
    let [slow, _, _] = &doors;
    let orders = shop.platform.service("orders");
    let customer = Customer::of(&shop.platform).await;
    let load = Load::through(customer.channel("orders", &[orders.grpc()]), &shop).await;

    let watch = async {
        load.more(10).await;
        slow.set(Fault::Delay(DELAY));
        // It was as fast as the others when it was called last.
        load.more(30).await;
        let before = (sent(orders, "inventory", slow.address()).await, shares(&shop, &doors).await);
        for _ in 0..4 {
            load.more(50).await;
        }
        let after = (sent(orders, "inventory", slow.address()).await, shares(&shop, &doors).await);
        load.close();
        let (of_slow, of_all) = (after.0 - before.0, after.1 - before.1);
        let row = endpoint(orders, "inventory", slow.address()).await;
        println!("{of_slow} of {of_all} calls; {:?}; {row}", slow.hits());
        assert_eq!(row["state"], "READY", "it is slow, not dead");
        assert!(of_all >= 200, "{of_all} calls");
        assert!(of_slow as f64 <= MOST * of_all as f64, "{of_slow} of {of_all}");
    };
    tokio::join!(load.run(), watch);

    assert!(slow.hits().delayed > 0, "it was slow");
    assert_eq!(load.failures(), [""; 0]);
    load.is_settled(&shop).await;
    shop.platform.shutdown().await;
}

/// The calls that all of them were sent.
async fn shares(shop: &Shop, doors: &[TcpProxy]) -> u64 {
    let mut calls = 0;
    for door in doors {
        calls += sent(shop.platform.service("orders"), "inventory", door.address()).await;
    }
    calls
}
