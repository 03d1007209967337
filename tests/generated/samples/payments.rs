//! Good requests to payments.

use serde_json::{Value, json};

use super::{Change, euros};
use crate::{
    generated::call::ask,
    shop::{GOOD_CARD, Shop, uuid},
};

pub async fn sample(shop: &Shop, method: &str) -> Value {
    let request_id = uuid();
    match method {
        "AuthorizePayment" => authorization(shop, &request_id).await,
        "CapturePayment" => {
            let id = authorized(shop).await;
            json!({"requestId": request_id, "paymentId": id, "amount": euros(5)})
        }
        "ListPayments" => json!({
            "orderId": uuid(),
            "state": "PAYMENT_STATE_CAPTURED",
            "pageSize": 5,
        }),
        "ListLedgerEntries" => json!({
            "paymentId": captured(shop).await,
            "account": "LEDGER_ACCOUNT_SHOP",
            "pageSize": 5,
        }),
        "UndoPayment" => {
            json!({"requestId": request_id, "paymentId": authorized(shop).await})
        }
        "RefundPayment" => {
            let id = captured(shop).await;
            json!({"requestId": request_id, "paymentId": id, "amount": euros(1)})
        }
        "GetPayment" => json!({"paymentId": captured(shop).await}),
        _ => unreachable!("{method} was checked"),
    }
}

async fn authorization(shop: &Shop, request_id: &str) -> Value {
    let card_token = shop.card(GOOD_CARD).await;
    json!({
        "requestId": request_id,
        "orderId": uuid(),
        "amount": euros(12),
        "cardToken": card_token,
    })
}

async fn authorized(shop: &Shop) -> String {
    let id = uuid();
    let request = authorization(shop, &id).await;
    ask(shop, "shop.payments.v1.PaymentsService/AuthorizePayment", request).await;
    id
}

async fn captured(shop: &Shop) -> String {
    let id = authorized(shop).await;
    let request = json!({"requestId": uuid(), "paymentId": id});
    ask(shop, "shop.payments.v1.PaymentsService/CapturePayment", request).await;
    id
}

pub fn change(method: &str) -> Option<Change> {
    Some(match method {
        "AuthorizePayment" => Change::new("authorize_intent", "/amount/units", "13"),
        "CapturePayment" => Change::new("capture_intent", "/amount/units", "6"),
        "RefundPayment" => Change::new("refund_intent", "/amount/units", "2"),
        "UndoPayment" => Change::new("undo_intent", "/paymentId", uuid()),
        _ => return None,
    })
}
