//! What cannot be ordered, and what can be ordered but not carried out.

use mesh_rpc::error_metadata;
use shop::{
    common::v1::Address,
    orders::v1::{
        CancelOrderRequest, CartLine, GetOrderRequest, OrderState, PlaceOrderRequest,
        SetCartLinesRequest, WatchOrderRequest,
    },
};
use tonic::Code;

use super::{NO_UUIDS, malformed, refused};
use crate::shop::{GOOD_CARD, Shop, address, uuid};

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_order_is_refused_with_the_fields_name() {
    let shop = Shop::open().await;
    let sku = shop.stocked(9).await;
    let right = shop.order_of(&sku, 1, GOOD_CARD).await;
    let before = shop.rows().await;
    let place = |request| {
        let mut orders = shop.orders();
        async move { orders.place_order(request).await }
    };

    for id in NO_UUIDS.map(str::to_owned) {
        let request = PlaceOrderRequest { request_id: id.clone(), ..right.clone() };
        malformed(place(request).await, "UUID_MALFORMED", "request_id");
        let request = PlaceOrderRequest { customer_id: id, ..right.clone() };
        malformed(place(request).await, "UUID_MALFORMED", "customer_id");
    }
    for cart_etag in ["", "x", "-1"].map(str::to_owned) {
        let request = PlaceOrderRequest { cart_etag, ..right.clone() };
        malformed(place(request).await, "ETAG_MALFORMED", "cart_etag");
    }
    for card_token in [String::new(), "x".repeat(101)] {
        let request = PlaceOrderRequest { card_token, ..right.clone() };
        malformed(place(request).await, "TEXT_LENGTH_OUT_OF_RANGE", "card_token");
    }
    let request = PlaceOrderRequest { card_token: "a\0b".to_owned(), ..right.clone() };
    malformed(place(request).await, "TEXT_MALFORMED", "card_token");
    let request = PlaceOrderRequest { address: None, ..right.clone() };
    malformed(place(request).await, "FIELD_MISSING", "address");
    for (address, why, field) in addresses_that_cannot_be() {
        let request = PlaceOrderRequest { address: Some(address), ..right.clone() };
        malformed(place(request).await, why, field);
    }

    assert_eq!(shop.rows().await, before);
    // None of it has used the request id or the cart up.
    let order = shop.place(right).await.unwrap();
    shop.comes_to(&order.order_id, OrderState::Confirmed).await;
    shop.platform.shutdown().await;
}

pub(super) fn addresses_that_cannot_be() -> Vec<(Address, &'static str, &'static str)> {
    const LENGTH: &str = "TEXT_LENGTH_OUT_OF_RANGE";
    let right = || address("DE");
    let lines = |lines: &[&str]| lines.iter().map(ToString::to_string).collect::<Vec<_>>();
    let long = "x".repeat(201);
    vec![
        (Address { recipient: String::new(), ..right() }, LENGTH, "address.recipient"),
        (Address { recipient: long.clone(), ..right() }, LENGTH, "address.recipient"),
        (
            Address { recipient: "a\nb".to_owned(), ..right() },
            "TEXT_MALFORMED",
            "address.recipient",
        ),
        (Address { lines: Vec::new(), ..right() }, "COUNT_OUT_OF_RANGE", "address.lines"),
        (Address { lines: lines(&["x"; 6]), ..right() }, "COUNT_OUT_OF_RANGE", "address.lines"),
        (Address { lines: lines(&["x", &long]), ..right() }, LENGTH, "address.lines[1]"),
        (Address { city: String::new(), ..right() }, LENGTH, "address.city"),
        (Address { city: "x".repeat(101), ..right() }, LENGTH, "address.city"),
        (Address { postal_code: "1".repeat(21), ..right() }, LENGTH, "address.postal_code"),
        (address(""), "COUNTRY_CODE_MALFORMED", "address.country_code"),
        (address("de"), "COUNTRY_CODE_MALFORMED", "address.country_code"),
        (address("DEU"), "COUNTRY_CODE_MALFORMED", "address.country_code"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_its_cart_does_not_allow_is_refused() {
    let shop = Shop::open().await;
    let sku = shop.stocked(9).await;
    add_product(&shop, "DOLLAR-THING", "USD", 100).await;
    add_product(&shop, "GOLDEN-THING", "EUR", i64::MAX / 2).await;
    let unsold = ordered(&shop, &[(&sku, 1), ("NO-SUCH-THING", 1)]).await;
    let mixed = ordered(&shop, &[(&sku, 1), ("DOLLAR-THING", 1)]).await;
    let golden = ordered(&shop, &[("GOLDEN-THING", 3)]).await;
    let emptied = ordered(&shop, &[]).await;
    let never =
        PlaceOrderRequest { customer_id: uuid(), cart_etag: "0".to_owned(), ..emptied.clone() };
    let changed = ordered(&shop, &[(&sku, 1)]).await;
    let customer_id = changed.customer_id.clone();
    set_cart(&shop, customer_id, &[(&sku, 2)]).await;
    let before = shop.rows().await;
    let place = |request| {
        let mut orders = shop.orders();
        async move { orders.place_order(request).await }
    };

    let status = place(unsold).await.unwrap_err();
    assert_eq!(error_metadata(&status, "sku").unwrap(), "NO-SUCH-THING");
    let (code, line) = (Code::FailedPrecondition, "cart.lines[1].sku");
    refused(Err::<tonic::Response<()>, _>(status), code, "PRODUCT_NOT_SOLD", line);
    refused(place(mixed).await, code, "CURRENCIES_MIXED", "cart.lines");
    refused(place(golden).await, code, "TOTAL_TOO_LARGE", "cart.lines");
    refused(place(emptied).await, code, "CART_EMPTY", "cart.lines");
    refused(place(never).await, code, "CART_EMPTY", "cart.lines");
    refused(place(changed).await, Code::Aborted, "CART_CHANGED", "cart_etag");

    assert_eq!(shop.rows().await, before);
    shop.platform.shutdown().await;
}

async fn add_product(shop: &Shop, sku: &str, currency: &str, price: i64) {
    let pool = shop.pool("catalog").await;
    sqlx::query(
        "INSERT INTO products (sku, product_id, name, description, currency, price_minor)
         VALUES ($1, gen_random_uuid(), $1, '', $2, $3)",
    )
    .bind(sku)
    .bind(currency)
    .bind(price)
    .execute(&pool)
    .await
    .unwrap();
    pool.close().await;
}

/// The cart's etag after its lines were set.
async fn set_cart(shop: &Shop, customer_id: String, lines: &[(&str, i64)]) -> String {
    let line =
        |(sku, quantity): &(&str, i64)| CartLine { sku: (*sku).to_owned(), quantity: *quantity };
    let lines = lines.iter().map(line).collect();
    let request =
        SetCartLinesRequest { request_id: uuid(), customer_id, lines, etag: String::new() };
    let cart = shop.carts().set_cart_lines(request).await.unwrap().into_inner().cart;
    cart.unwrap().etag
}

/// A request of a new customer's for these pieces.
async fn ordered(shop: &Shop, lines: &[(&str, i64)]) -> PlaceOrderRequest {
    let customer_id = uuid();
    let cart_etag = set_cart(shop, customer_id.clone(), lines).await;
    let card_token = shop.card(GOOD_CARD).await;
    let address = Some(address("DE"));
    PlaceOrderRequest { request_id: uuid(), customer_id, cart_etag, address, card_token }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_nobody_can_carry_out_ends_rejected_and_holds_nothing() {
    let shop = Shop::open().await;
    let sku = shop.stocked(9).await;
    add_product(&shop, "UNSEEN-THING", "EUR", 100).await;
    let card = ordered(&shop, &[(&sku, 1)]).await;
    let card = PlaceOrderRequest { card_token: "card_unknown".to_owned(), ..card };
    let nowhere = ordered(&shop, &[(&sku, 1)]).await;
    let nowhere = PlaceOrderRequest { address: Some(address("ZZ")), ..nowhere };
    let unseen = ordered(&shop, &[(&sku, 1), ("UNSEEN-THING", 1)]).await;
    let huge = ordered(&shop, &[(&sku, 1_000_000)]).await;

    for (request, why, detail) in [
        (card, "CARD_DECLINED", "CARD_TOKEN_UNKNOWN"),
        (nowhere, "ADDRESS_NOT_SERVED", ""),
        (unseen, "SKU_UNKNOWN", "UNSEEN-THING"),
        (huge, "OUT_OF_STOCK", sku.as_str()),
    ] {
        let order = shop.place(request).await.unwrap();
        let order = shop.settled(&order.order_id).await;
        let reason = order.reason.unwrap();
        assert_eq!((reason.reason.as_str(), reason.detail.as_str()), (why, detail));
        shop.money_agrees(&order.order_id).await;
        assert_eq!(shop.pieces(&sku).await, [9, 0, 0, 0], "after {why}");
    }
    for (service, sql) in [
        ("orders", "SELECT count(*) FROM order_private"),
        ("shipping", "SELECT count(*) FROM shipment_addresses"),
        ("payments", "SELECT count(*) FROM payments WHERE card_token IS NOT NULL"),
    ] {
        assert_eq!(shop.count(service, sql).await, 0, "personal data is left at {service}");
    }
    shop.audit_is_clean().await;
    shop.platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_about_an_order_that_cannot_be_is_refused() {
    let shop = Shop::open().await;
    let before = shop.rows().await;
    let get = |order_id: &str, as_of_version| {
        let request = GetOrderRequest { order_id: order_id.to_owned(), as_of_version };
        let mut orders = shop.orders();
        async move { orders.get_order(request).await }
    };
    let watch = |order_id: &str, after_version| {
        let request = WatchOrderRequest { order_id: order_id.to_owned(), after_version };
        let mut orders = shop.orders();
        async move { orders.watch_order(request).await.map(|_| tonic::Response::new(())) }
    };
    let cancel = |request_id: &str, order_id: &str| {
        let (request_id, order_id) = (request_id.to_owned(), order_id.to_owned());
        let request = CancelOrderRequest { request_id, order_id };
        let mut orders = shop.orders();
        async move { orders.cancel_order(request).await }
    };
    let unknown = uuid();

    for id in NO_UUIDS {
        malformed(get(id, 0).await, "UUID_MALFORMED", "order_id");
        malformed(watch(id, 0).await, "UUID_MALFORMED", "order_id");
        malformed(cancel(&unknown, id).await, "UUID_MALFORMED", "order_id");
        malformed(cancel(id, &unknown).await, "UUID_MALFORMED", "request_id");
    }
    malformed(get(&unknown, -1).await, "NUMBER_OUT_OF_RANGE", "as_of_version");
    malformed(watch(&unknown, -1).await, "NUMBER_OUT_OF_RANGE", "after_version");
    refused(get(&unknown, 0).await, Code::NotFound, "ORDER_NOT_FOUND", "order_id");
    refused(get(&unknown, 3).await, Code::NotFound, "ORDER_NOT_FOUND", "order_id");
    refused(watch(&unknown, 0).await, Code::NotFound, "ORDER_NOT_FOUND", "order_id");
    refused(cancel(&unknown, &unknown).await, Code::NotFound, "ORDER_NOT_FOUND", "order_id");
    assert_eq!(shop.rows().await, before);

    let order = shop.simple_order().await;
    let ahead = get(&order.order_id, 99).await;
    refused(ahead, Code::OutOfRange, "VERSION_AHEAD", "as_of_version");
    shop.quiet().await;
    shop.platform.shutdown().await;
}
