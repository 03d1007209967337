//! Good requests to shipping.

use serde_json::{Value, json};

use super::Change;
use crate::{
    generated::call::ask,
    shop::{Shop, uuid},
};

pub async fn sample(shop: &Shop, method: &str) -> Value {
    let request_id = uuid();
    match method {
        "CreateShipment" => shipment(&request_id),
        "QuoteShipping" => json!({
            "countryCode": "DE",
            "weightGrams": 700,
            "speed": "SHIPPING_SPEED_EXPRESS",
        }),
        "ListShipments" => json!({
            "orderId": uuid(),
            "state": "SHIPMENT_STATE_HELD",
            "pageSize": 5,
        }),
        "TrackShipment" => json!({"shipmentId": held(shop).await, "afterSequence": 0}),
        "RecordPositions" => json!({
            "shipmentId": dispatched(shop).await,
            "position": position(),
        }),
        "ReleaseShipment" | "CancelShipment" => {
            json!({"requestId": request_id, "shipmentId": held(shop).await})
        }
        "GetShipment" => json!({"shipmentId": held(shop).await}),
        "RecordCarrierUpdate" => {
            json!({
                "requestId": request_id,
                "shipmentId": released(shop).await,
                "state": "SHIPMENT_STATE_DISPATCHED",
            })
        }
        _ => unreachable!("{method} was checked"),
    }
}

/// Whose the shipments are.
pub const CUSTOMER: &str = "c0000000-0000-4000-8000-000000000001";

pub fn shipment(request_id: &str) -> Value {
    json!({
        "requestId": request_id,
        "orderId": uuid(),
        "customerId": CUSTOMER,
        "address": {
            "recipient": "Ada Lovelace",
            "lines": ["Analytical Street 1"],
            "city": "Berlin",
            "postalCode": "10115",
            "countryCode": "DE",
        },
        "speed": "SHIPPING_SPEED_STANDARD",
        "weightGrams": 700,
    })
}

async fn held(shop: &Shop) -> String {
    let id = uuid();
    ask(shop, "shop.shipping.v1.ShippingService/CreateShipment", shipment(&id)).await;
    id
}

async fn released(shop: &Shop) -> String {
    let id = held(shop).await;
    let release = json!({"requestId": uuid(), "shipmentId": id});
    ask(shop, "shop.shipping.v1.ShippingService/ReleaseShipment", release).await;
    id
}

async fn dispatched(shop: &Shop) -> String {
    let id = released(shop).await;
    let state = "SHIPMENT_STATE_DISPATCHED";
    let update = json!({"requestId": uuid(), "shipmentId": id, "state": state});
    ask(shop, "shop.shipping.v1.ShippingService/RecordCarrierUpdate", update).await;
    id
}

fn position() -> Value {
    json!({
        "positionId": uuid(),
        "time": "2026-03-01T12:00:00Z",
        "coordinates": {"latitude": 52.52, "longitude": 13.4},
    })
}

pub fn change(method: &str) -> Option<Change> {
    let other = |label| Change::new(label, "/shipmentId", uuid());
    Some(match method {
        "CancelShipment" => other("cancel_shipment"),
        "CreateShipment" => Change::new("create_shipment", "/address/city", "Paris"),
        "RecordCarrierUpdate" => {
            Change::new("record_carrier_update", "/state", "SHIPMENT_STATE_LOST")
        }
        "ReleaseShipment" => other("release_shipment"),
        _ => return None,
    })
}
