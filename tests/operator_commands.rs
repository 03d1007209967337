//! What an operator types when something is stuck, from the list to its end: `sagas` and `dlq`.

use std::collections::BTreeSet;

use mesh_testkit::eventually;
use serde_json::{Value, json};
use shop::{
    inventory::v1::ReservationState, orders::v1::OrderState, processor::v1::ChargeState,
    shipping::v1::ShipmentState,
};

use crate::{
    evidence::step_key,
    home::Home,
    orders_and_money::{
        operators::{impatient_shop, orders_that_cannot_be_paid_back},
        report,
    },
    shop::{Shop, uuid},
};

const NOTE: &str = "voided at the processor by telephone";
const NO_SAGA: &str = "every saga has ended";
const NO_LETTER: &str = "no dead letters";

#[tokio::test(flavor = "multi_thread")]
async fn parked_orders_are_listed_and_shown_and_end_as_the_operator_says() {
    let shop = impatient_shop().await;
    let home = Home::of(&shop, Value::Null).await;
    assert!(home.prints(&["sagas"]).await.contains(NO_SAGA));
    let orders: [String; 3] = orders_that_cannot_be_paid_back(&shop).await;
    for order in &orders {
        shop.comes_to(order, OrderState::NeedsAttention).await;
    }
    shop.platform.service("processor").up();
    shop.platform.service("processor").ready().await;
    // The checkout's time is short here; told to go on earlier, all of it may pass before the next attempt.
    for (service, target) in
        [("payments", "processor"), ("orders", "payments"), ("orders", "shipping")]
    {
        shop.finds_again(service, target).await;
    }

    they_are_seen(&home, &orders).await;
    let [retried, turned_back, resolved] = &orders;
    let ended = home.tells(&["sagas", "resolve", resolved, "--note", NOTE]).await;
    assert_eq!((&ended["saga_id"], &ended["state"]), (&json!(resolved), &json!("ended")));
    assert!(home.prints(&["sagas", "show", resolved]).await.contains(NOTE));
    assert_eq!(shop.order(resolved).await.reason.unwrap().detail, NOTE);

    let resumed = home.tells(&["sagas", "retry", retried]).await;
    assert!(resumed["saga_id"] == *retried && resumed["state"] != "parked", "{resumed:#}");
    assert!(home.prints(&["sagas", "compensate", turned_back]).await.contains(turned_back));

    shop.comes_to(retried, OrderState::Rejected).await;
    shop.comes_to(turned_back, OrderState::Cancelled).await;
    for order in [retried, turned_back] {
        shop.money_agrees(order).await;
        assert_eq!(shop.charge(order).await.unwrap().state(), ChargeState::Voided);
    }
    eventually("every saga to have ended", async || {
        home.prints(&["sagas"]).await.contains(NO_SAGA)
    })
    .await;
    a_mistake_is_told(&home, retried).await;
    shop.platform.shutdown().await;
}

/// In the list, for people and for programs, and each by itself.
async fn they_are_seen(home: &Home, orders: &[String]) {
    let listed = home.tells(&["sagas", "list", "--parked"]).await;
    let listed = listed.as_array().unwrap();
    let ids: BTreeSet<&str> = listed.iter().map(|saga| saga["saga_id"].as_str().unwrap()).collect();
    assert_eq!(ids, orders.iter().map(String::as_str).collect::<BTreeSet<_>>());
    for saga in listed {
        assert!(saga["service"] == "orders" && saga["state"] == "parked", "{saga:#}");
        assert_eq!(saga["reason"], "CHECKOUT_OVERDUE", "{saga:#}");
    }
    let list = home.prints(&["sagas"]).await;
    for order in orders.iter().map(String::as_str) {
        let line = list.lines().find(|line| line.contains(order)).unwrap();
        assert!(line.contains("parked") && line.contains("CHECKOUT_OVERDUE"), "{line}");

        let shown = home.prints(&["sagas", "show", order]).await;
        for word in [order, "orders", "parked", "OrderPlaced", "OrderNeedsAttention"] {
            assert!(shown.contains(word), "no {word} in {shown}");
        }
    }
}

/// What cannot be done changes nothing, and is told with why.
async fn a_mistake_is_told(home: &Home, ended: &str) {
    let stranger = uuid();
    for (arguments, code, why) in [
        (&["sagas", "retry", ended][..], 1, "SAGA_NOT_PARKED"),
        (&["sagas", "compensate", ended], 1, "SAGA_NOT_PARKED"),
        (&["sagas", "show", &stranger], 1, "no service has a saga"),
        (&["sagas", "resolve", ended], 2, "--note"),
    ] {
        let refused = home.ends(arguments).await;
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(why), "{arguments:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_listed_and_shown_and_applied_once_its_cause_is_gone() {
    let shop = Shop::open().await;
    let home = Home::of(&shop, Value::Null).await;
    assert!(home.prints(&["dlq"]).await.contains(NO_LETTER));
    let order = shop.simple_order().await.order_id;
    shop.comes_to(&order, OrderState::Confirmed).await;
    shop.rests(&order).await;
    // A parcel leaves whose pieces were not sold, as far as inventory knows.
    reservation_went_through(&shop, &order, &["reserved", "released"]).await;
    report(&shop, &order, ShipmentState::Dispatched).await.unwrap();

    let letter = eventually("the event to be given up", async || {
        let letters = home.tells(&["dlq"]).await;
        letters.as_array().unwrap().first().cloned()
    })
    .await;
    let key = step_key(&order, "create_shipment");
    it_says_what_it_is(&home, &letter, &key).await;

    let again = home.ends(&["dlq", "redrive", "shipping", &key]).await;
    let said = String::from_utf8_lossy(&again.stdout);
    assert_eq!(again.status.code(), Some(1), "{said}");
    assert!(said.contains("1 left") && !home.prints(&["dlq"]).await.contains(NO_LETTER), "{said}");

    reservation_went_through(&shop, &order, &["reserved", "committed"]).await;
    let redriven = home.tells(&["dlq", "redrive", "shipping", &key]).await;
    let by_inventory = redriven.as_array().unwrap().iter().find(|it| it["service"] == "inventory");
    let by_inventory = by_inventory.unwrap();
    assert_eq!((&by_inventory["applied"], &by_inventory["remaining"]), (&json!(1), &json!(0)));
    assert!(home.prints(&["dlq"]).await.contains(NO_LETTER));
    let reservation = shop.reservation(&order).await.unwrap();
    assert_eq!(reservation.state(), ReservationState::Shipped);
    shop.comes_to(&order, OrderState::Shipped).await;
    shop.audit_is_clean().await;
    shop.platform.shutdown().await;
}

async fn it_says_what_it_is(home: &Home, letter: &Value, key: &str) {
    let kind = "shop.shipping.v1.ShipmentDispatched";
    for (field, value) in [
        ("service", "inventory"),
        ("stream", "shipping"),
        ("type", kind),
        ("key", key),
        ("reason", "failed"),
    ] {
        assert_eq!(letter[field], value, "{letter:#}");
    }
    let (event, error) = (letter["event_id"].as_str().unwrap(), letter["error"].as_str().unwrap());
    assert!(!error.is_empty() && letter.get("body").is_none(), "{letter:#}");
    let list = home.prints(&["dlq"]).await;
    let line = list.lines().find(|line| line.contains(event)).unwrap();
    assert!(line.contains("ShipmentDispatched") && line.contains(error), "{line}");

    let one = home.tells(&["dlq", "show", "shipping", event]).await;
    let body = one["body"].as_str().unwrap();
    let shown = home.prints(&["dlq", "show", "shipping", event]).await;
    for word in [event, kind, key, error, body] {
        assert!(shown.contains(word), "no {word} in {shown}");
    }
    let stranger = home.ends(&["dlq", "show", "shipping", &uuid()]).await;
    assert_eq!(stranger.status.code(), Some(1));
}

/// Writes down what became of an order's reservation, as no service would.
async fn reservation_went_through(shop: &Shop, order: &str, states: &[&str]) {
    let pool = shop.pool("inventory").await;
    let changed = sqlx::query("UPDATE reservations SET states = $1 WHERE order_id = $2::uuid")
        .bind(states)
        .bind(order)
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(changed.rows_affected(), 1);
    pool.close().await;
}
