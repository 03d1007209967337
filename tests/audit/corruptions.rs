//! Rows and messages, each corrupted, found by the right rule, and restored.

use async_nats::jetstream;

use super::{Options, Shop, Story, audit, events, money, options, stock};

/// What somebody does to a service's rows, and how it is put right.
pub struct Corruption {
    what: &'static str,
    /// Service, change, and the change back.
    rows: Vec<(&'static str, String, String)>,
    broken: &'static [&'static str],
}

pub fn corruption(
    what: &'static str,
    broken: &'static [&'static str],
    rows: impl IntoIterator<Item = (&'static str, String, String)>,
) -> Corruption {
    Corruption { what, rows: rows.into_iter().collect(), broken }
}

/// Sets a column off by one where a condition holds.
pub fn off_by_one(table: &str, column: &str, condition: &str, by: i64) -> (String, String) {
    let set =
        |by: i64| format!("UPDATE {table} SET {column} = {column} + ({by}) WHERE {condition}");
    (set(by), set(-by))
}

const STREAM: &str = "id, version, state, awake_since, owner, created_at, updated_at";

/// Deletes a row, and keeps a copy to restore it from.
pub fn deleted(table: &str, columns: &str, condition: &str) -> (String, String) {
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

pub fn of(
    service: &'static str,
    (change, back): (String, String),
) -> (&'static str, String, String) {
    (service, change, back)
}

pub async fn of_rows(shop: &Shop, story: &Story) {
    let corruptions = [
        money::amounts(story),
        money::rows(story),
        stock::balances(story),
        stock::reservations(story),
        events::messages(story),
        events::orders(story),
        events::lists(story),
    ];
    for corruption in corruptions.into_iter().flatten() {
        prove(shop, &corruption).await;
    }
}

/// Some dead letters are known, and wait for an operator.
pub async fn that_may_be(shop: &Shop, story: &Story) {
    let letter = events::dead_letter(story);
    let (service, change, back) = &letter.rows[0];
    shop.tamper(service, change).await;

    let forgiving = Options { dead_letters_allowed: true, ..options() };
    let report = audit::run(&shop.places(), forgiving).await.unwrap();

    shop.tamper(service, back).await;
    assert!(report.clean, "{report}");
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

/// What a running service would put right, or stumble over.
pub async fn behind_stopped_services(shop: &Shop, story: &Story) {
    for (service, kind) in
        [("payments", "shop.payments.v1.PaymentVoided"), ("users", "shop.users.v1.UserRegistered")]
    {
        while_down(shop, service, &[events::unpublished(service, kind)]).await;
    }

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
    let missing = corruption(
        "an order whose stream is gone",
        &["replay"],
        [of("orders", deleted("streams", STREAM, &id))],
    );
    while_down(shop, "orders", &[sleepless, torn, missing]).await;
    while_down(shop, "orders", &events::checkpoint()).await;
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

    for name in ["payments", "users"] {
        jetstream.get_stream(name).await.unwrap().delete_message(1).await.unwrap();
        breaks("published", "a message that was deleted").await;
        let report = shop.audit_now().await;
        let published = report.checks.iter().find(|check| check.name == "published").unwrap();
        let lost = format!("of the log of {name}");
        let is_named = published.findings.iter().any(|it| it.row.ends_with(&lost));
        assert!(is_named, "what {name} lost:\n{report}");
    }
}
