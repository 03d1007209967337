//! D1: one of three endpoints is dead.

use mesh_testkit::eventually;

use super::{Calls, Customer, endpoint, load::Load, sent};
use crate::shop::Shop;

/// Of the calls made before the caller knows.
const MOST_FAILED: f64 = 0.01;

#[tokio::test(flavor = "multi_thread")]
async fn with_one_of_three_replicas_dead_orders_go_on_and_no_call_fails() {
    let shop = Shop::open_with(|it| it.replicas("inventory", 3)).await;
    let orders = shop.platform.service("orders");
    let dead = shop.platform.replica("inventory", 1);
    let customer = Customer::of(&shop.platform).await;
    let load = Load::through(customer.channel("orders", &[orders.grpc()]), &shop).await;

    let faults = async {
        load.more(60).await;
        assert!(sent(orders, "inventory", dead.grpc()).await > 0, "it has its share");
        dead.down().await;
        let row = eventually("the dead replica to be out", async || {
            let row = endpoint(orders, "inventory", dead.grpc()).await;
            (row["state"] == "BACKOFF").then_some(row)
        })
        .await;
        // What was under way has ended, too.
        load.more(20).await;
        let before = Calls::made(orders, "inventory").await;
        load.more(80).await;
        let after = Calls::made(orders, "inventory").await;
        println!("before {before:?}, after {after:?}, {row}");
        assert!(before.failed() <= MOST_FAILED * before.all(), "{before:?}");
        assert!(after.all() > before.all(), "{after:?}");
        assert_eq!(after.failed(), before.failed(), "{after:?}");

        let calls = sent(orders, "inventory", dead.grpc()).await;
        dead.up();
        eventually("the replica to be called again", async || {
            sent(orders, "inventory", dead.grpc()).await > calls + 5
        })
        .await;
        load.close();
    };
    tokio::join!(load.run(), faults);

    assert_eq!(load.failures(), [""; 0]);
    load.is_settled(&shop).await;
    shop.platform.shutdown().await;
}
