//! What a test looks at: money and stock at everyone who knows of them, streams, metrics, rows.

use std::collections::BTreeMap;

use async_nats::jetstream::{self, consumer};
use futures::StreamExt as _;
use mesh_local::Declaration;
use mesh_testkit::{eventually, patience, workspace};
use meshctl::audit;
use prost::{Message, Name};
use shop::{
    common::v1::Money,
    inventory::v1::{GetReservationRequest, Reservation},
    money,
    orders::v1::{Order, OrderState},
    payments::v1::{GetPaymentRequest, Payment},
    processor::v1::{Charge, GetChargeRequest},
    shipping::v1::{GetShipmentRequest, Shipment},
};
use sqlx::{AssertSqlSafe, PgPool};
use tonic::{Code, Response, Status};
use uuid::Uuid;

use crate::shop::Shop;

/// Tables whose rows come and go by themselves.
pub const RESTLESS: [&str; 8] = [
    "replicas",
    "relay_notes",
    "inbox",
    "projections",
    "order_view",
    "_sqlx_migrations",
    "attempts",
    "signing_keys",
];

/// The key of one of an order's steps, and the id of what the step makes.
pub fn step_key(order_id: &str, label: &str) -> String {
    Uuid::new_v5(&order_id.parse().unwrap(), label.as_bytes()).to_string()
}

/// The stable cause that a refusal gives; empty if it gives none.
pub fn reason(status: &Status) -> String {
    mesh_rpc::reason(status).unwrap_or_default()
}

/// Minor units; none at all if there is no amount.
pub fn minor(amount: Option<&Money>) -> i64 {
    amount.map_or(0, |amount| money::from_wire(amount).unwrap().minor)
}

impl Shop {
    pub async fn payment(&self, order_id: &str) -> Option<Payment> {
        let request = GetPaymentRequest { payment_id: step_key(order_id, "authorize") };
        found(self.payments().get_payment(request).await)?.payment
    }

    pub async fn charge(&self, order_id: &str) -> Option<Charge> {
        let request = GetChargeRequest { charge_id: step_key(order_id, "authorize") };
        found(self.processor().get_charge(request).await)?.charge
    }

    pub async fn reservation(&self, order_id: &str) -> Option<Reservation> {
        let request = GetReservationRequest { reservation_id: step_key(order_id, "reserve") };
        found(self.inventory().get_reservation(request).await)?.reservation
    }

    pub async fn shipment(&self, order_id: &str) -> Option<Shipment> {
        let request = GetShipmentRequest { shipment_id: step_key(order_id, "create_shipment") };
        found(self.shipping().get_shipment(request).await)?.shipment
    }

    /// Asserts that the order's money is what its state says, at payments and at the processor.
    pub async fn money_agrees(&self, order_id: &str) -> Order {
        let order = self.order(order_id).await;
        let (payment, charge) = (self.payment(order_id).await, self.charge(order_id).await);
        let paid = payment.map_or([0; 3], |it| {
            [it.authorized, it.captured, it.refunded].map(|amount| minor(amount.as_ref()))
        });
        let charged = charge.map_or([0; 3], |it| {
            [it.authorized, it.captured, it.refunded].map(|amount| minor(amount.as_ref()))
        });
        assert_eq!(paid, charged, "payments and the processor agree about {order_id}");
        let [open, captured, refunded] = paid;
        let total = minor(order.total.as_ref());
        assert_eq!(open, 0, "nothing stays open on {order_id}");
        match order.state() {
            OrderState::Confirmed | OrderState::Shipped | OrderState::Delivered => {
                assert_eq!((captured, refunded), (total, 0), "{order_id} is paid");
            }
            OrderState::Lost => assert_eq!((captured, refunded), (total, total), "{order_id}"),
            OrderState::Rejected | OrderState::Cancelled => {
                assert_eq!(captured, refunded, "{order_id} costs nothing");
            }
            other => panic!("{order_id} is {other:?}, so its money says nothing"),
        }
        order
    }

    /// Pieces of a SKU that are on hand, reserved, committed and shipped; asserts that with the
    /// lost ones they are all that was ever received.
    pub async fn pieces(&self, sku: &str) -> [i64; 4] {
        let stock = self.stock(sku).await;
        let pieces = [stock.on_hand, stock.reserved, stock.committed, stock.shipped];
        assert_eq!(pieces.iter().sum::<i64>() + stock.lost, stock.received, "{sku} adds up");
        pieces
    }

    /// The one event of this kind about `key`, once it is in the publisher's stream.
    pub async fn told<M: Message + Name + Default>(&self, key: &str) -> M {
        let kind = M::full_name();
        let stream = kind.split('.').nth(1).unwrap().to_owned();
        let mut told = eventually(&format!("{kind} about {key}"), async || {
            let told: Vec<M> = self.published(&stream, key).await;
            (!told.is_empty()).then_some(told)
        })
        .await;
        assert_eq!(told.len(), 1, "{kind} about {key} is told once");
        told.remove(0)
    }

    async fn published<M: Message + Name + Default>(&self, stream: &str, key: &str) -> Vec<M> {
        let client = mesh_local::connect_nats(&self.platform.operator_nats()).await.unwrap();
        let stream = jetstream::new(client).get_stream(stream).await.unwrap();
        let config =
            consumer::pull::Config { filter_subject: M::full_name(), ..Default::default() };
        let consumer = stream.create_consumer(config).await.unwrap();
        let messages = consumer.fetch().max_messages(10_000).messages().await.unwrap();
        let messages: Vec<_> = messages.map(Result::unwrap).collect().await;
        let about_key = |message: &jetstream::Message| {
            let headers = message.headers.as_ref().unwrap();
            headers.get("ce-subject").is_some_and(|it| it.as_str() == key)
        };
        let messages = messages.into_iter().filter(about_key);
        messages.map(|message| M::decode(message.payload.clone()).unwrap()).collect()
    }

    /// The sum of a metric over what has these labels, since the process started.
    pub async fn metric(&self, service: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels: Vec<_> = labels.iter().map(|(key, is)| format!("{key}=\"{is}\"")).collect();
        let text = self.platform.service(service).metrics().await;
        let lines = text.lines().filter(|line| {
            // A series without labels has no brace.
            line.split(['{', ' ']).next() == Some(name)
                && labels.iter().all(|label| line.contains(label.as_str()))
        });
        lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
    }

    /// Waits until a service would send a call to another one: its connection is up, and no breaker
    /// keeps the call away.
    pub async fn finds_again(&self, service: &str, target: &str) {
        let count = async |metric: &str, state: &str| {
            self.metric(service, metric, &[("target", target), ("state", state)]).await
        };
        eventually(&format!("{service} to find {target} again"), async || {
            let ready = count("mesh_balancer_endpoints", "READY").await;
            // Its next call is the probe that closes the breaker.
            let gated = count("mesh_balancer_endpoints", "GATED").await;
            ready + gated > 0.0 && count("mesh_breaker_state", "OPEN").await == 0.0
        })
        .await;
    }

    /// How often a step of the checkout came to this verdict, since orders started.
    pub async fn steps(&self, step: &str, verdict: &str) -> f64 {
        let labels = [("step", step), ("verdict", verdict)];
        self.metric("orders", "mesh_saga_steps_total", &labels).await
    }

    pub async fn pool(&self, service: &str) -> PgPool {
        PgPool::connect(self.platform.database_url(service)).await.unwrap()
    }

    /// A number that a service's database knows.
    pub async fn count(&self, service: &str, sql: &'static str) -> i64 {
        let pool = self.pool(service).await;
        let count = sqlx::query_scalar(sql).fetch_one(&pool).await.unwrap();
        pool.close().await;
        count
    }

    /// How many rows each table of every service has.
    pub async fn rows(&self) -> BTreeMap<String, i64> {
        let mut rows = BTreeMap::new();
        for service in crate::shop::SERVICES {
            let pool = self.pool(service).await;
            let tables: Vec<String> = sqlx::query_scalar(
                "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()",
            )
            .fetch_all(&pool)
            .await
            .unwrap();
            for table in tables.iter().filter(|table| !RESTLESS.contains(&table.as_str())) {
                let sql = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
                let count = sqlx::query_scalar(sql).fetch_one(&pool).await.unwrap();
                rows.insert(format!("{service}.{table}"), count);
            }
            pool.close().await;
        }
        rows
    }

    /// Asserts that an auditor who knows no service's code finds nothing to complain about.
    pub async fn audit_is_clean(&self) {
        let database = |service| self.platform.superuser_url(service);
        let places = audit::Places {
            orders: database("orders"),
            payments: database("payments"),
            processor: database("processor"),
            inventory: database("inventory"),
            shipping: database("shipping"),
            catalog: database("catalog"),
            users: Some(database("users")),
            nats: self.platform.operator_nats(),
        };
        let options = audit::Options::new(declarations()).waiting(patience());
        let report = audit::run(&places, options).await.unwrap();
        assert!(report.clean, "{report:#?}");
    }

    /// Waits until no order is in motion and no saga has work to do.
    pub async fn quiet(&self) {
        let pool = self.pool("orders").await;
        eventually("all orders to settle", async || {
            let busy: i64 = sqlx::query_scalar(
                "SELECT (SELECT count(*) FROM streams WHERE awake_since IS NOT NULL)
                      + (SELECT count(*) FROM orders WHERE state IN ('PENDING', 'CANCELLING'))",
            )
            .fetch_one(&pool)
            .await
            .unwrap_or(-1);
            busy == 0
        })
        .await;
        pool.close().await;
    }

    /// Waits until the order's stream has come to a version.
    pub async fn reaches(&self, order_id: &str, version: i32) {
        let pool = self.pool("orders").await;
        eventually(&format!("{order_id} to come to version {version}"), async || {
            let reached: Option<i32> =
                sqlx::query_scalar("SELECT version FROM streams WHERE id = $1::uuid")
                    .bind(order_id)
                    .fetch_optional(&pool)
                    .await
                    .unwrap_or_default();
            reached >= Some(version)
        })
        .await;
        pool.close().await;
    }
}

fn declarations() -> Vec<Declaration> {
    let read = |service: &&str| {
        let file = workspace().join("services").join(service).join("mesh.toml");
        Declaration::parse(&std::fs::read_to_string(file).unwrap()).unwrap()
    };
    crate::shop::SERVICES.iter().map(read).collect()
}

/// The answer, or none if there is no such thing.
fn found<T>(answer: Result<Response<T>, Status>) -> Option<T> {
    match answer {
        Ok(answer) => Some(answer.into_inner()),
        Err(status) if status.code() == Code::NotFound => None,
        Err(status) => panic!("{status:?}"),
    }
}

/// Prints what a test measured, and keeps it where `.ci/run` finds it: what a test that passes has printed is
/// lost.
pub fn keep(name: &str, text: &str) {
    println!("{text}");
    std::fs::write(format!("{}/{name}", env!("CARGO_TARGET_TMPDIR")), format!("{text}\n")).unwrap();
}
