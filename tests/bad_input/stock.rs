//! What inventory does not correct, watch or list.

use shop::inventory::v1::{
    AdjustStockRequest, AdjustmentReason, BatchGetStockRequest, ListMovementsRequest,
    ListStockRequest, SetLowStockThresholdRequest,
};
use tonic::Code;

use super::{NO_UUIDS, malformed, refused};
use crate::shop::{Shop, uuid};

#[tokio::test(flavor = "multi_thread")]
async fn books_that_cannot_be_are_neither_written_nor_read() {
    let shop = Shop::open().await;
    let sku = shop.stocked(9).await;
    let before = shop.rows().await;
    let mut inventory = shop.inventory();

    let right = AdjustStockRequest {
        request_id: uuid(),
        sku: sku.clone(),
        quantity: -1,
        reason: AdjustmentReason::Damaged.into(),
        note: String::new(),
    };
    for request_id in NO_UUIDS.map(str::to_owned) {
        let request = AdjustStockRequest { request_id, ..right.clone() };
        malformed(inventory.adjust_stock(request).await, "UUID_MALFORMED", "request_id");
    }
    for quantity in [0, 1, -1_000_001, i64::MIN] {
        let request = AdjustStockRequest { quantity, ..right.clone() };
        malformed(inventory.adjust_stock(request).await, "NUMBER_OUT_OF_RANGE", "quantity");
    }
    for reason in [0, 99, -1] {
        let request = AdjustStockRequest { reason, ..right.clone() };
        malformed(inventory.adjust_stock(request).await, "ENUM_UNKNOWN", "reason");
    }
    let request = AdjustStockRequest { note: "x".repeat(501), ..right.clone() };
    malformed(inventory.adjust_stock(request).await, "TEXT_LENGTH_OUT_OF_RANGE", "note");
    let request = AdjustStockRequest { quantity: -10, ..right.clone() };
    let answer = inventory.adjust_stock(request).await;
    refused(answer, Code::FailedPrecondition, "OUT_OF_STOCK", "quantity");
    let request = AdjustStockRequest { sku: "NEVER-SEEN".to_owned(), ..right };
    refused(inventory.adjust_stock(request).await, Code::NotFound, "SKU_NOT_FOUND", "sku");

    let right = SetLowStockThresholdRequest {
        request_id: uuid(),
        sku,
        low_stock_threshold: 5,
        etag: String::new(),
    };
    let request = SetLowStockThresholdRequest { low_stock_threshold: -1, ..right.clone() };
    let answer = inventory.set_low_stock_threshold(request).await;
    malformed(answer, "NUMBER_OUT_OF_RANGE", "low_stock_threshold");
    let request = SetLowStockThresholdRequest { etag: "x".to_owned(), ..right.clone() };
    let answer = inventory.set_low_stock_threshold(request).await;
    malformed(answer, "ETAG_MALFORMED", "etag");
    let request = SetLowStockThresholdRequest { etag: "7".to_owned(), ..right };
    let answer = inventory.set_low_stock_threshold(request).await;
    refused(answer, Code::Aborted, "THRESHOLD_CHANGED", "etag");

    let request = BatchGetStockRequest { skus: Vec::new() };
    malformed(inventory.batch_get_stock(request).await, "COUNT_OUT_OF_RANGE", "skus");
    let request = ListStockRequest { page_size: -1, ..ListStockRequest::default() };
    malformed(inventory.list_stock(request).await, "PAGE_SIZE_NEGATIVE", "page_size");
    let request = ListMovementsRequest::default();
    malformed(inventory.list_movements(request).await, "FIELD_MISSING", "sku");

    assert_eq!(shop.rows().await, before);
    shop.platform.shutdown().await;
}
