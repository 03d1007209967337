//! D10: the peer of a connection has vanished without a word.

use std::time::Duration;

use mesh_policy::values;
use mesh_rpc::balance::{Balancer, Tcp};
use mesh_testkit::{Fault, TcpProxy, eventually};
use shop::{
    orders::v1::{OrderState, WatchOrderRequest, orders_service_client::OrdersServiceClient},
    shipping::v1::ShipmentState,
};
use tonic::Code;

use super::{Calls, Customer, endpoint, fixed, load::Load, policy_file};
use crate::{callers::Callers, orders_and_money::report, shop::Shop};

/// The shortest that the policy allows; and nothing but the ping may find the peer gone.
const POLICY: &str = "[targets.payments]\n\
    connection = { ping = '10s', ping_limit = '500ms' }\n\
    breaker = { consecutive = 1000, min_calls = 100000 }\n";
const PING: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread")]
async fn a_vanished_replica_is_found_by_keepalive_and_the_other_does_its_work() {
    let doors = [TcpProxy::start().await, TcpProxy::start().await];
    let addresses = doors.each_ref().map(TcpProxy::address);
    let policy = policy_file("half_open", POLICY);
    let shop = Shop::open_with(|it| {
        it.replicas("payments", 2)
            .env("orders", "MESH_POLICY", &policy)
            .source("orders", "payments", &fixed(&addresses))
            .env("orders", "CHECKOUT_STEP_LIMIT_SECONDS", "300")
    })
    .await;
    for (door, replica) in doors.iter().zip(0..) {
        door.lead_to(shop.platform.replica("payments", replica).grpc());
    }
    let [vanished, _] = &doors;
    let orders = shop.platform.service("orders");
    let customer = Customer::of(&shop.platform).await;
    let load = Load::through(customer.channel("orders", &[orders.grpc()]), &shop).await;

    let faults = async {
        load.more(30).await;
        assert_eq!(endpoint(orders, "payments", vanished.address()).await["state"], "READY");
        vanished.set(Fault::Blackhole);
        let row = eventually("the vanished replica to be out", async || {
            let row = endpoint(orders, "payments", vanished.address()).await;
            (row["state"] != "READY").then_some(row)
        })
        .await;
        println!("{row}; {:?}", vanished.hits());
        assert_eq!(lost(&shop).await, 1.0, "its connection was given up");
        load.more(30).await;

        vanished.set(Fault::None);
        eventually("the replica to be back", async || {
            endpoint(orders, "payments", vanished.address()).await["state"] == "READY"
        })
        .await;
        load.close();
    };
    tokio::join!(load.run(), faults);

    println!("{:?}", Calls::made(orders, "payments").await);
    assert!(vanished.hits().swallowed > 0, "it had vanished");
    for target in ["catalog", "inventory", "shipping"] {
        let calls = Calls::made(orders, target).await;
        assert_eq!(calls.failed(), 0.0, "{target}: {calls:?}");
    }
    assert_eq!(load.failures(), [""; 0]);
    load.is_settled(&shop).await;
    shop.platform.shutdown().await;
}

/// Connections of orders to payments that ended without a good-bye.
async fn lost(shop: &Shop) -> f64 {
    let labels = [("target", "payments"), ("how", "lost")];
    shop.metric("orders", "mesh_connection_ends_total", &labels).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_from_a_vanished_peer_ends_unavailable_and_others_go_on() {
    let shop = Shop::open().await;
    let order = shop.simple_order().await;
    let order = shop.comes_to(&order.order_id, OrderState::Confirmed).await;
    let door = TcpProxy::before(shop.platform.grpc("orders")).await;
    let connection = values::Connection { ping: PING, ping_limit: PING, ..Default::default() };
    let values = values::Target { connection, ..Default::default() };
    let through =
        |address| OrdersServiceClient::new(Balancer::new("orders", vec![address], values, Tcp));
    let callers = Callers::of(&shop.platform);
    let request = || {
        let order_id = order.order_id.clone();
        callers.by_administrator(WatchOrderRequest { order_id, after_version: order.version })
    };
    let mut half_open = through(door.address()).watch_order(request()).await.unwrap().into_inner();
    let mut whole = through(shop.platform.grpc("orders")).watch_order(request()).await.unwrap();

    door.set(Fault::Blackhole);
    let status = half_open.message().await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert!(door.hits().swallowed > 0, "the ping was swallowed");

    eventually("the parcel to leave", async || {
        report(&shop, &order.order_id, ShipmentState::Dispatched).await.is_ok()
    })
    .await;
    let change = whole.get_mut().message().await.unwrap().unwrap().change.unwrap();
    assert_eq!(change.state(), OrderState::Shipped, "the other connection is as before");
    shop.audit_is_clean().await;
    shop.platform.shutdown().await;
}
