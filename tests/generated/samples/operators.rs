//! Good requests to the operators' services.

use serde_json::{Value, json};
use shop::orders::v1::OrderState;
use uuid::Uuid;

use super::{
    Change,
    inventory::reservation,
    orders::{confirmed, order},
};
use crate::{
    evidence::step_key,
    generated::call::ask,
    shop::{Shop, uuid},
};

pub async fn sample(shop: &Shop, method: &str) -> Value {
    let request_id = uuid();
    match method {
        "ListDeadLetters" => json!({"pageSize": 5}),
        "GetDeadLetter" => json!({"stream": "shipping", "eventId": uuid()}),
        "RedriveDeadLetters" => json!({"stream": "shipping", "key": uuid()}),
        "ListSagas" => json!({"state": "SAGA_STATE_PARKED", "pageSize": 5}),
        "GetSaga" => json!({"sagaId": confirmed(shop).await}),
        "RetrySaga" | "CompensateSaga" => {
            json!({"requestId": request_id, "sagaId": parked(shop).await})
        }
        "ResolveSaga" => {
            let id = parked(shop).await;
            json!({"requestId": request_id, "sagaId": id, "note": "by telephone"})
        }
        _ => unreachable!("{method} was checked"),
    }
}

/// An order that cannot go on: somebody else reserved other things under its key.
async fn parked(shop: &Shop) -> String {
    let request_id = uuid();
    let request = order(shop, &request_id).await;
    let customer: Uuid = request["customerId"].as_str().unwrap().parse().unwrap();
    let order = Uuid::new_v5(&customer, request_id.parse::<Uuid>().unwrap().as_bytes()).to_string();
    let sku = shop.stocked(5).await;
    let foreign = reservation(&sku, &step_key(&order, "reserve"));
    ask(shop, "shop.inventory.v1.InventoryService/ReserveStock", foreign).await;
    ask(shop, "shop.orders.v1.OrdersService/PlaceOrder", request).await;
    shop.comes_to(&order, OrderState::NeedsAttention).await;
    order
}

pub fn change(method: &str) -> Option<Change> {
    Some(match method {
        "CompensateSaga" | "RetrySaga" => Change::new("operate", "/sagaId", uuid()),
        "ResolveSaga" => Change::new("operate", "/note", "another note"),
        _ => return None,
    })
}
