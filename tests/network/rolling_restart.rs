//! D4: every process is restarted, one after the other, while customers order.

use std::time::Duration;

use mesh_local::Signal;
use mesh_testkit::ServiceProcess;

use super::{Calls, Customer, load::Load};
use crate::shop::{SERVICES, Shop};

const REPLICAS: u32 = 2;
/// How long a process may take to end.
const DRAINING: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn while_every_process_is_restarted_no_call_of_a_customer_fails() {
    let shop = Shop::open_with(|options| {
        SERVICES.iter().fold(options, |options, service| options.replicas(service, REPLICAS))
    })
    .await;
    let doors = [0, 1].map(|replica| shop.platform.replica("orders", replica).grpc());
    let customer = Customer::of(&shop.platform).await;
    let load = Load::through(customer.channel("orders", &doors), &shop).await;

    let restarts = async {
        load.more(20).await;
        for process in shop.platform.services() {
            let placed = load.placed();
            // Its callees have been restarted by now, and what it counted goes with it.
            calls_worked(process).await;
            process.process().down(Signal::TERM, DRAINING).await;
            assert!(process.log().contains("\"stopped\""), "{} drained", process.name());
            process.process().up();
            process.ready().await;
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
