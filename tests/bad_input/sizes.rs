//! Messages that are too large to be read.

use shop::{
    catalog::v1::GetProductRequest,
    inventory::v1::GetStockRequest,
    orders::v1::{CartLine, PlaceOrderRequest, SetCartLinesRequest},
    payments::v1::AuthorizePaymentRequest,
    processor::v1::TokenizeCardRequest,
    shipping::v1::CreateShipmentRequest,
};
use tonic::Code;

use super::refused;
use crate::shop::{GOOD_CARD, Shop, address, uuid};

/// More than the 4 MiB that a message may have.
const LARGE: usize = 5 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_five_megabytes_is_refused_by_every_service() {
    let shop = Shop::open().await;
    let sku = shop.stocked(9).await;
    let right = shop.order_of(&sku, 1, GOOD_CARD).await;
    let before = shop.rows().await;
    let large = "X".repeat(LARGE);
    let (code, why) = (Code::ResourceExhausted, "MESSAGE_TOO_LARGE");

    let place = PlaceOrderRequest { card_token: large.clone(), ..right.clone() };
    refused(shop.orders().place_order(place).await, code, why, "");
    let (request_id, customer_id, etag) = (uuid(), uuid(), String::new());
    let lines = vec![CartLine { sku: large.clone(), quantity: 1 }];
    let cart = SetCartLinesRequest { request_id, customer_id, lines, etag };
    refused(shop.carts().set_cart_lines(cart).await, code, why, "");
    let product = GetProductRequest { sku: large.clone() };
    refused(shop.catalog().get_product(product).await, code, why, "");
    let stock = GetStockRequest { sku: large.clone() };
    refused(shop.inventory().get_stock(stock).await, code, why, "");
    let (request_id, order_id, card_token) = (uuid(), uuid(), large.clone());
    let pay = AuthorizePaymentRequest { request_id, order_id, amount: None, card_token };
    refused(shop.payments().authorize_payment(pay).await, code, why, "");
    let (request_id, card_number) = (uuid(), large.clone());
    let card = TokenizeCardRequest { request_id, card_number, expiry_month: 1, expiry_year: 2040 };
    refused(shop.cards().tokenize_card(card).await, code, why, "");
    let mut nowhere = address("DE");
    nowhere.city = large;
    let (request_id, order_id) = (uuid(), uuid());
    let ship = CreateShipmentRequest {
        request_id,
        order_id,
        address: Some(nowhere),
        ..CreateShipmentRequest::default()
    };
    refused(shop.shipping().create_shipment(ship).await, code, why, "");

    assert_eq!(shop.rows().await, before);
    for process in shop.platform.services() {
        assert_eq!(process.starts(), 1, "{} lives on", process.name());
    }
    shop.place(right).await.unwrap();
    shop.quiet().await;
    shop.platform.shutdown().await;
}
