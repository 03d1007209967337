//! What no cart can hold.

use shop::orders::v1::{CartLine, GetCartRequest, SetCartLinesRequest};
use tonic::Code;

use super::{NO_UUIDS, malformed, refused};
use crate::shop::{Shop, uuid};

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_that_cannot_be_is_refused_with_the_fields_name() {
    let shop = Shop::open().await;
    let sku = shop.stocked(1).await;
    let before = shop.rows().await;
    let set = |request| {
        let mut carts = shop.carts();
        async move { carts.set_cart_lines(request).await }
    };
    let with = |lines: Vec<CartLine>| SetCartLinesRequest { lines, ..empty() };
    let line = |sku: &str, quantity| CartLine { sku: sku.to_owned(), quantity };

    for id in NO_UUIDS.map(str::to_owned) {
        let request = SetCartLinesRequest { request_id: id.clone(), ..empty() };
        malformed(set(request).await, "UUID_MALFORMED", "request_id");
        let request = SetCartLinesRequest { customer_id: id.clone(), ..empty() };
        malformed(set(request).await, "UUID_MALFORMED", "customer_id");
        let request = GetCartRequest { customer_id: id };
        malformed(shop.carts().get_cart(request).await, "UUID_MALFORMED", "customer_id");
    }
    for quantity in [0, -1, i64::MIN, 1_000_001, i64::MAX] {
        let answer = set(with(vec![line(&sku, 1), line("B", quantity)])).await;
        malformed(answer, "NUMBER_OUT_OF_RANGE", "lines[1].quantity");
    }
    for wrong in ["", "mug", "MUG BLUE", "MÜG", "A'; DROP TABLE carts", &"A".repeat(41)] {
        malformed(set(with(vec![line(wrong, 1)])).await, "SKU_MALFORMED", "lines[0].sku");
    }
    let twice = with(vec![line(&sku, 1), line(&sku, 2)]);
    malformed(set(twice).await, "SKU_REPEATED", "lines[1].sku");
    for count in [101, 10_000] {
        let lines = (0..count).map(|n| line(&format!("SKU-{n}"), 1)).collect();
        malformed(set(with(lines)).await, "COUNT_OUT_OF_RANGE", "lines");
    }
    for etag in ["x", "-1", "99999999999999999999"] {
        let request = SetCartLinesRequest { etag: etag.to_owned(), ..empty() };
        malformed(set(request).await, "ETAG_MALFORMED", "etag");
    }
    let changed = SetCartLinesRequest { etag: "7".to_owned(), ..empty() };
    refused(set(changed).await, Code::Aborted, "CART_CHANGED", "etag");

    assert_eq!(shop.rows().await, before);
    shop.platform.shutdown().await;
}

/// A request that is right, and empties the cart of a new customer.
fn empty() -> SetCartLinesRequest {
    let (request_id, customer_id) = (uuid(), uuid());
    SetCartLinesRequest { request_id, customer_id, lines: Vec::new(), etag: String::new() }
}
