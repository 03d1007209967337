//! Good requests to inventory.

use serde_json::{Value, json};

use super::Change;
use crate::{
    generated::call::ask,
    shop::{Shop, uuid},
};

pub async fn sample(shop: &Shop, method: &str) -> Value {
    let sku = shop.stocked(20).await;
    let request_id = uuid();
    match method {
        "GetStock" => json!({"sku": sku}),
        "BatchGetStock" => json!({"skus": [sku, "NEVER-SEEN"]}),
        "ListStock" => json!({"pageSize": 5, "lowOnly": true}),
        "ListMovements" => json!({"sku": sku, "orderId": uuid(), "pageSize": 5}),
        "AdjustStock" => json!({
            "requestId": request_id,
            "sku": sku,
            "quantity": "-1",
            "reason": "ADJUSTMENT_REASON_DAMAGED",
            "note": "fell off the shelf",
        }),
        "SetLowStockThreshold" => {
            let path = "shop.inventory.v1.InventoryService/GetStock";
            let stock = ask(shop, path, json!({"sku": sku})).await;
            json!({
                "requestId": request_id,
                "sku": sku,
                "lowStockThreshold": "7",
                "etag": stock["stock"]["etag"],
            })
        }
        "ReceiveStock" => json!({"requestId": request_id, "sku": sku, "quantity": "5"}),
        "ReserveStock" => reservation(&sku, &request_id),
        "GetReservation" => json!({"reservationId": reserved(shop, &sku).await}),
        "CommitReservation" | "ReleaseReservation" => {
            json!({"requestId": request_id, "reservationId": reserved(shop, &sku).await})
        }
        "RestockReservation" | "ShipReservation" => {
            let id = reserved(shop, &sku).await;
            let commit = json!({"requestId": uuid(), "reservationId": id});
            ask(shop, "shop.inventory.v1.InventoryService/CommitReservation", commit).await;
            json!({"requestId": request_id, "reservationId": id})
        }
        _ => unreachable!("{method} was checked"),
    }
}

pub fn reservation(sku: &str, request_id: &str) -> Value {
    json!({
        "requestId": request_id,
        "orderId": uuid(),
        "lines": [{"sku": sku, "quantity": "1"}],
        "hold": "600s",
    })
}

async fn reserved(shop: &Shop, sku: &str) -> String {
    let id = uuid();
    let request = reservation(sku, &id);
    ask(shop, "shop.inventory.v1.InventoryService/ReserveStock", request).await;
    id
}

pub fn change(method: &str) -> Option<Change> {
    let other = |label| Change::new(label, "/reservationId", uuid());
    Some(match method {
        "ReceiveStock" => Change::new("receive_stock", "/quantity", "6"),
        "AdjustStock" => Change::new("adjust_stock", "/quantity", "-2"),
        "SetLowStockThreshold" => Change::new("set_low_stock_threshold", "/lowStockThreshold", "8"),
        "ReserveStock" => Change::new("reserve_stock", "/lines/0/quantity", "2"),
        "CommitReservation" => other("commit_reservation"),
        "ReleaseReservation" => other("release_reservation"),
        "RestockReservation" => other("restock_reservation"),
        "ShipReservation" => other("ship_reservation"),
        _ => return None,
    })
}
