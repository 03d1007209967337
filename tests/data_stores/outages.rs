//! PostgreSQL goes away, and comes back.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::future::{BoxFuture, FutureExt as _, join_all};
use mesh_local::http;
use mesh_testkit::{IsolatedPostgres, Platform, PlatformOptions, eventually};
use shop::{
    catalog::v1::ListProductsRequest,
    inventory::v1::{GetStockRequest, ReceiveStockRequest},
    orders::v1::{
        CartLine, GetCartRequest, GetOrderRequest, OrderState, PlaceOrderRequest,
        SetCartLinesRequest,
    },
    payments::v1::GetPaymentRequest,
    processor::v1::TokenizeCardRequest,
    shipping::v1::GetShipmentRequest,
};
use sqlx::{Connection as _, PgConnection, PgPool};
use tonic::{Code, Status};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::channel;
use crate::{
    doors::contract_services,
    shop::{GOOD_CARD, Shop, address, uuid},
};

/// Customers at the same time.
const CUSTOMERS: usize = 8;
/// Connections of each service.
const POOL: &str = "32";
/// Orders that are accepted before, between and after the faults.
const ORDERS: usize = 16;
/// Far more than the contract's deadlines: a call that takes longer was never answered.
const NEVER: Duration = Duration::from_secs(15);
/// The shortest default deadline of any contract.
const SHORTEST_DEADLINE: Duration = Duration::from_secs(2);

/// How long a database is away.
const DOWN: Duration = Duration::from_secs(60);

/// What customers saw.
#[derive(Default)]
struct Traffic {
    closed: AtomicBool,
    accepted: AtomicUsize,
    errors: Mutex<BTreeMap<String, usize>>,
}

impl Traffic {
    /// Calls, with the same content, until there is an answer. Only what passes may go wrong.
    async fn insist<T>(&self, mut call: impl AsyncFnMut() -> Result<T, Status>) -> T {
        loop {
            let answer = tokio::time::timeout(NEVER, call()).await;
            match answer.expect("every call is answered within its deadline") {
                Ok(answer) => return answer,
                Err(status) => {
                    let passing = [Code::Unavailable, Code::DeadlineExceeded];
                    assert!(passing.contains(&status.code()), "a caller saw {status:?}");
                    let seen = format!("{:?} {:?}", status.code(), mesh_rpc::reason(&status));
                    *self.errors.lock().unwrap().entry(seen).or_default() += 1;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }

    async fn more_orders(&self) {
        let goal = self.accepted.load(Ordering::Relaxed) + ORDERS;
        eventually("more orders to be accepted", async || {
            self.accepted.load(Ordering::Relaxed) >= goal
        })
        .await;
    }
}

/// Orders one piece after the other, and returns what was accepted.
async fn customer(shop: &Shop, traffic: &Traffic, sku: &str, card: &str) -> Vec<String> {
    let (orders, carts) = (shop.orders(), shop.carts());
    let mut accepted = Vec::new();
    while !traffic.closed.load(Ordering::Relaxed) {
        let fill = SetCartLinesRequest {
            request_id: uuid(),
            customer_id: uuid(),
            lines: vec![CartLine { sku: sku.to_owned(), quantity: 1 }],
            etag: String::new(),
        };
        let cart = traffic.insist(async || carts.clone().set_cart_lines(fill.clone()).await).await;
        let cart = cart.into_inner().cart.unwrap();
        let place = PlaceOrderRequest {
            request_id: uuid(),
            customer_id: cart.customer_id,
            cart_etag: cart.etag,
            address: Some(address("DE")),
            card_token: card.to_owned(),
        };
        let order = traffic.insist(async || orders.clone().place_order(place.clone()).await).await;
        accepted.push(order.into_inner().order.unwrap().order_id);
        traffic.accepted.fetch_add(1, Ordering::Relaxed);
    }
    accepted
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_restarted_under_load_costs_no_order_and_leaves_no_half_of_one() {
    // More connections than anybody needs: who were refused for want of one would be told a lie.
    let roomy = |it: PlatformOptions| it.isolated_postgres().env_of_all("DATABASE_POOL", POOL);
    let shop = Shop::open_with(roomy).await;
    let sku = shop.stocked(100_000).await;
    let card = shop.card(GOOD_CARD).await;
    let pids = pids(&shop.platform);
    let traffic = Traffic::default();

    let customers = join_all((0..CUSTOMERS).map(|_| customer(&shop, &traffic, &sku, &card)));
    let faults = async {
        let postgres = shop.platform.postgres();
        let first = started(postgres).await;
        traffic.more_orders().await;
        postgres.kill().await;
        traffic.more_orders().await;
        let second = started(postgres).await;
        postgres.down().await;
        postgres.up().await;
        traffic.more_orders().await;
        traffic.closed.store(true, Ordering::Relaxed);
        // Callers may not have noticed: what is gathered is repeated on a new connection.
        assert_ne!(first, second, "the server was killed");
        assert_ne!(second, started(postgres).await, "the server was restarted");
    };
    let (accepted, ()) = tokio::join!(customers, faults);
    eprintln!("callers saw {:?}", traffic.errors.lock().unwrap());

    let accepted = accepted.concat();
    shop.quiet().await;
    for order in accepted.iter().step_by(10) {
        assert_eq!(shop.order(order).await.state(), OrderState::Confirmed);
    }
    books_agree(&shop, &sku, accepted.len()).await;
    shop.audit_is_clean().await;
    assert_eq!(pids, self::pids(&shop.platform), "a service had to be started again");
    shop.platform.shutdown().await;
}

/// When the server was started: another time is another server.
async fn started(postgres: &IsolatedPostgres) -> String {
    let mut admin = PgConnection::connect(&postgres.superuser_url()).await.unwrap();
    let when = sqlx::query_scalar("SELECT pg_postmaster_start_time()::text");
    when.fetch_one(&mut admin).await.unwrap()
}

/// Every order exactly once in every book, of one piece each.
async fn books_agree(shop: &Shop, sku: &str, orders: usize) {
    let count = i64::try_from(orders).unwrap();
    let stock = shop.stock(sku).await;
    assert_eq!((stock.on_hand, stock.reserved, stock.committed), (100_000 - count, 0, count));
    let ordered = figures(
        shop,
        "orders",
        "SELECT count(*), sum(total_minor)::bigint FROM audit_orders WHERE state = 'CONFIRMED'",
    )
    .await;
    let paid = |view| {
        format!(
            "SELECT count(*), sum(captured_minor - refunded_minor)::bigint FROM {view}
             WHERE authorized_minor = 0 AND captured_minor > 0"
        )
    };
    assert_eq!(ordered.0, count, "an order that nobody was told of");
    assert_eq!(figures(shop, "payments", &paid("audit_payments")).await, ordered);
    assert_eq!(figures(shop, "processor", &paid("audit_charges")).await, ordered);
    let ledger = "SELECT count(DISTINCT currency), sum(amount_minor)::bigint FROM audit_ledger";
    assert_eq!(figures(shop, "payments", ledger).await, (1, 0));
}

async fn figures(shop: &Shop, service: &str, query: &str) -> (i64, i64) {
    let pool = PgPool::connect(shop.platform.database_url(service)).await.unwrap();
    let figures = sqlx::query_as(sqlx::AssertSqlSafe(query)).fetch_one(&pool).await.unwrap();
    pool.close().await;
    figures
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_database_a_service_is_alive_unready_and_quick_to_say_no() {
    let shop = Shop::open_with(PlatformOptions::isolated_postgres).await;
    let order = shop.simple_order().await;
    shop.comes_to(&order.order_id, OrderState::Confirmed).await;
    let pids = pids(&shop.platform);

    shop.platform.postgres().down().await;
    let down = Instant::now();

    for process in shop.platform.services() {
        let name = process.name();
        eventually(&format!("{name} to say that it is not ready"), async || {
            matches!(http::request(process.admin(), "GET", "/readyz").await, Ok((503, _)))
        })
        .await;
        let (_, report) = http::request(process.admin(), "GET", "/readyz").await.unwrap();
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        assert_eq!(report["conditions"]["database"]["state"], "down", "{name}: {report}");
        assert!(http::is_ok(process.admin(), "/healthz").await, "{name} is alive");
        let health = HealthClient::new(channel(process.grpc()));
        assert_eq!(serving(&health, "liveness").await, ServingStatus::Serving, "{name}");
        let mut doors = contract_services(name);
        doors.extend([String::new(), "readiness".to_owned()]);
        for door in doors {
            assert_eq!(serving(&health, &door).await, ServingStatus::NotServing, "{name} {door}");
        }
    }
    while down.elapsed() < DOWN {
        // All at once and more than a pool has connections: nobody waits for what is not there.
        for (name, elapsed, answer) in join_all(calls(&shop, &order.order_id, 12)).await {
            let status = answer.expect_err(&format!("{name} answered without its database"));
            assert_eq!(status.code(), Code::Unavailable, "{name}: {status:?}");
            assert!(elapsed < SHORTEST_DEADLINE, "{name} took {elapsed:?} to say no");
        }
        tokio::time::sleep(DOWN / 10).await;
    }

    shop.platform.postgres().up().await;

    shop.platform.ready().await;
    let order = shop.simple_order().await;
    shop.comes_to(&order.order_id, OrderState::Confirmed).await;
    assert_eq!(pids, self::pids(&shop.platform), "a service had to be started again");
    shop.platform.shutdown().await;
}

async fn serving(health: &HealthClient<tonic::transport::Channel>, service: &str) -> ServingStatus {
    let request = HealthCheckRequest { service: service.to_owned() };
    health.clone().check(request).await.unwrap().into_inner().status()
}

fn pids(platform: &Platform) -> Vec<(u32, u64)> {
    platform.services().iter().map(|process| (process.pid().unwrap(), process.starts())).collect()
}

type Timed = (&'static str, Duration, Result<(), Status>);

/// So many times one call that reads and one that writes, where there are such, of every service.
fn calls(shop: &Shop, order_id: &str, times: usize) -> Vec<BoxFuture<'static, Timed>> {
    let (catalog, inventory, payments) = (shop.catalog(), shop.inventory(), shop.payments());
    let (orders, carts, shipping) = (shop.orders(), shop.carts(), shop.shipping());
    let cards = shop.cards();
    macro_rules! timed {
        ($client:ident.$method:ident($request:expr)) => {{
            let (mut client, request) = ($client.clone(), $request);
            async move {
                let begun = Instant::now();
                let answer = client.$method(request).await.map(drop);
                (stringify!($method), begun.elapsed(), answer)
            }
            .boxed()
        }};
    }
    let sku = || "MUG".to_owned();
    let receive = || ReceiveStockRequest { request_id: uuid(), sku: sku(), quantity: 1 };
    let get = || GetOrderRequest { order_id: order_id.to_owned(), as_of_version: 0 };
    let fill = || SetCartLinesRequest {
        request_id: uuid(),
        customer_id: uuid(),
        lines: vec![CartLine { sku: sku(), quantity: 1 }],
        etag: String::new(),
    };
    let tokenize = || TokenizeCardRequest {
        request_id: uuid(),
        card_number: GOOD_CARD.to_owned(),
        expiry_month: 12,
        expiry_year: 2040,
    };
    let round = |_| {
        [
            timed!(catalog.list_products(ListProductsRequest::default())),
            timed!(inventory.get_stock(GetStockRequest { sku: sku() })),
            timed!(inventory.receive_stock(receive())),
            timed!(orders.get_order(get())),
            timed!(carts.get_cart(GetCartRequest { customer_id: uuid() })),
            timed!(carts.set_cart_lines(fill())),
            timed!(payments.get_payment(GetPaymentRequest { payment_id: uuid() })),
            timed!(shipping.get_shipment(GetShipmentRequest { shipment_id: uuid() })),
            timed!(cards.tokenize_card(tokenize())),
        ]
    };
    (0..times).flat_map(round).collect()
}
