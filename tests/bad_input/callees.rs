//! What inventory, payments, the processor, shipping and the catalog refuse.

use shop::{
    catalog::v1::{
        ArchiveProductRequest, BatchGetProductsRequest, CreateCategoryRequest,
        CreateProductRequest, GetCategoryRequest, GetProductRequest, ListProductsRequest,
        SearchProductsRequest, UpdateProductRequest,
    },
    common::v1::Money,
    inventory::v1::{
        CommitReservationRequest, GetReservationRequest, GetStockRequest, ReceiveStockRequest,
        ReservationLine, ReserveStockRequest,
    },
    payments::v1::{AuthorizePaymentRequest, CapturePaymentRequest, RefundPaymentRequest},
    processor::v1::{AuthorizeChargeRequest, TokenizeCardRequest},
    shipping::v1::{CreateShipmentRequest, RecordCarrierUpdateRequest, ShipmentState},
};
use tonic::Code;

use super::{NO_UUIDS, malformed, orders::addresses_that_cannot_be, refused};
use crate::shop::{GOOD_CARD, Shop, address, uuid};

#[tokio::test(flavor = "multi_thread")]
async fn stock_that_cannot_be_is_neither_received_nor_reserved() {
    let shop = Shop::open().await;
    let sku = shop.stocked(9).await;
    let before = shop.rows().await;
    let receive = |sku: &str, quantity| {
        let request = ReceiveStockRequest { request_id: uuid(), sku: sku.to_owned(), quantity };
        let mut inventory = shop.inventory();
        async move { inventory.receive_stock(request).await }
    };
    let reserve = |request| {
        let mut inventory = shop.inventory();
        async move { inventory.reserve_stock(request).await }
    };
    let line = |sku: &str, quantity| ReservationLine { sku: sku.to_owned(), quantity };
    let with =
        |lines| ReserveStockRequest { request_id: uuid(), order_id: uuid(), lines, hold: None };

    for quantity in [0, -1, i64::MIN, 1_000_001, i64::MAX] {
        malformed(receive(&sku, quantity).await, "NUMBER_OUT_OF_RANGE", "quantity");
        let answer = reserve(with(vec![line(&sku, quantity)])).await;
        malformed(answer, "NUMBER_OUT_OF_RANGE", "lines[0].quantity");
    }
    malformed(receive("mug", 1).await, "SKU_MALFORMED", "sku");
    malformed(reserve(with(vec![line("mug", 1)])).await, "SKU_MALFORMED", "lines[0].sku");
    let twice = with(vec![line(&sku, 1), line(&sku, 1)]);
    malformed(reserve(twice).await, "SKU_REPEATED", "lines[1].sku");
    for count in [0, 101, 10_000] {
        let lines = (0..count).map(|n| line(&format!("SKU-{n}"), 1)).collect();
        malformed(reserve(with(lines)).await, "COUNT_OUT_OF_RANGE", "lines");
    }
    for seconds in [-1, 0, 86_401, i64::MAX] {
        let hold = Some(prost_types::Duration { seconds, nanos: 0 });
        let request = ReserveStockRequest { hold, ..with(vec![line(&sku, 1)]) };
        malformed(reserve(request).await, "HOLD_OUT_OF_RANGE", "hold");
    }
    for id in NO_UUIDS.map(str::to_owned) {
        let request = ReserveStockRequest { order_id: id.clone(), ..with(vec![line(&sku, 1)]) };
        malformed(reserve(request).await, "UUID_MALFORMED", "order_id");
        let (request_id, reservation_id) = (uuid(), id.clone());
        let request = CommitReservationRequest { request_id, reservation_id };
        let answer = shop.inventory().commit_reservation(request).await;
        malformed(answer, "UUID_MALFORMED", "reservation_id");
        let request = GetReservationRequest { reservation_id: id };
        let answer = shop.inventory().get_reservation(request).await;
        malformed(answer, "UUID_MALFORMED", "reservation_id");
    }
    let unknown = reserve(with(vec![line(&sku, 1), line("NEVER-SEEN", 1)])).await;
    refused(unknown, Code::FailedPrecondition, "SKU_UNKNOWN", "lines[1].sku");
    let much = reserve(with(vec![line(&sku, 10)])).await;
    refused(much, Code::FailedPrecondition, "OUT_OF_STOCK", "lines[0].quantity");
    let never = GetStockRequest { sku: "NEVER-SEEN".to_owned() };
    refused(shop.inventory().get_stock(never).await, Code::NotFound, "SKU_NOT_FOUND", "sku");
    let (request_id, reservation_id) = (uuid(), uuid());
    let never = CommitReservationRequest { request_id, reservation_id };
    let answer = shop.inventory().commit_reservation(never).await;
    refused(answer, Code::NotFound, "RESERVATION_NOT_FOUND", "reservation_id");

    assert_eq!(shop.rows().await, before);
    assert_eq!(shop.pieces(&sku).await, [9, 0, 0, 0]);
    shop.platform.shutdown().await;
}

/// Amounts that cannot be, and what is wrong with each.
fn amounts_that_cannot_be() -> Vec<(Option<Money>, &'static str, &'static str)> {
    let money = |currency: &str, units, nanos| {
        Some(Money { currency_code: currency.to_owned(), units, nanos })
    };
    vec![
        (None, "FIELD_MISSING", "amount"),
        (money("EUR", 0, 0), "AMOUNT_OUT_OF_RANGE", "amount.units"),
        (money("EUR", -1, 0), "AMOUNT_OUT_OF_RANGE", "amount.units"),
        (money("EUR", i64::MAX, 0), "AMOUNT_OUT_OF_RANGE", "amount.units"),
        // A tenth of a cent; half a yen; a whole unit; of another sign.
        (money("EUR", 1, 1_000_000), "AMOUNT_MALFORMED", "amount.nanos"),
        (money("JPY", 1, 500_000_000), "AMOUNT_MALFORMED", "amount.nanos"),
        (money("EUR", 1, 1_000_000_000), "AMOUNT_MALFORMED", "amount.nanos"),
        (money("EUR", 1, -10_000_000), "AMOUNT_MALFORMED", "amount.nanos"),
        (money("", 1, 0), "CURRENCY_UNKNOWN", "amount.currency_code"),
        (money("eur", 1, 0), "CURRENCY_UNKNOWN", "amount.currency_code"),
        (money("XXX", 1, 0), "CURRENCY_UNKNOWN", "amount.currency_code"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_amount_that_cannot_be_is_neither_authorized_nor_refunded() {
    let shop = Shop::open().await;
    let card_token = shop.card(GOOD_CARD).await;
    let before = shop.rows().await;
    let amount = || Some(Money { currency_code: "EUR".to_owned(), units: 1, nanos: 0 });
    let authorize = |request_id: String, amount, card_token: &str| {
        let (order_id, card_token) = (uuid(), card_token.to_owned());
        let request = AuthorizePaymentRequest { request_id, order_id, amount, card_token };
        let mut payments = shop.payments();
        async move { payments.authorize_payment(request).await }
    };
    let charge = |request_id: String, amount, card_token: &str| {
        let card_token = card_token.to_owned();
        let request = AuthorizeChargeRequest { request_id, card_token, amount };
        let mut processor = shop.processor();
        async move { processor.authorize_charge(request).await }
    };

    let capture = |payment_id, amount| {
        let request = CapturePaymentRequest { request_id: uuid(), payment_id, amount };
        let mut payments = shop.payments();
        async move { payments.capture_payment(request).await }
    };

    for (wrong, why, field) in amounts_that_cannot_be() {
        malformed(authorize(uuid(), wrong.clone(), &card_token).await, why, field);
        malformed(charge(uuid(), wrong.clone(), &card_token).await, why, field);
        let (request_id, payment_id) = (uuid(), uuid());
        let refund = RefundPaymentRequest { request_id, payment_id, amount: wrong.clone() };
        malformed(shop.payments().refund_payment(refund).await, why, field);
        if wrong.is_some() {
            malformed(capture(uuid(), wrong).await, why, field);
        }
    }
    for id in NO_UUIDS.map(str::to_owned) {
        const WHY: &str = "UUID_MALFORMED";
        malformed(authorize(id.clone(), amount(), &card_token).await, WHY, "request_id");
        malformed(charge(id.clone(), amount(), &card_token).await, WHY, "request_id");
        malformed(capture(id, None).await, WHY, "payment_id");
    }
    for token in [String::new(), "x".repeat(101)] {
        const WHY: &str = "TEXT_LENGTH_OUT_OF_RANGE";
        malformed(authorize(uuid(), amount(), &token).await, WHY, "card_token");
        malformed(charge(uuid(), amount(), &token).await, WHY, "card_token");
    }
    let unknown = charge(uuid(), amount(), "card_unknown").await;
    refused(unknown, Code::FailedPrecondition, "CARD_TOKEN_UNKNOWN", "card_token");
    refused(capture(uuid(), None).await, Code::NotFound, "PAYMENT_NOT_FOUND", "payment_id");

    assert_eq!(shop.rows().await, before);
    shop.platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_that_cannot_be_gets_no_token_and_is_repeated_nowhere() {
    let shop = Shop::open().await;
    let before = shop.rows().await;
    let tokenize = |request| {
        let mut cards = shop.cards();
        async move { cards.tokenize_card(request).await }
    };
    let right = || TokenizeCardRequest {
        request_id: uuid(),
        card_number: GOOD_CARD.to_owned(),
        expiry_month: 12,
        expiry_year: 2040,
    };

    for number in ["", "4242", "4242424242424241", "4242-4242-4242-4242", &"4".repeat(40)] {
        let request = TokenizeCardRequest { card_number: number.to_owned(), ..right() };
        let answer = tokenize(request).await;
        if let (Err(status), true) = (&answer, number.len() > 4) {
            assert!(!format!("{status:?}").contains(number), "the answer repeats the number");
        }
        malformed(answer, "CARD_NUMBER_MALFORMED", "card_number");
    }
    for expiry_month in [0, 13, -1] {
        let request = TokenizeCardRequest { expiry_month, ..right() };
        malformed(tokenize(request).await, "NUMBER_OUT_OF_RANGE", "expiry_month");
    }
    for expiry_year in [0, 1999, 2101] {
        let request = TokenizeCardRequest { expiry_year, ..right() };
        malformed(tokenize(request).await, "NUMBER_OUT_OF_RANGE", "expiry_year");
    }
    for request_id in NO_UUIDS.map(str::to_owned) {
        let request = TokenizeCardRequest { request_id, ..right() };
        malformed(tokenize(request).await, "UUID_MALFORMED", "request_id");
    }

    assert_eq!(shop.rows().await, before);
    assert!(!shop.platform.service("processor").log().contains("4242424242424241"));
    shop.platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parcel_that_cannot_be_is_neither_announced_nor_reported() {
    let shop = Shop::open().await;
    let before = shop.rows().await;
    let create = |address| {
        let request = CreateShipmentRequest {
            request_id: uuid(),
            order_id: uuid(),
            address,
            ..CreateShipmentRequest::default()
        };
        let mut shipping = shop.shipping();
        async move { shipping.create_shipment(request).await }
    };
    let report = |shipment_id: String, state: i32| {
        let request = RecordCarrierUpdateRequest { request_id: uuid(), shipment_id, state };
        let mut shipping = shop.shipping();
        async move { shipping.record_carrier_update(request).await }
    };

    malformed(create(None).await, "FIELD_MISSING", "address");
    for (wrong, why, field) in addresses_that_cannot_be() {
        malformed(create(Some(wrong)).await, why, field);
    }
    for country in ["AQ", "ZZ"] {
        let answer = create(Some(address(country))).await;
        let code = Code::FailedPrecondition;
        refused(answer, code, "ADDRESS_NOT_SERVED", "address.country_code");
    }
    for state in [0, 1, 2, 6] {
        malformed(report(uuid(), state).await, "STATE_NOT_REPORTABLE", "state");
    }
    for state in [7, 99, -1, i32::MAX] {
        malformed(report(uuid(), state).await, "ENUM_UNKNOWN", "state");
    }
    let dispatched = ShipmentState::Dispatched.into();
    for id in NO_UUIDS {
        malformed(report(id.to_owned(), dispatched).await, "UUID_MALFORMED", "shipment_id");
    }
    let never = report(uuid(), dispatched).await;
    refused(never, Code::NotFound, "SHIPMENT_NOT_FOUND", "shipment_id");

    assert_eq!(shop.rows().await, before);
    shop.platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_the_catalog_cannot_answer_is_refused() {
    let shop = Shop::open().await;
    let batch = |skus: Vec<String>| {
        let mut catalog = shop.catalog();
        async move { catalog.batch_get_products(BatchGetProductsRequest { skus }).await }
    };
    let list = |page_size, page_token: &str| {
        let page_token = page_token.to_owned();
        let request = ListProductsRequest { page_size, page_token, ..Default::default() };
        let mut catalog = shop.catalog();
        async move { catalog.list_products(request).await }
    };

    let get = GetProductRequest { sku: "mug".to_owned() };
    malformed(shop.catalog().get_product(get).await, "SKU_MALFORMED", "sku");
    let get = GetProductRequest { sku: "NO-SUCH-THING".to_owned() };
    refused(shop.catalog().get_product(get).await, Code::NotFound, "PRODUCT_NOT_FOUND", "sku");
    malformed(batch(Vec::new()).await, "COUNT_OUT_OF_RANGE", "skus");
    let many = (0..10_000).map(|n| format!("SKU-{n}")).collect();
    malformed(batch(many).await, "COUNT_OUT_OF_RANGE", "skus");
    let twice = vec!["A".to_owned(), "A".to_owned()];
    malformed(batch(twice).await, "SKU_REPEATED", "skus[1]");
    malformed(list(-1, "").await, "PAGE_SIZE_NEGATIVE", "page_size");
    malformed(list(0, "nonsense").await, "PAGE_TOKEN_MALFORMED", "page_token");
    let unheard_of = ListProductsRequest { state: 9, ..Default::default() };
    malformed(shop.catalog().list_products(unheard_of).await, "ENUM_UNKNOWN", "state");
    let wordless = SearchProductsRequest { query: "...".to_owned(), ..Default::default() };
    let found = shop.catalog().search_products(wordless).await;
    malformed(found, "WORD_COUNT_OUT_OF_RANGE", "query");
    for category_id in NO_UUIDS.map(str::to_owned) {
        let get = GetCategoryRequest { category_id };
        malformed(shop.catalog().get_category(get).await, "UUID_MALFORMED", "category_id");
    }
    shop.platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_that_cannot_be_is_neither_made_nor_changed() {
    let shop = Shop::open().await;
    let before = shop.rows().await;
    let free = Some(Money { currency_code: "EUR".to_owned(), ..Default::default() });
    let create = CreateProductRequest {
        request_id: uuid(),
        sku: "SAMOVAR".to_owned(),
        name: "Samovar".to_owned(),
        price: free.clone(),
        ..Default::default()
    };
    let update = UpdateProductRequest {
        request_id: uuid(),
        sku: "MUG-BLUE-350".to_owned(),
        price: free,
        ..Default::default()
    };

    for request_id in NO_UUIDS.map(str::to_owned) {
        let create = CreateProductRequest { request_id: request_id.clone(), ..create.clone() };
        let created = shop.catalog().create_product(create).await;
        malformed(created, "UUID_MALFORMED", "request_id");
        let update = UpdateProductRequest { request_id: request_id.clone(), ..update.clone() };
        let updated = shop.catalog().update_product(update).await;
        malformed(updated, "UUID_MALFORMED", "request_id");
        let archive = ArchiveProductRequest { request_id, ..Default::default() };
        let archived = shop.catalog().archive_product(archive).await;
        malformed(archived, "UUID_MALFORMED", "request_id");
    }
    malformed(shop.catalog().create_product(create).await, "AMOUNT_OUT_OF_RANGE", "price.units");
    malformed(shop.catalog().update_product(update).await, "AMOUNT_OUT_OF_RANGE", "price.units");
    let create = CreateCategoryRequest { request_id: uuid(), ..Default::default() };
    malformed(shop.catalog().create_category(create).await, "SLUG_MALFORMED", "slug");

    assert_eq!(shop.rows().await, before);
    shop.platform.shutdown().await;
}
