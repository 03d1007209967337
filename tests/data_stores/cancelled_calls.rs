//! Callers that hang up at any moment, also while a transaction begins or commits.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use mesh_testkit::{PlatformOptions, eventually};
use rand::Rng as _;
use shop::{
    inventory::v1::{ReceiveStockRequest, ReservationLine, ReserveStockRequest},
    orders::v1::{
        Cart, CartLine, GetOrderRequest, OrderState, PlaceOrderRequest, SetCartLinesRequest,
    },
    processor::v1::TokenizeCardRequest,
};
use sqlx::{PgConnection, Row as _};
use tokio::time::timeout;

use super::connect;
use crate::shop::{GOOD_CARD, Shop, address, uuid};

/// Callers at work at the same time, and how many calls each of them makes.
const CALLERS: usize = 12;
const CALLS: usize = 60;
/// Longest time that a caller waits before it hangs up, where a call takes a few milliseconds.
const LONGEST_WAIT: Duration = Duration::from_millis(12);
/// A transaction that has been idle for this long belongs to nobody any more. The server itself
/// ends it after five seconds.
const FORGOTTEN: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_cancelled_calls_leaves_no_connection_inside_a_transaction() {
    let shop = Shop::open_with(PlatformOptions::isolated_postgres).await;
    let order = shop.simple_order().await;
    let sku = order.lines[0].sku.clone();
    shop.comes_to(&order.order_id, OrderState::Confirmed).await;
    let card = shop.card(GOOD_CARD).await;
    let mut watcher = connect(&shop.platform.postgres().superuser_url()).await;
    the_watcher_sees(&mut watcher, shop.platform.database_url("orders")).await;
    let over = AtomicBool::new(false);

    let callers =
        (0..CALLERS).map(|_| hang_up_again_and_again(&shop, &sku, &card, &order.order_id));
    let storm = async {
        futures::future::join_all(callers).await;
        over.store(true, Ordering::Relaxed);
    };
    let watch = async {
        while !over.load(Ordering::Relaxed) {
            assert_eq!(forgotten_transactions(&mut watcher).await, Vec::<String>::new());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::join!(storm, watch);

    for service in ["inventory", "orders", "processor"] {
        let hung_up = cancelled(&shop.platform.service(service).metrics().await);
        assert!(hung_up >= 30, "{service} saw only {hung_up} callers hang up");
    }
    eventually("every transaction to end", async || {
        open_transactions(&mut watcher).await.is_empty()
    })
    .await;
    let log = std::fs::read_to_string(&shop.platform.postgres().process().spec().log).unwrap();
    assert!(!log.contains("idle-in-transaction timeout"), "the server had to clean up:\n{log}");
    // Service goes on, over every connection of every pool.
    for _ in 0..16 {
        assert_eq!(shop.order(&order.order_id).await.state(), OrderState::Confirmed);
    }
    let order = shop.simple_order().await;
    shop.comes_to(&order.order_id, OrderState::Confirmed).await;
    shop.platform.shutdown().await;
}

/// Proves that a transaction that somebody left open would be found.
async fn the_watcher_sees(watcher: &mut PgConnection, url: &str) {
    let mut careless = connect(url).await;
    sqlx::raw_sql("BEGIN; SELECT 1").execute(&mut careless).await.unwrap();
    let found = open_transactions(watcher).await;
    assert!(found.iter().any(|session| session.starts_with("orders: ")), "{found:?}");
    sqlx::raw_sql("ROLLBACK").execute(&mut careless).await.unwrap();
}

/// Makes calls of every kind and drops most of them before they are answered.
async fn hang_up_again_and_again(shop: &Shop, sku: &str, card: &str, order_id: &str) {
    let (mut orders, mut carts) = (shop.orders(), shop.carts());
    let (mut inventory, mut cards) = (shop.inventory(), shop.cards());
    let line = ReservationLine { sku: sku.to_owned(), quantity: 1 };
    for n in 0..CALLS {
        let patience = LONGEST_WAIT.mul_f64(rand::rng().random_range(0.05..1.0));
        // The cart in peace, so that there is something to order in a hurry.
        let order = if n % 6 == 5 { Some(place(shop.cart(sku, 1).await, card)) } else { None };
        // Whether it was answered in time is a matter of luck, and no matter here.
        let _ = timeout(patience, async {
            match n % 6 {
                0 => drop(inventory.reserve_stock(reserve(&line)).await),
                1 => drop(inventory.receive_stock(receive(sku)).await),
                2 => drop(cards.tokenize_card(tokenize()).await),
                3 => drop(orders.get_order(get(order_id)).await),
                4 => drop(carts.set_cart_lines(fill(sku)).await),
                _ => drop(orders.place_order(order.unwrap()).await),
            }
        })
        .await;
    }
}

fn reserve(line: &ReservationLine) -> ReserveStockRequest {
    let lines = vec![line.clone()];
    let hold = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    ReserveStockRequest { request_id: uuid(), order_id: uuid(), lines, hold }
}

fn receive(sku: &str) -> ReceiveStockRequest {
    ReceiveStockRequest { request_id: uuid(), sku: sku.to_owned(), quantity: 5 }
}

fn tokenize() -> TokenizeCardRequest {
    TokenizeCardRequest {
        request_id: uuid(),
        card_number: GOOD_CARD.to_owned(),
        expiry_month: 12,
        expiry_year: 2040,
    }
}

fn get(order_id: &str) -> GetOrderRequest {
    GetOrderRequest { order_id: order_id.to_owned(), as_of_version: 0 }
}

fn fill(sku: &str) -> SetCartLinesRequest {
    SetCartLinesRequest {
        request_id: uuid(),
        customer_id: uuid(),
        lines: vec![CartLine { sku: sku.to_owned(), quantity: 1 }],
        etag: String::new(),
    }
}

fn place(cart: Cart, card: &str) -> PlaceOrderRequest {
    PlaceOrderRequest {
        request_id: uuid(),
        customer_id: cart.customer_id,
        cart_etag: cart.etag,
        address: Some(address("DE")),
        card_token: card.to_owned(),
    }
}

/// Sessions that have been idle inside a transaction for longer than any code of ours is.
async fn forgotten_transactions(watcher: &mut PgConnection) -> Vec<String> {
    idle_in_transaction(watcher, FORGOTTEN).await
}

async fn open_transactions(watcher: &mut PgConnection) -> Vec<String> {
    idle_in_transaction(watcher, Duration::ZERO).await
}

async fn idle_in_transaction(watcher: &mut PgConnection, since: Duration) -> Vec<String> {
    let rows = sqlx::query(
        "SELECT format('%s: %s after %s', datname, state, query) FROM pg_stat_activity
         WHERE state LIKE 'idle in transaction%'
           AND clock_timestamp() - state_change >= $1 * interval '1 second'",
    )
    .bind(since.as_secs_f64())
    .fetch_all(watcher)
    .await
    .unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// How many calls ended because the caller had gone.
fn cancelled(metrics: &str) -> u64 {
    let counts = metrics.lines().filter(|line| {
        line.starts_with("rpc_server_call_duration_seconds_count{")
            && line.contains("\"CANCELLED\"")
    });
    counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
}
