//! The stock keeper is killed while its books are corrected.

use mesh_rpc::reason;
use mesh_testkit::{Platform, PlatformOptions};
use shop::inventory::v1::{
    AdjustStockRequest, AdjustmentReason, GetStockRequest, ReceiveStockRequest,
    SetLowStockThresholdRequest, inventory_service_client::InventoryServiceClient,
};

use super::{connect, signed};
use crate::shop::{persist, uuid};

#[tokio::test(flavor = "multi_thread")]
async fn a_correction_of_the_books_that_a_crash_interrupts_is_made_once() {
    let platform = Platform::start(PlatformOptions::new(&["inventory"])).await;
    let keeper = platform.service("inventory");
    let client = || InventoryServiceClient::new(signed(&platform, "inventory", keeper.grpc()));
    let sku = "MUG".to_owned();
    let request = ReceiveStockRequest { request_id: uuid(), sku: sku.clone(), quantity: 100 };
    client().receive_stock(request).await.unwrap();

    for (n, when) in (1_i64..).zip(["before_commit", "after_commit"]) {
        let set = SetLowStockThresholdRequest {
            request_id: uuid(),
            sku: sku.clone(),
            low_stock_threshold: 100 - 10 * n,
            etag: String::new(),
        };
        let starts = keeper.arm(&format!("set_low_stock_threshold:{when}")).await;
        let answer = persist("to set the threshold", async || {
            client().set_low_stock_threshold(set.clone()).await
        });
        let answer = answer.await.unwrap().into_inner();
        keeper.restarted(starts).await;
        assert_eq!((answer.low_stock_threshold, answer.etag), (100 - 10 * n, n.to_string()));

        let adjust = AdjustStockRequest {
            request_id: uuid(),
            sku: sku.clone(),
            quantity: -10,
            reason: AdjustmentReason::Damaged.into(),
            note: String::new(),
        };
        let starts = keeper.arm(&format!("adjust_stock:{when}")).await;
        let answer =
            persist("to adjust", async || client().adjust_stock(adjust.clone()).await).await;
        keeper.restarted(starts).await;
        assert_eq!(answer.unwrap().into_inner().stock.unwrap().on_hand, 100 - 10 * n, "{when}");
        let other = AdjustStockRequest { quantity: -11, ..adjust };
        let other = persist("to adjust", async || client().adjust_stock(other.clone()).await);
        assert_eq!(reason(&other.await.unwrap_err()).as_deref(), Some("REQUEST_CONTENT_DIFFERS"));
    }

    let stock = client().get_stock(GetStockRequest { sku }).await.unwrap().into_inner();
    let stock = stock.stock.unwrap();
    assert_eq!((stock.on_hand, stock.lost, stock.received), (80, 20, 100));
    let mut database = connect(platform.database_url("inventory")).await;
    let told: Vec<String> = sqlx::query_scalar(
        "SELECT replace(type, 'shop.inventory.v1.', '') FROM log WHERE public ORDER BY seq",
    )
    .fetch_all(&mut database)
    .await
    .unwrap();
    assert_eq!(told, ["StockAdjusted", "StockLow", "StockAdjusted", "StockLow"]);
    platform.shutdown().await;
}
