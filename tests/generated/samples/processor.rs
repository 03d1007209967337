//! Good requests to the processor.

use serde_json::{Value, json};

use super::{Change, euros};
use crate::{
    generated::call::ask,
    shop::{GOOD_CARD, Shop, uuid},
};

pub async fn sample(shop: &Shop, method: &str) -> Value {
    let request_id = uuid();
    match method {
        "TokenizeCard" => json!({
            "requestId": request_id,
            "cardNumber": GOOD_CARD,
            "expiryMonth": 12,
            "expiryYear": 2040,
        }),
        "AuthorizeCharge" => charge(shop, &request_id).await,
        "CaptureCharge" => {
            let id = charged(shop).await;
            json!({"requestId": request_id, "chargeId": id, "amount": euros(5)})
        }
        "VoidCharge" => {
            json!({"requestId": request_id, "chargeId": charged(shop).await})
        }
        "RefundCharge" => {
            let id = charged(shop).await;
            let capture = json!({"requestId": uuid(), "chargeId": id});
            ask(shop, "shop.processor.v1.ProcessorService/CaptureCharge", capture).await;
            json!({"requestId": request_id, "chargeId": id, "amount": euros(1)})
        }
        "GetCharge" => json!({"chargeId": charged(shop).await}),
        _ => unreachable!("{method} was checked"),
    }
}

async fn charge(shop: &Shop, request_id: &str) -> Value {
    let card_token = shop.card(GOOD_CARD).await;
    json!({"requestId": request_id, "cardToken": card_token, "amount": euros(12)})
}

async fn charged(shop: &Shop) -> String {
    let id = uuid();
    let request = charge(shop, &id).await;
    ask(shop, "shop.processor.v1.ProcessorService/AuthorizeCharge", request).await;
    id
}

pub fn change(method: &str) -> Option<Change> {
    Some(match method {
        "TokenizeCard" => Change::new("tokenize_card", "/expiryMonth", 11),
        "AuthorizeCharge" => Change::new("authorize", "/amount/units", "13"),
        "CaptureCharge" => Change::new("capture", "/amount/units", "6"),
        "RefundCharge" => Change::new("refund", "/amount/units", "2"),
        "VoidCharge" => Change::new("void", "/chargeId", uuid()),
        _ => return None,
    })
}
