//! Orders drives its checkouts.

use futures::FutureExt as _;
use mesh_testkit::eventually;
use serde_json::{Value, json};
use shop::{
    inventory::v1::{ReservationLine, ReserveStockRequest},
    orders::v1::{CartLine, OrderState, SetCartLinesRequest},
    shipping::v1::{CreateShipmentRequest, ReleaseShipmentRequest, ShipmentState},
};
use uuid::Uuid;

use super::{Part, Story, Told, ask, product};
use crate::{
    consumers::names::Names,
    evidence::step_key,
    orders_and_money::{cancel, report},
    shop::{GOOD_CARD, Shop, address, is_settled, uuid},
};

const PLACE: &str = "shop.orders.v1.OrdersService/PlaceOrder";
const GET: &str = "shop.orders.v1.OrdersService/GetOrder";

const CANCEL_SHIPMENT: &str = "shop.shipping.v1.ShippingService/CancelShipment";

const HAS_NO_MONEY: &str = "4000000000009995";
const REFUSES_CAPTURE: &str = "4000000000000374";

/// The steps of a checkout, by which calls are known.
const STEPS: [&str; 11] = [
    "reserve",
    "authorize",
    "create_shipment",
    "commit",
    "capture",
    "release_shipment",
    "undo_payment",
    "restock",
    "cancel_shipment",
    "release",
    "refund_loss",
];

macro_rules! story {
    ($name:literal, $given:expr, $tell:expr) => {
        Story {
            consumer: "orders",
            name: $name,
            part: Part::Calls,
            only_reads: false,
            given: |shop| async move { $given(shop).await }.boxed_local(),
            tell: |shop, given| async move { $tell(shop, given).await }.boxed_local(),
        }
    };
}

pub fn stories() -> Vec<Story> {
    vec![
        story!("an order is confirmed", enough, async |shop, given| {
            placed(shop, given, "DE").await
        }),
        story!("a confirmed order is cancelled", enough, async |shop: &Shop, given| {
            let told = placed(shop, given, "DE").await;
            if told.outcome["state"] == "ORDER_STATE_CONFIRMED" {
                cancel(shop, told.names.get("order")).await.unwrap();
                return ended(shop, told, OrderState::Cancelled).await;
            }
            told
        }),
        story!(
            "a parcel has left before its order is cancelled",
            gone,
            async |shop: &Shop, given| {
                let told = placed(shop, given, "DE").await;
                if told.outcome["state"] == "ORDER_STATE_CONFIRMED" {
                    return cancelled_too_late(shop, told).await;
                }
                told
            }
        ),
        story!("a parcel is lost", enough, async |shop: &Shop, given| {
            let told = placed(shop, given, "DE").await;
            if told.outcome["state"] == "ORDER_STATE_CONFIRMED" {
                for state in [ShipmentState::Dispatched, ShipmentState::Lost] {
                    report(shop, told.names.get("order"), state).await.unwrap();
                }
                return ended(shop, told, OrderState::Lost).await;
            }
            told
        }),
        story!("there are too few pieces", too_few, async |shop, given| {
            placed(shop, given, "DE").await
        }),
        story!("there were never any pieces", never_any, async |shop, given| {
            placed(shop, given, "DE").await
        }),
        story!("the card is declined", broke, async |shop, given| {
            placed(shop, given, "DE").await
        }),
        story!("nobody delivers there", enough, async |shop, given| {
            placed(shop, given, "AQ").await
        }),
        story!("the capture is refused", stubborn, async |shop, given| {
            placed(shop, given, "DE").await
        }),
        story!("a step's key is taken by something else", reserved, async |shop, given| {
            placed(shop, given, "DE").await
        }),
    ]
}

/// A cart with three pieces of a product of which there are so many.
async fn basket(shop: &Shop, pieces: i64, card: &str) -> Names {
    let (customer, sku) = (uuid(), product(shop, pieces).await.sku);
    let request = SetCartLinesRequest {
        request_id: uuid(),
        customer_id: customer.clone(),
        lines: vec![CartLine { sku: sku.clone(), quantity: 3 }],
        etag: String::new(),
    };
    let cart = shop.carts().set_cart_lines(request).await.unwrap().into_inner().cart.unwrap();
    assert_eq!(cart.lines.len(), 1);
    Names::of([
        ("sku", sku),
        ("card", shop.card(card).await),
        ("customer", customer),
        ("request", uuid()),
    ])
}

async fn enough(shop: &Shop) -> Names {
    basket(shop, 9, GOOD_CARD).await
}

async fn too_few(shop: &Shop) -> Names {
    basket(shop, 2, GOOD_CARD).await
}

async fn never_any(shop: &Shop) -> Names {
    basket(shop, 0, GOOD_CARD).await
}

async fn broke(shop: &Shop) -> Names {
    basket(shop, 9, HAS_NO_MONEY).await
}

async fn stubborn(shop: &Shop) -> Names {
    basket(shop, 9, REFUSES_CAPTURE).await
}

/// Somebody has reserved other pieces by the key that the order will use.
async fn reserved(shop: &Shop) -> Names {
    let given = enough(shop).await;
    let order = order_id(&given);
    let key = step_key(&order, "reserve");
    let request = ReserveStockRequest {
        request_id: key.clone(),
        order_id: order.clone(),
        lines: vec![ReservationLine { sku: given.get("sku").to_owned(), quantity: 1 }],
        hold: None,
    };
    shop.inventory().reserve_stock(request).await.unwrap();
    given.with(&Names::of([("order", order), ("reserve", key)]))
}

/// The parcel has been announced, let go and handed to a carrier already, under the keys that the order
/// will use; orders has heard of that, and knew no such order.
async fn gone(shop: &Shop) -> Names {
    let given = enough(shop).await;
    let order = order_id(&given);
    let shipment_id = step_key(&order, "create_shipment");
    let create = CreateShipmentRequest {
        request_id: shipment_id.clone(),
        order_id: order.clone(),
        address: Some(address("DE")),
        customer_id: given.get("customer").to_owned(),
        ..Default::default()
    };
    shop.shipping().create_shipment(create).await.unwrap();
    let release = ReleaseShipmentRequest { request_id: uuid(), shipment_id };
    shop.shipping().release_shipment(release).await.unwrap();
    let heard = async || shop.count("orders", "SELECT count(*) FROM inbox").await;
    let before = heard().await;
    report(shop, &order, ShipmentState::Dispatched).await.unwrap();
    eventually("orders to hear that it left", async || heard().await > before).await;
    given.with(&of_order(&order))
}

/// What becomes of an order whose cancel only shipping can refuse; or that shipping is asked again,
/// because its refusal says nothing.
async fn cancelled_too_late(shop: &Shop, told: Told) -> Told {
    let order = told.names.get("order");
    let asked = async || {
        let labels = [("rpc_method", CANCEL_SHIPMENT)];
        shop.metric("orders", "rpc_client_call_duration_seconds_count", &labels).await
    };
    let before = asked().await;
    cancel(shop, order).await.unwrap();
    let asks_again = eventually("the cancel to be refused, or asked for again", async || {
        if shop.order(order).await.state() == OrderState::Shipped {
            return Some(false);
        }
        (asked().await > before + 1.0).then_some(true)
    });
    if asks_again.await {
        return Told { outcome: json!("asks again"), names: told.names };
    }
    shop.rests(order).await;
    Told { outcome: seen(shop, order).await, names: told.names }
}

/// The id that the order will have.
fn order_id(given: &Names) -> String {
    let customer: Uuid = given.get("customer").parse().unwrap();
    let request: Uuid = given.get("request").parse().unwrap();
    Uuid::new_v5(&customer, request.as_bytes()).to_string()
}

/// What becomes of the order that the cart is made to.
async fn placed(shop: &Shop, given: &Names, country: &str) -> Told {
    let customer_id = given.get("customer");
    let cart = shop::orders::v1::GetCartRequest { customer_id: customer_id.to_owned() };
    let cart = shop.carts().get_cart(cart).await.unwrap().into_inner().cart.unwrap();
    let request = json!({
        "request_id": given.get("request"),
        "customer_id": customer_id,
        "cart_etag": cart.etag,
        "address": {
            "recipient": "Ada Lovelace",
            "lines": ["Analytical Street 1"],
            "city": "Berlin",
            "postal_code": "10115",
            "country_code": country,
        },
        "card_token": given.get("card"),
    });
    let answer = ask(shop, PLACE, request).await;
    let order = order_id(given);
    let names = of_order(&order);
    if answer.get("order").is_none() {
        return Told { outcome: answer, names };
    }
    eventually("the order to be settled or parked", async || {
        let state = shop.order(&order).await.state();
        is_settled(state).then_some(())
    })
    .await;
    if shop.order(&order).await.state() != OrderState::NeedsAttention {
        shop.rests(&order).await;
    }
    Told { outcome: seen(shop, &order).await, names }
}

/// The same order, once it has come to its end.
async fn ended(shop: &Shop, told: Told, state: OrderState) -> Told {
    let order = told.names.get("order").to_owned();
    shop.comes_to(&order, state).await;
    shop.rests(&order).await;
    Told { outcome: seen(shop, &order).await, names: told.names }
}

/// What customers see of an order.
async fn seen(shop: &Shop, order: &str) -> Value {
    let found = ask(shop, GET, json!({ "order_id": order })).await["order"].take();
    let shown = ["state", "lines", "total", "reason"];
    shown.iter().map(|name| ((*name).to_owned(), found[*name].clone())).collect()
}

/// What is known of an order by which its calls are recognised.
pub fn of_order(order: &str) -> Names {
    let keys = STEPS.map(|step| (step, step_key(order, step)));
    Names::of(keys).with(&Names::of([("order", order.to_owned())]))
}
