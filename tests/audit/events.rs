//! Events that were lost, never were, or do not add up to what is shown.

use shop::users::v1::{RegisterUserRequest, users_service_client::UsersServiceClient};
use uuid::Uuid;

use super::{
    Shop, Story,
    corruptions::{Corruption, corruption, deleted, of, off_by_one},
    uuid,
};

/// Somebody gets an account, so that users has announced something.
pub async fn registered(shop: &Shop) {
    let request = RegisterUserRequest {
        request_id: uuid(),
        email: format!("{}@example.com", uuid()),
        password: "correct horse battery".to_owned(),
        name: "Ada Lovelace".to_owned(),
        ..RegisterUserRequest::default()
    };
    UsersServiceClient::new(shop.channel("users")).register_user(request).await.unwrap();
}

/// An event in a service's log that its relay left out.
pub fn unpublished(service: &'static str, kind: &str) -> Corruption {
    let stranger = Uuid::now_v7();
    let change = format!(
        "INSERT INTO log (key, version, id, type, public, body, meta)
         VALUES ('{stranger}', 1, '{stranger}', '{kind}', true, '', '')"
    );
    let back = format!("DELETE FROM log WHERE key = '{stranger}'");
    corruption(
        "a public event that was never published",
        &["published"],
        [of(service, (change, back))],
    )
}

/// Deliveries that nobody can explain.
pub fn messages(story: &Story) -> Vec<Corruption> {
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
                    format!(
                        "INSERT INTO inbox (consumer, event_id) VALUES ('shipping', '{stranger}')"
                    ),
                    format!("DELETE FROM inbox WHERE event_id = '{stranger}'"),
                ),
            )],
        ),
        dead_letter(story),
    ]
}

/// An event that was given up.
pub fn dead_letter(story: &Story) -> Corruption {
    let event = Uuid::now_v7();
    let change = format!(
        "INSERT INTO dead_letters (consumer, sequence, event_id, subject, key, reason, error,
                                   attempts, headers, body)
         VALUES ('shipping', 1, '{event}', 'shop.shipping.v1.ShipmentLost', '{}', 'failed',
                 'no such order', 8, '', '')",
        story.confirmed.order_id
    );
    let back = format!("DELETE FROM dead_letters WHERE event_id = '{event}'");
    corruption("a dead letter", &["dead letters"], [of("orders", (change, back))])
}

/// Orders that their events do not explain.
pub fn orders(story: &Story) -> Vec<Corruption> {
    let confirmed = format!("order_id = '{}'", story.confirmed.order_id);
    let rejected = format!("order_id = '{}'", story.rejected.order_id);
    let lost = format!("order_id = '{}'", story.lost.order_id);
    let state = |state: &str| format!("UPDATE orders SET state = '{state}' WHERE {rejected}");
    let log = "seq, key, version, id, type, public, body, meta, at";
    let announced =
        format!("key = '{}' AND type = 'shop.orders.v1.OrderConfirmed'", story.confirmed.order_id);
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
            &["published", "replay", "views"],
            [of("orders", deleted("log", log, &announced))],
        ),
    ]
}

/// Lists that a replay of the log does not explain.
pub fn lists(story: &Story) -> Vec<Corruption> {
    let confirmed = format!("order_id = '{}'", story.confirmed.order_id);
    let delivered = format!("order_id = '{}'", story.delivered.order_id);
    let parked =
        |parked: bool| format!("UPDATE order_view SET parked = {parked} WHERE {delivered}");
    let columns = "order_id, customer_id, stage, parked, currency, total_minor, line_count,
                   placed_at, updated_at, version";
    let only = |what, change| corruption(what, &["views"], [of("orders", change)]);
    vec![
        only("an order that is listed in another state", (parked(true), parked(false))),
        only(
            "a total that is listed off by one",
            off_by_one("order_view", "total_minor", &confirmed, 1),
        ),
        only(
            "a list that missed an order's last event",
            off_by_one("order_view", "version", &confirmed, -1),
        ),
        only("an order that is not listed", deleted("order_view", columns, &confirmed)),
    ]
}

/// A list that claims to have come further than it has, or less far.
pub fn checkpoint() -> Vec<Corruption> {
    let (back, forth) = off_by_one("projections", "position", "name = 'order_view'", -1);
    vec![corruption(
        "a list that is ahead of its checkpoint",
        &["views"],
        [of("orders", (back, forth))],
    )]
}
