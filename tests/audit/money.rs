//! Money that is not where it should be.

use uuid::Uuid;

use super::{
    Story,
    corruptions::{Corruption, corruption, deleted, of, off_by_one},
};

const CHARGE: &str = "charge_id, state, digest, card_token, currency, amount_minor,
    authorized_minor, captured_minor, refunded_minor, decline_reason, refund_refused, create_time";

/// Amounts that are wrong in one book, or in all of them.
pub fn amounts(story: &Story) -> Vec<Corruption> {
    let confirmed = format!("order_id = '{}'", story.confirmed.order_id);
    let key = key(&story.confirmed.order_id);
    let charge = format!("charge_id = '{key}'");
    let entries = |by: &str| {
        format!(
            "UPDATE ledger_entries SET amount_minor = amount_minor {by} sign(amount_minor)::bigint
             WHERE payment_id = '{key}'"
        )
    };
    let of_shop = format!("payment_id = '{key}' AND account = 'shop'");
    vec![
        corruption(
            "a captured amount off by one",
            &["money", "processor", "ledger"],
            [of("payments", off_by_one("payments", "captured_minor", &confirmed, -1))],
        ),
        corruption(
            "one cent too little captured, by everybody's books",
            &["money"],
            [
                of("payments", off_by_one("payments", "captured_minor", &confirmed, -1)),
                of("payments", (entries("-"), entries("+"))),
                of("processor", off_by_one("charges", "captured_minor", &charge, -1)),
            ],
        ),
        corruption(
            "a row of the ledger that was changed",
            &["ledger"],
            [of("payments", off_by_one("ledger_entries", "amount_minor", &of_shop, 1))],
        ),
        open_authorization(story),
    ]
}

fn open_authorization(story: &Story) -> Corruption {
    let key = key(&story.rejected.order_id);
    let (payment, charge) = (format!("payment_id = '{key}'"), format!("charge_id = '{key}'"));
    let held = format!(
        "INSERT INTO ledger_entries (payment_id, version, account, currency, amount_minor)
         SELECT '{key}', 99, account, currency, amount
         FROM payments, (VALUES ('customer', -1), ('held', 1)) AS v(account, amount)
         WHERE payment_id = '{key}'"
    );
    let freed = "DELETE FROM ledger_entries WHERE version = 99".to_owned();
    corruption(
        "an authorization left open for a rejected order",
        &["money"],
        [
            of("payments", off_by_one("payments", "authorized_minor", &payment, 1)),
            of("payments", (held, freed)),
            of("processor", off_by_one("charges", "authorized_minor", &charge, 1)),
        ],
    )
}

/// Payments and charges that nobody else knows.
pub fn rows(story: &Story) -> Vec<Corruption> {
    let (order, stranger) = (&story.confirmed.order_id, Uuid::now_v7());
    let charge = format!("charge_id = '{}'", key(order));
    let give = |to: &str, from: &str| {
        format!("UPDATE payments SET order_id = '{to}' WHERE order_id = '{from}'")
    };
    let unknown = stranger.to_string();
    vec![
        corruption(
            "a payment of an order that nobody knows",
            &["money"],
            [of("payments", (give(&unknown, order), give(order, &unknown)))],
        ),
        corruption(
            "a charge that is missing",
            &["processor"],
            [of("processor", deleted("charges", CHARGE, &charge))],
        ),
        corruption(
            "a charge that payments does not know",
            &["processor"],
            [of(
                "processor",
                (
                    format!(
                        "INSERT INTO charges
                             (charge_id, state, currency, amount_minor, captured_minor)
                         VALUES ('{stranger}', 'CAPTURED', 'EUR', 5, 5)"
                    ),
                    format!("DELETE FROM charges WHERE charge_id = '{stranger}'"),
                ),
            )],
        ),
    ]
}

/// The key of an order's payment, which is also that of its charge.
fn key(order_id: &str) -> Uuid {
    Uuid::new_v5(&Uuid::parse_str(order_id).unwrap(), b"authorize")
}
