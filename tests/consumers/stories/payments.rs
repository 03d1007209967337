//! Payments asks the card processor.

use futures::FutureExt as _;
use serde_json::{Value, json};
use shop::{
    common::v1::Money,
    processor::v1::{AuthorizeChargeRequest, CaptureChargeRequest, VoidChargeRequest},
};

use super::{Part, Story, Told, ask};
use crate::{
    consumers::names::Names,
    shop::{GOOD_CARD, Shop, uuid},
};

const AUTHORIZE: &str = "shop.payments.v1.PaymentsService/AuthorizePayment";
const CAPTURE: &str = "shop.payments.v1.PaymentsService/CapturePayment";
const UNDO: &str = "shop.payments.v1.PaymentsService/UndoPayment";
const REFUND: &str = "shop.payments.v1.PaymentsService/RefundPayment";

const HAS_NO_MONEY: &str = "4000000000009995";
const REFUSES_CAPTURE: &str = "4000000000000374";
const REFUSES_FIRST_REFUND: &str = "4000000000000382";

macro_rules! story {
    ($name:literal, $given:expr, $tell:expr) => {
        Story {
            consumer: "payments",
            name: $name,
            part: Part::Calls,
            only_reads: false,
            given: |shop| async move { $given(shop).await }.boxed_local(),
            tell: |shop, given| async move { told($tell(shop, given).await) }.boxed_local(),
        }
    };
}

pub fn stories() -> Vec<Story> {
    vec![
        story!("a payment is authorized, taken and given back", good_card, async |shop, given| {
            let first = authorize(shop, given).await;
            json!([first, capture(shop, given, None).await, refund(shop, given).await])
        }),
        story!("a part of a payment is taken", good_card, async |shop, given| {
            let first = authorize(shop, given).await;
            json!([first, capture(shop, given, Some(7)).await])
        }),
        story!("an authorization is undone", good_card, async |shop, given| {
            json!([authorize(shop, given).await, undo(shop, given).await])
        }),
        story!("a card is declined", broke_card, authorize),
        story!("nobody knows the card", no_card, authorize),
        story!("a capture is refused", stubborn_card, async |shop, given| {
            json!([authorize(shop, given).await, capture(shop, given, None).await])
        }),
        story!("a refund is refused", miserly_card, async |shop, given| {
            authorize(shop, given).await;
            json!([capture(shop, given, None).await, refund(shop, given).await])
        }),
        story!("a charge that is to be undone was taken", taken, async |shop, given| {
            json!([authorize(shop, given).await, undo(shop, given).await])
        }),
        story!("a charge that is to be taken was taken", taken, async |shop, given| {
            json!([authorize(shop, given).await, capture(shop, given, None).await])
        }),
        story!("a charge was voided before it came", voided_before, authorize),
        story!("a charge was voided after it came", voided_after, authorize),
    ]
}

async fn card(shop: &Shop, number: &str) -> Names {
    let card_token = shop.card(number).await;
    Names::of([("card", card_token), ("payment", uuid()), ("order", uuid())])
}

async fn good_card(shop: &Shop) -> Names {
    card(shop, GOOD_CARD).await
}

async fn broke_card(shop: &Shop) -> Names {
    card(shop, HAS_NO_MONEY).await
}

async fn stubborn_card(shop: &Shop) -> Names {
    card(shop, REFUSES_CAPTURE).await
}

async fn miserly_card(shop: &Shop) -> Names {
    card(shop, REFUSES_FIRST_REFUND).await
}

async fn no_card(_: &Shop) -> Names {
    Names::of([("card", format!("card-{}", uuid())), ("payment", uuid()), ("order", uuid())])
}

/// The processor knows the charge already.
async fn charged(shop: &Shop) -> Names {
    let given = good_card(shop).await;
    let request = AuthorizeChargeRequest {
        request_id: given.get("payment").to_owned(),
        card_token: given.get("card").to_owned(),
        amount: Some(euros(12, 50)),
    };
    shop.processor().authorize_charge(request).await.unwrap();
    given
}

async fn taken(shop: &Shop) -> Names {
    let given = charged(shop).await;
    let charge_id = given.get("payment").to_owned();
    let request = CaptureChargeRequest { request_id: uuid(), charge_id, amount: None };
    shop.processor().capture_charge(request).await.unwrap();
    given
}

async fn voided_after(shop: &Shop) -> Names {
    let given = charged(shop).await;
    void(shop, &given).await;
    given
}

async fn voided_before(shop: &Shop) -> Names {
    let given = good_card(shop).await;
    void(shop, &given).await;
    given
}

async fn void(shop: &Shop, given: &Names) {
    let charge_id = given.get("payment").to_owned();
    let request = VoidChargeRequest { request_id: uuid(), charge_id };
    shop.processor().void_charge(request).await.unwrap();
}

fn euros(units: i64, cents: i32) -> Money {
    Money { currency_code: "EUR".to_owned(), units, nanos: cents * 10_000_000 }
}

fn amount(units: i64) -> Value {
    json!({ "currency_code": "EUR", "units": units, "nanos": 500_000_000 })
}

async fn authorize(shop: &Shop, given: &Names) -> Value {
    let request = json!({
        "request_id": given.get("payment"),
        "order_id": given.get("order"),
        "amount": amount(12),
        "card_token": given.get("card"),
    });
    ask(shop, AUTHORIZE, request).await
}

async fn capture(shop: &Shop, given: &Names, part: Option<i64>) -> Value {
    let payment = given.get("payment");
    let request = json!({
        "request_id": uuid(), "payment_id": payment, "amount": part.map(amount),
    });
    ask(shop, CAPTURE, request).await
}

async fn undo(shop: &Shop, given: &Names) -> Value {
    let request = json!({ "request_id": uuid(), "payment_id": given.get("payment") });
    ask(shop, UNDO, request).await
}

async fn refund(shop: &Shop, given: &Names) -> Value {
    let payment = given.get("payment");
    let request = json!({ "request_id": uuid(), "payment_id": payment, "amount": amount(5) });
    ask(shop, REFUND, request).await
}

/// What the payment says of money and of where it stands, in each answer.
fn told(mut outcome: Value) -> Told {
    timeless(&mut outcome);
    Told { outcome, names: Names::default() }
}

/// Without moments and what depends on them.
fn timeless(value: &mut Value) {
    match value {
        Value::Object(all) => {
            all.retain(|name, _| !name.ends_with("_time") && name != "refund_id");
            all.values_mut().for_each(timeless);
        }
        Value::Array(all) => all.iter_mut().for_each(timeless),
        _ => {}
    }
}
