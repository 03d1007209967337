//! Rows and messages, each corrupted, found by the right rule, and restored.

use async_nats::jetstream;
use uuid::Uuid;

use super::{Options, Shop, Story, audit, options};

/// What somebody does to a service's rows, and how it is put right.
struct Corruption {
    what: &'static str,
    /// Service, change, and the change back.
    rows: Vec<(&'static str, String, String)>,
    broken: &'static [&'static str],
}

fn corruption(
    what: &'static str,
    broken: &'static [&'static str],
    rows: impl IntoIterator<Item = (&'static str, String, String)>,
) -> Corruption {
    Corruption { what, rows: rows.into_iter().collect(), broken }
}

/// Sets a column off by one where a condition holds.
fn off_by_one(table: &str, column: &str, condition: &str, by: i64) -> (String, String) {
    let set = |by: i64| format!("UPDATE {table} SET {column} = {column} + ({by}) WHERE {condition}");
    (set(by), set(-by))
}

/// Deletes a row, and keeps a copy to restore it from.
fn deleted(table: &str, columns: &str, condition: &str) -> (String, String) {
    (
        format!(
            "CREATE TABLE kept_row AS SELECT {columns} FROM {table} WHERE {condition} LIMIT 1;
             DELETE FROM {table} t USING kept_row k WHERE to_jsonb(t) @> to_jsonb(k)"
        ),
        format!(
            "INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE SELECT * FROM kept_row;
             DROP TABLE kept_row"
        ),
    )
}

fn of(service: &'static str, (change, back): (String, String)) -> (&'static str, String, String) {
    (service, change, back)
}

pub async fn of_rows(shop: &Shop, story: &Story) {
    let corruptions = [money(story), stock(story), messages(story), orders(story)];
    for corruption in corruptions.into_iter().flatten() {
        prove(shop, &corruption).await;
    }
}

async fn prove(shop: &Shop, corruption: &Corruption) {
    for (service, change, _) in &corruption.rows {
        shop.tamper(service, change).await;
    }
    let report = shop.audit_now().await;
    for (service, _, back) in corruption.rows.iter().rev() {
        shop.tamper(service, back).await;
    }
    assert_eq!(report.broken(), corruption.broken, "{}:\n{report}", corruption.what);
    assert!(!report.clean);
    let restored = shop.audit_now().await;
    assert!(restored.clean, "{} is not restored:\n{restored}", corruption.what);
}

fn money(story: &Story) -> Vec<Corruption> {
    let confirmed = format!("order_id = '{}'", story.confirmed.order_id);
    let rejected = format!("order_id = '{}'", story.rejected.order_id);
    let confirmed_key = key(&story.confirmed.order_id);
    let rejected_key = key(&story.rejected.order_id);
    let entries = |by: &str| {
        format!(
            "UPDATE ledger_entries SET amount_minor = amount_minor {by} sign(amount_minor)::bigint
             WHERE payment_id = '{confirmed_key}'"
        )
    };
    let charge = format!("charge_id = '{confirmed_key}'");
    let stranger = Uuid::now_v7();
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
            "an authorization left open for a rejected order",
            &["money"],
            [
                of("payments", off_by_one("payments", "authorized_minor", &rejected, 1)),
                of(
                    "payments",
                    (
                        format!(
                            "INSERT INTO ledger_entries
                                 (payment_id, version, account, currency, amount_minor)
                             SELECT '{rejected_key}', 99, account, currency, amount
                             FROM payments, (VALUES ('customer', -1), ('held', 1))
                                            AS v(account, amount)
                             WHERE payment_id = '{rejected_key}'"
                        ),
                        "DELETE FROM ledger_entries WHERE version = 99".to_owned(),
                    ),
                ),
                of(
                    "processor",
                    off_by_one(
                        "charges",
                        "authorized_minor",
                        &format!("charge_id = '{rejected_key}'"),
                        1,
                    ),
                ),
            ],
        ),
        corruption(
            "a payment of an order that nobody knows",
            &["money"],
            [of(
                "payments",
                (
                    format!("UPDATE payments SET order_id = '{stranger}' WHERE {confirmed}"),
                    format!(
                        "UPDATE payments SET order_id = '{}' WHERE order_id = '{stranger}'",
                        story.confirmed.order_id
                    ),
                ),
            )],
        ),
        corruption(
            "a charge that is missing",
            &["processor"],
            [of("processor", deleted("charges", &columns("charges"), &charge))],
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
        corruption(
            "a row of the ledger that was changed",
            &["ledger"],
            [of(
                "payments",
                off_by_one(
                    "ledger_entries",
                    "amount_minor",
                    &format!("payment_id = '{confirmed_key}' AND account = 'shop'"),
                    1,
                ),
            )],
        ),
    ]
}

fn stock(story: &Story) -> Vec<Corruption> {
    let sku = &story.sku;
    let moved = |order: &str, state: &str, from: &str, to: &str| {
        let move_stock = |from: &str, to: &str| {
            format!("UPDATE stock SET {from} = {from} - 2, {to} = {to} + 2 WHERE sku = '{sku}'")
        };
        let change = format!(
            "UPDATE reservations SET states = states || '{state}'::text
             WHERE order_id = '{order}';
             INSERT INTO movements (sku, from_bucket, to_bucket, quantity, order_id)
             VALUES ('{sku}', '{from}', '{to}', 2, '{stray}');
             {}",
            move_stock(from, to),
            stray = Uuid::nil(),
        );
        let back = format!(
            "UPDATE reservations SET states = trim_array(states, 1) WHERE order_id = '{order}';
             DELETE FROM movements WHERE order_id = '{stray}';
             {}",
            move_stock(to, from),
            stray = Uuid::nil(),
        );
        (change, back)
    };
    let (confirmed, rejected) = (&story.confirmed.order_id, &story.rejected.order_id);
    let shipped = &story.shipped.order_id;
    let movement = "id, sku, from_bucket, to_bucket, quantity, reservation_id, order_id, at";
    vec![
        corruption(
            "a balance that is off",
            &["stock"],
            [of("inventory", off_by_one("stock", "on_hand", &format!("sku = '{sku}'"), 1))],
        ),
        corruption(
            "a movement that was deleted",
            &["stock"],
            [of(
                "inventory",
                deleted("movements", movement, &format!("order_id = '{shipped}'")),
            )],
        ),
        corruption(
            "a reservation that holds more than the stock says",
            &["stock", "reservations"],
            [of(
                "inventory",
                off_by_one(
                    "reservations",
                    "quantities[1]",
                    &format!("order_id = '{confirmed}'"),
                    1,
                ),
            )],
        ),
        corruption(
            "pieces that stay reserved for a rejected order",
            &["reservations"],
            [of("inventory", moved(rejected, "reserved", "on_hand", "reserved"))],
        ),
        corruption(
            "pieces that a confirmed order has not",
            &["reservations"],
            [of("inventory", moved(confirmed, "restocked", "committed", "on_hand"))],
        ),
        corruption(
            "pieces that did not leave with their parcel",
            &["reservations"],
            [of("inventory", moved(shipped, "committed", "shipped", "committed"))],
        ),
    ]
}

fn messages(story: &Story) -> Vec<Corruption> {
    let stranger = Uuid::now_v7();
    vec![
        corruption(
            "an inbox that forgot an event",
            &["consumed"],
            [of("inventory", deleted("inbox", "consumer, event_id, dead, at", "NOT dead"))],
        ),
        corruption(
            "an inbox with an event that never was",
            &["consumed"],
            [of(
                "orders",
                (
                    format!("INSERT INTO inbox (consumer, event_id) VALUES ('shipping', '{stranger}')"),
                    format!("DELETE FROM inbox WHERE event_id = '{stranger}'"),
                ),
            )],
        ),
        corruption(
            "a dead letter",
            &["dead letters"],
            [of(
                "orders",
                (
                    format!(
                        "INSERT INTO dead_letters (consumer, sequence, event_id, subject, key,
                             reason, error, attempts, headers, body)
                         VALUES ('shipping', 1, '{stranger}', 'shop.shipping.v1.ShipmentLost', '{}',
                             'failed', 'no such order', 8, '', '')",
                        story.confirmed.order_id
                    ),
                    format!("DELETE FROM dead_letters WHERE event_id = '{stranger}'"),
                ),
            )],
        ),
    ]
}

fn orders(story: &Story) -> Vec<Corruption> {
    let confirmed = format!("order_id = '{}'", story.confirmed.order_id);
    let rejected = format!("order_id = '{}'", story.rejected.order_id);
    let lost = format!("order_id = '{}'", story.lost.order_id);
    let state = |state: &str| format!("UPDATE orders SET state = '{state}' WHERE {rejected}");
    let log = "seq, key, version, id, type, public, body, meta, at";
    let announced = format!(
        "key = '{}' AND type = 'shop.orders.v1.OrderConfirmed'",
        story.confirmed.order_id
    );
    vec![
        corruption(
            "an order that is shown in another state",
            &["replay"],
            [of("orders", (state("CANCELLED"), state("REJECTED")))],
        ),
        corruption(
            "a total off by one",
            &["money", "replay"],
            [of("orders", off_by_one("orders", "total_minor", &confirmed, 1))],
        ),
        corruption(
            "a refund due off by one",
            &["money", "replay"],
            [of("orders", off_by_one("orders", "refund_due_minor", &lost, -1))],
        ),
        corruption(
            "an event that is gone from the log",
            &["published", "replay"],
            [of("orders", deleted("log", log, &announced))],
        ),
    ]
}

/// What a running service would put right, or stumble over.
pub async fn behind_stopped_services(shop: &Shop, story: &Story) {
    let stranger = Uuid::now_v7();
    let unpublished = corruption(
        "a public event that was never published",
        &["published"],
        [of(
            "payments",
            (
                format!(
                    "INSERT INTO log (key, version, id, type, public, body, meta)
                     VALUES ('{stranger}', 1, '{stranger}', 'shop.payments.v1.PaymentVoided', true,
                             '', '')"
                ),
                format!("DELETE FROM log WHERE key = '{stranger}'"),
            ),
        )],
    );
    while_down(shop, "payments", &[unpublished]).await;

    let id = format!("id = '{}'", story.confirmed.order_id);
    let sleepless = corruption(
        "a saga that has been at work for six minutes",
        &["sagas"],
        [of(
            "orders",
            (
                format!("UPDATE streams SET awake_since = now() - interval '6 min' WHERE {id}"),
                format!("UPDATE streams SET awake_since = NULL WHERE {id}"),
            ),
        )],
    );
    let torn = corruption(
        "a stream that is ahead of its log",
        &["replay"],
        [of("orders", off_by_one("streams", "version", &id, 1))],
    );
    while_down(shop, "orders", &[sleepless, torn]).await;
}

async fn while_down(shop: &Shop, service: &str, corruptions: &[Corruption]) {
    let process = shop.platform.service(service);
    process.down().await;
    for corruption in corruptions {
        prove(shop, corruption).await;
    }
    process.up();
    process.ready().await;
    shop.audit_at_rest().await;
}

pub async fn of_streams(shop: &Shop) {
    let client = mesh_local::connect_nats(&shop.platform.nats().url()).await.unwrap();
    let jetstream = jetstream::new(client);
    let shipping = jetstream.get_stream("shipping").await.unwrap();
    let payments = jetstream.get_stream("payments").await.unwrap();
    let breaks = async |rule: &str, what: &str| {
        let report = shop.audit_now().await;
        assert_eq!(report.broken(), [rule], "{what}:\n{report}");
    };

    shop.platform.service("inventory").down().await;
    shipping.delete_consumer("inventory").await.unwrap();
    breaks("consumed", "a consumer that does not exist").await;
    shop.platform.service("inventory").up();
    shop.audit_at_rest().await;

    shop.platform.service("payments").down().await;
    let subject = "shop.payments.v1.PaymentCaptured";
    let sent = jetstream.publish(subject, "by hand".into()).await.unwrap().await.unwrap();
    breaks("published", "a message that comes from no log").await;
    payments.delete_message(sent.sequence).await.unwrap();
    shop.platform.service("payments").up();
    shop.audit_at_rest().await;

    payments.delete_message(1).await.unwrap();
    breaks("published", "a message that was deleted").await;

    let forgiving = Options { dead_letters_allowed: true, ..options() };
    let report = audit::run(&shop.places(), forgiving).await.unwrap();
    assert!(!report.clean, "only dead letters are forgiven");
}

/// The key of an order's payment, which is also that of its charge.
fn key(order_id: &str) -> Uuid {
    Uuid::new_v5(&Uuid::parse_str(order_id).unwrap(), b"authorize")
}

fn columns(table: &str) -> String {
    assert_eq!(table, "charges");
    "charge_id, state, digest, card_token, currency, amount_minor, authorized_minor,
     captured_minor, refunded_minor, decline_reason, refund_refused, create_time"
        .to_owned()
}
