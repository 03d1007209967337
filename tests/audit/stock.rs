//! Pieces that are not where they should be.

use shop::inventory::v1::{AdjustStockRequest, AdjustmentReason};
use uuid::Uuid;

use super::{
    Shop, Story,
    corruptions::{Corruption, corruption, deleted, of, off_by_one},
    uuid,
};

const MOVEMENT: &str = "id, sku, from_bucket, to_bucket, quantity, reservation_id, order_id, at";
const ADJUSTMENT: &str = "id, sku, from_bucket, to_bucket, quantity, adjustment_id, at";

/// Corrects the books for every reason, in every direction: nothing that an auditor minds.
pub async fn adjusted(shop: &Shop, sku: &str) {
    use AdjustmentReason::{Counted, Damaged, Found, ReturnedToSupplier};
    for (quantity, reason) in
        [(-3, Counted), (2, Counted), (-4, Damaged), (1, Found), (-5, ReturnedToSupplier)]
    {
        let (request_id, sku, note) = (uuid(), sku.to_owned(), String::new());
        let reason = reason.into();
        let request = AdjustStockRequest { request_id, sku, quantity, reason, note };
        shop.inventory().adjust_stock(request).await.unwrap();
    }
}

/// Sums that do not come out.
pub fn balances(story: &Story) -> Vec<Corruption> {
    let of_sku = format!("sku = '{}'", story.sku);
    let shipped = format!("order_id = '{}'", story.shipped.order_id);
    let confirmed = format!("order_id = '{}'", story.confirmed.order_id);
    vec![
        corruption(
            "a balance that is off",
            &["stock"],
            [of("inventory", off_by_one("stock", "on_hand", &of_sku, 1))],
        ),
        corruption(
            "a movement that was deleted",
            &["stock"],
            [of("inventory", deleted("movements", MOVEMENT, &shipped))],
        ),
        corruption(
            "a reservation of more than was ordered and moved",
            &["stock", "reservations"],
            [of("inventory", off_by_one("reservations", "quantities[1]", &confirmed, 1))],
        ),
        corruption(
            "an adjustment of more than was moved",
            &["stock"],
            [of("inventory", off_by_one("adjustments", "quantity", "reason = 'damaged'", -1))],
        ),
        corruption(
            "a movement of an adjustment that was deleted",
            &["stock"],
            [of("inventory", deleted("movements", ADJUSTMENT, "adjustment_id IS NOT NULL"))],
        ),
    ]
}

/// Sums that come out, for orders that have come elsewhere.
pub fn reservations(story: &Story) -> Vec<Corruption> {
    let (confirmed, rejected) = (&story.confirmed.order_id, &story.rejected.order_id);
    let moved = |order: &str, state: &str, from: &str, to: &str| {
        of("inventory", moved(&story.sku, order, state, from, to))
    };
    vec![
        corruption(
            "pieces that stay reserved for a rejected order",
            &["reservations"],
            [moved(rejected, "reserved", "on_hand", "reserved")],
        ),
        corruption(
            "pieces that a confirmed order has not",
            &["reservations"],
            [moved(confirmed, "restocked", "committed", "on_hand")],
        ),
        corruption(
            "pieces that did not leave with their parcel",
            &["reservations"],
            [moved(&story.shipped.order_id, "committed", "shipped", "committed")],
        ),
    ]
}

/// Brings an order's two pieces elsewhere, by all of inventory's books.
fn moved(sku: &str, order: &str, state: &str, from: &str, to: &str) -> (String, String) {
    let stray = Uuid::nil();
    let stock = |from: &str, to: &str| {
        format!("UPDATE stock SET {from} = {from} - 2, {to} = {to} + 2 WHERE sku = '{sku}'")
    };
    let change = format!(
        "UPDATE reservations SET states = states || '{state}'::text WHERE order_id = '{order}';
         INSERT INTO movements (sku, from_bucket, to_bucket, quantity, order_id)
         VALUES ('{sku}', '{from}', '{to}', 2, '{stray}');
         {}",
        stock(from, to)
    );
    let back = format!(
        "UPDATE reservations SET states = trim_array(states, 1) WHERE order_id = '{order}';
         DELETE FROM movements WHERE order_id = '{stray}';
         {}",
        stock(to, from)
    );
    (change, back)
}
