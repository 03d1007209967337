//! D4: every process is restarted, one after the other, while customers order.

use mesh_testkit::{PlatformOptions, ServiceProcess};

use super::{Calls, Customer, load::Load};
use crate::shop::{SERVICES, Shop};

#[tokio::test(flavor = "multi_thread")]
async fn while_every_process_is_restarted_no_call_of_a_customer_fails() {
    let shop = Shop::open_with(PlatformOptions::two_of_each).await;
    let doors = [0, 1].map(|replica| shop.platform.replica("orders", replica).grpc());
    let customer = Customer::of(&shop.platform).await;
    let load = Load::through(customer.channel("orders", &doors), &shop).await;

    let restarts = async {
        load.more(20).await;
        for process in shop.platform.services() {
            let placed = load.placed();
            // Its callees have been restarted by now, and what it counted goes with it.
            calls_worked(process).await;
            let drained = || process.log().contains("\"stopped\"");
            process.replace(|| assert!(drained(), "{} drained", process.name())).await;
            println!("{}.{}: {} orders", process.name(), process.number(), load.placed() - placed);
            load.more(5).await;
        }
        load.close();
    };
    tokio::join!(load.run(), restarts);

    assert_eq!(load.failures(), [""; 0]);
    for process in shop.platform.services() {
        assert_eq!(process.starts(), 2, "{} {}", process.name(), process.number());
    }
    load.is_settled(&shop).await;
    for process in shop.platform.services() {
        calls_worked(process).await;
    }
    shop.platform.shutdown().await;
}

/// Asserts that none of the calls failed that this process made.
async fn calls_worked(caller: &ServiceProcess) {
    for target in SERVICES {
        let calls = Calls::made(caller, target).await;
        let process = format!("{}.{}", caller.name(), caller.number());
        assert_eq!(calls.failed(), 0.0, "{process} to {target}: {calls:?}");
    }
}
