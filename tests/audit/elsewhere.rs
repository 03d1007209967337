//! The command, of a shop that `up` did not start: as an operator audits one in a cluster.

use mesh_testkit::program;
use serde_json::Value;
use shop::orders::v1::OrderState;
use tokio::process::Command;

use crate::shop::{GOOD_CARD, Shop};

const ALL: [&str; 7] =
    ["catalog", "inventory", "orders", "payments", "processor", "shipping", "users"];

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_that_others_started_is_audited_by_its_addresses() {
    let shop = Shop::open().await;
    let sku = shop.stocked(10).await;
    shop.bought(&sku, GOOD_CARD, OrderState::Confirmed).await;
    let meshctl = program("meshctl").await;
    let audit = async |services: &[&str]| {
        let mut command = Command::new(&meshctl);
        command.args(["audit", "--json", "--wait", "30s"]);
        command.args(["--nats-url", &shop.platform.operator_nats()]);
        for service in services {
            let url = shop.platform.database_url(service);
            command.args(["--database", &format!("{service}={url}")]);
        }
        let output = command.output().await.unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), report)
    };

    let (code, report) = audit(&ALL).await;
    assert_eq!((code, &report["clean"]), (Some(0), &true.into()), "{report:#}");
    let (code, report) = audit(&ALL[..6]).await;
    assert_eq!(code, Some(0), "without accounts it is a shop, too: {report:#}");
    let (code, report) = audit(&ALL[1..]).await;
    assert_eq!(code, Some(2), "{report:#}");
    assert!(report["error"].as_str().unwrap().contains("where catalog's is"), "{report:#}");

    shop.tamper("payments", "UPDATE payments SET captured_minor = captured_minor - 1").await;
    let (code, report) = audit(&ALL).await;
    assert_eq!((code, &report["clean"]), (Some(1), &false.into()), "{report:#}");
    shop.platform.shutdown().await;
}
