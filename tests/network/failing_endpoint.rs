//! D3: one endpoint fails at once, which makes it look like the fastest.

use mesh_testkit::{TcpProxy, eventually};
use shop::inventory::v1::inventory_service_server::InventoryServiceServer;

use super::{Calls, Customer, endpoint, fixed, load::Load, policy_file, sent, stand_in::StandIn};
use crate::shop::Shop;

/// Of the calls made after it was ejected.
const MOST: f64 = 0.02;
/// Times that a test can wait for.
const POLICY: &str = "[targets.inventory]\nbreaker = { open = '2s', max_open = '8s' }\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_fails_at_once_is_ejected_and_returns_when_it_is_healed() {
    let doors = [TcpProxy::start().await, TcpProxy::start().await, TcpProxy::start().await];
    let addresses = doors.each_ref().map(TcpProxy::address);
    let policy = policy_file("failing_endpoint", POLICY);
    let shop = Shop::open_with(|it| {
        it.replicas("inventory", 3).env("orders", "MESH_POLICY", &policy).source(
            "orders",
            "inventory",
            &fixed(&addresses),
        )
    })
    .await;
    let sick = StandIn::start::<InventoryServiceServer<()>>().await;
    let [failing, ..] = &doors;
    for (door, replica) in doors.iter().zip(0..) {
        door.lead_to(shop.platform.replica("inventory", replica).grpc());
    }
    failing.lead_to(sick.address);
    let orders = shop.platform.service("orders");
    let customer = Customer::of(&shop.platform).await;
    let load = Load::through(customer.channel("orders", &[orders.grpc()]), &shop).await;

    let faults = async {
        let row = eventually("the failing replica to be ejected", async || {
            let row = endpoint(orders, "inventory", failing.address()).await;
            (row["breaker"] == "OPEN").then_some(row)
        })
        .await;
        println!("{row}");
        let before = (sick.calls(), Calls::made(orders, "inventory").await);
        for _ in 0..4 {
            load.more(50).await;
        }
        let after = (sick.calls(), Calls::made(orders, "inventory").await);
        let (of_sick, of_all) = (after.0 - before.0, after.1.all() - before.1.all());
        println!("{of_sick} of {of_all} calls after {} before", before.0);
        assert!(before.0 > 0 && of_all >= 200.0, "{of_all} calls");
        assert!(of_sick as f64 <= MOST * of_all, "{of_sick} of {of_all}");
        assert_eq!(after.1.failed(), 0.0, "what it refused, others have done: {:?}", after.1);

        failing.lead_to(shop.platform.replica("inventory", 0).grpc());
        let calls = sent(orders, "inventory", failing.address()).await;
        eventually("the healed replica to have its share again", async || {
            let row = endpoint(orders, "inventory", failing.address()).await;
            row["breaker"] == "CLOSED" && row["calls"].as_u64() > Some(calls + 10)
        })
        .await;
        load.close();
    };
    tokio::join!(load.run(), faults);

    assert_eq!(load.failures(), [""; 0]);
    load.is_settled(&shop).await;
    shop.platform.shutdown().await;
}
