//! D7: the names by which a service finds another change, are denied, and cannot be asked for.

use mesh_testkit::{
    TcpProxy, eventually,
    nameserver::{Fault, Nameserver, RecordType, a, srv},
};

use super::{Calls, Customer, endpoint, load::Load, seen};
use crate::shop::Shop;

const NAME: &str = "catalog.shop.test";
const POD: &str = "pod.shop.test";
/// Seconds; callers ask again after 5 at the soonest.
const TTL: u32 = 1;

#[tokio::test(flavor = "multi_thread")]
async fn new_endpoints_are_used_within_the_ttl_and_the_last_good_ones_are_kept() {
    let names = Nameserver::start(&["shop.test"]).await;
    let doors = [TcpProxy::start().await, TcpProxy::start().await];
    let [old, new] = &doors;
    names.set(POD, TTL, &[a("127.0.0.1")]).await;
    let is_at = |door: &TcpProxy| [srv(0, door.address().port(), POD)];
    names.set(NAME, TTL, &is_at(old)).await;
    let source: String = names.source(NAME);
    let shop =
        Shop::open_with(|it| it.replicas("catalog", 2).source("orders", "catalog", &source)).await;
    for (door, replica) in doors.iter().zip(0..) {
        door.lead_to(shop.platform.replica("catalog", replica).grpc());
    }
    let orders = shop.platform.service("orders");
    let customer = Customer::of(&shop.platform).await;
    let load = Load::through(customer.channel("orders", &[orders.grpc()]), &shop).await;
    let asked = || names.asked(NAME, RecordType::SRV).len();
    let state = async || seen(orders, "catalog").await["state"].clone();

    let changes = async {
        load.more(10).await;
        assert!(old.hits().connections > 0 && new.hits().connections == 0);
        let before = asked();
        names.set(NAME, TTL, &is_at(new)).await;
        eventually("the new endpoint to be used", async || new.hits().connections > 0).await;
        assert!(asked() - before <= 2, "it took {} questions", asked() - before);
        eventually("the old endpoint to be forgotten", async || {
            endpoint(orders, "catalog", old.address()).await.is_null()
        })
        .await;

        for fault in [Some(Fault::ServFail), None] {
            let before = asked();
            match fault {
                Some(fault) => names.fail("*", fault),
                None => names.set(NAME, TTL, &[]).await,
            }
            eventually("the name to be stale", async || state().await == "stale").await;
            assert!(asked() > before);
            load.more(10).await;
            let row = endpoint(orders, "catalog", new.address()).await;
            assert_eq!(row["state"], "READY", "{fault:?}: {row}");
            names.heal();
            names.set(NAME, TTL, &is_at(new)).await;
            eventually("the name to be fresh again", async || state().await == "fresh").await;
        }
        load.close();
    };
    tokio::join!(load.run(), changes);

    assert_eq!(load.failures(), [""; 0]);
    let calls = Calls::made(orders, "catalog").await;
    assert_eq!(calls.failed(), 0.0, "{calls:?}");
    load.is_settled(&shop).await;
    shop.platform.shutdown().await;
}
