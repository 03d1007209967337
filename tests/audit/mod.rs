//! The auditor: content with everything that can happen to an order, and with no row that somebody
//! changed by hand.

use std::time::Duration;

use meshctl::audit::{self, Options, Places, Report};
use shop::{
    money::{Currency, Money, to_wire},
    orders::v1::{CancelOrderRequest, Order, OrderState},
    payments::v1::{AuthorizePaymentRequest, CapturePaymentRequest},
    shipping::v1::{RecordCarrierUpdateRequest, ShipmentState},
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use uuid::Uuid;

use crate::shop::{GOOD_CARD, Shop, persist, uuid};

mod corruptions;
mod elsewhere;
mod events;
mod money;
mod stock;

const DECLINED_CARD: &str = "4000000000009995";
/// How long everything may take to come to rest.
const REST: Duration = Duration::from_secs(30);

impl Shop {
    /// Where an auditor finds everything.
    pub fn places(&self) -> Places {
        let database = |service| self.platform.database_url(service).to_owned();
        Places {
            orders: database("orders"),
            payments: database("payments"),
            processor: database("processor"),
            inventory: database("inventory"),
            shipping: database("shipping"),
            catalog: database("catalog"),
            users: Some(database("users")),
            nats: self.platform.operator_nats(),
        }
    }

    /// Asserts that everything comes to rest with money, stock and messages right.
    pub async fn audit_at_rest(&self) -> Report {
        let options = options().waiting(REST);
        let report = audit::run(&self.places(), options).await.unwrap();
        assert!(report.clean && report.is_quiet(), "the audit finds\n{report}");
        report
    }

    /// What an auditor sees now who takes nothing for being on its way.
    async fn audit_now(&self) -> Report {
        let options = Options { grace: Duration::ZERO, ..options() };
        audit::run(&self.places(), options).await.unwrap()
    }

    /// Changes rows behind a service's back.
    async fn tamper(&self, service: &str, sql: &str) {
        let url = self.platform.superuser_url(service);
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await;
        let done = done.unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert!(done.rows_affected() > 0, "changes nothing: {sql}");
        connection.close().await.unwrap();
    }

    async fn bought(&self, sku: &str, card: &str, end: OrderState) -> Order {
        let request = self.order_of(sku, 2, card).await;
        let placed = self.place(request).await.unwrap();
        self.comes_to(&placed.order_id, end).await;
        self.rests(&placed.order_id).await;
        placed
    }

    async fn carrier_reports(&self, order: &Order, states: &[ShipmentState]) {
        let id = Uuid::parse_str(&order.order_id).unwrap();
        for state in states {
            let update = RecordCarrierUpdateRequest {
                request_id: uuid(),
                shipment_id: Uuid::new_v5(&id, b"create_shipment").to_string(),
                state: (*state).into(),
            };
            persist("to report", async || {
                self.shipping().record_carrier_update(update.clone()).await
            })
            .await
            .unwrap();
        }
    }
}

/// One order for every end that an order can come to.
struct Story {
    sku: String,
    confirmed: Order,
    rejected: Order,
    cancelled: Order,
    shipped: Order,
    delivered: Order,
    lost: Order,
}

impl Story {
    async fn of(shop: &Shop) -> Story {
        use ShipmentState::{Delivered, Dispatched, Lost};
        let sku = shop.stocked(100).await;
        stock::adjusted(shop, &sku).await;
        events::registered(shop).await;
        let bought = async || shop.bought(&sku, GOOD_CARD, OrderState::Confirmed).await;
        let story = Story {
            confirmed: bought().await,
            rejected: shop.bought(&sku, DECLINED_CARD, OrderState::Rejected).await,
            cancelled: bought().await,
            shipped: bought().await,
            delivered: bought().await,
            lost: bought().await,
            sku: sku.clone(),
        };
        let order_id = story.cancelled.order_id.clone();
        let cancel = CancelOrderRequest { request_id: uuid(), order_id };
        shop.orders().cancel_order(cancel).await.unwrap();
        shop.carrier_reports(&story.shipped, &[Dispatched]).await;
        shop.carrier_reports(&story.delivered, &[Dispatched, Delivered]).await;
        shop.carrier_reports(&story.lost, &[Dispatched, Lost]).await;
        for (order, end) in [
            (&story.cancelled, OrderState::Cancelled),
            (&story.shipped, OrderState::Shipped),
            (&story.delivered, OrderState::Delivered),
            (&story.lost, OrderState::Lost),
        ] {
            shop.comes_to(&order.order_id, end).await;
        }
        story
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_finds_every_row_that_was_changed_by_hand() {
    let shop = Shop::open().await;
    let story = Story::of(&shop).await;

    let report = shop.audit_at_rest().await;
    figures_are_those_of(&report, &story);

    corruptions::of_rows(&shop, &story).await;
    corruptions::that_may_be(&shop, &story).await;
    corruptions::behind_stopped_services(&shop, &story).await;
    corruptions::of_streams(&shop).await;
    shop.platform.shutdown().await;
}

/// Each is an amount; together they are more than one can be.
#[tokio::test(flavor = "multi_thread")]
async fn books_are_read_whatever_they_sum_to() {
    let shop = Shop::open().await;
    let card_token = shop.card(GOOD_CARD).await;
    for minor in [i64::MAX, i64::MAX, 100] {
        let euro = Currency::parse("EUR").unwrap();
        let request = AuthorizePaymentRequest {
            request_id: uuid(),
            order_id: uuid(),
            amount: Some(to_wire(Money::new(euro, minor))),
            card_token: card_token.clone(),
        };
        let payment_id = request.request_id.clone();
        shop.payments().authorize_payment(request).await.unwrap();
        let request = CapturePaymentRequest { request_id: uuid(), payment_id, amount: None };
        shop.payments().capture_payment(request).await.unwrap();
    }

    let report = shop.audit_now().await;

    assert!(!report.broken().contains(&"ledger"), "{report}");
    let ledger = report.checks.iter().find(|check| check.name == "ledger").unwrap();
    let sum = i128::from(i64::MAX) * 2 + 100;
    assert_eq!(ledger.figures, format!("the shop has {sum} minor units of EUR"));
    shop.platform.shutdown().await;
}

fn figures_are_those_of(report: &Report, story: &Story) {
    let checked =
        |name: &str| report.checks.iter().find(|check| check.name == name).unwrap().checked;
    assert_eq!(checked("money"), 6, "{report:?}");
    assert_eq!(checked("processor"), 6);
    assert_eq!(checked("ledger"), 3);
    assert_eq!(checked("stock"), 1, "of {}", story.sku);
    assert_eq!(checked("reservations"), 6);
    // Three parcels left; orders hears of two arrivals or losses, inventory of one.
    assert_eq!(checked("consumed"), (3 + 2) + (3 + 1));
    // One box in each database, but for that of users, who take no events.
    assert_eq!(checked("dead letters"), 6);
    assert_eq!(checked("replay"), 6);
    assert_eq!(checked("views"), 6);
    assert!(report.in_motion.is_empty());
    let json: serde_json::Value = serde_json::to_value(report).unwrap();
    assert_eq!(json["clean"], true);
    assert_eq!(json["checks"][0]["findings"], serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_motion_is_listed_and_not_summed() {
    let shop = Shop::open().await;
    let sku = shop.stocked(10).await;
    let sold = shop.bought(&sku, GOOD_CARD, OrderState::Confirmed).await;
    let is_listed = |report: &Report, order: &Order, state: &str| {
        let what = format!("order {}", order.order_id);
        let listed = report.in_motion.iter().any(|it| it.what == what && it.state.contains(state));
        assert!(listed, "{what} is not listed as {state}:\n{report}");
        assert!(!report.is_quiet());
    };

    shop.platform.service("payments").stop();
    let request = shop.order_of(&sku, 1, GOOD_CARD).await;
    let placed = shop.place(request).await.unwrap();
    let report = audit::run(&shop.places(), options()).await.unwrap();
    assert!(report.clean, "{report}");
    is_listed(&report, &placed, "PENDING");
    shop.platform.service("payments").cont();
    shop.comes_to(&placed.order_id, OrderState::Confirmed).await;
    shop.audit_at_rest().await;

    shop.platform.service("inventory").down().await;
    shop.carrier_reports(&sold, &[ShipmentState::Dispatched]).await;
    shop.comes_to(&sold.order_id, OrderState::Shipped).await;
    let report = audit::run(&shop.places(), options()).await.unwrap();
    assert!(report.clean, "{report}");
    is_listed(&report, &sold, "2 of");
    let impatient = shop.audit_now().await;
    assert_eq!(impatient.broken(), ["consumed"], "{impatient}");
    shop.platform.service("inventory").up();
    shop.audit_at_rest().await;
    shop.platform.shutdown().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_named_with_the_way_out() {
    let nowhere = "postgres://nobody@127.0.0.1:1/nothing".to_owned();
    let places = Places {
        orders: nowhere.clone(),
        payments: nowhere.clone(),
        processor: nowhere.clone(),
        inventory: nowhere.clone(),
        shipping: nowhere.clone(),
        catalog: nowhere,
        users: None,
        nats: "nats://127.0.0.1:1".to_owned(),
    };

    let error = audit::run(&places, options()).await.unwrap_err().to_string();

    assert!(error.starts_with("cannot read the database of orders: "), "{error}");
    assert!(error.contains("cargo mesh up"), "{error}");
}

fn options() -> Options {
    Options::new(meshctl::services::declarations().unwrap())
}
