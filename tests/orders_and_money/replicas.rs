//! A14: several replicas drive the orders, and not all of them are well.

use std::{fs, path::PathBuf, process::Command, time::SystemTime};

use mesh_testkit::{PlatformOptions, ServiceProcess, eventually};
use shop::orders::v1::OrderState;
use sqlx::PgPool;

use crate::shop::{GOOD_CARD, Shop, persist};

const ORDERS: usize = 8;
/// How far the clock of the second replica is ahead.
const AHEAD_SECONDS: u64 = 300;

/// A wall clock that is ahead, and a monotonic clock that is not.
const CLOCK: &str = r#"
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *now) {
    const char *ahead = getenv("CLOCK_AHEAD_SECONDS");
    int failed = (int)syscall(SYS_clock_gettime, id, now);
    if (!failed && id == CLOCK_REALTIME && ahead) now->tv_sec += atol(ahead);
    return failed;
}
"#;

/// A14: one replica's clock is five minutes off; each replica in turn is stopped while it drives
/// orders, replaced by the other, and continued.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_replica_is_replaced_and_records_nothing_when_it_wakes() {
    let clock = a_clock_that_is_ahead();
    let shop = Shop::open_with(|options| two_replicas(options, &clock)).await;
    let [right, wrong] = [0, 1].map(|replica| shop.platform.replica("orders", replica));
    assert!(clock_of(wrong) > now() + AHEAD_SECONDS - 60, "its clock is ahead");
    assert!(clock_of(right) < now() + 60);
    let pool = shop.pool("orders").await;
    let sku = shop.stocked(40).await;

    let mut ids = Vec::new();
    for (replica, stopped, successor) in [(0, right, wrong), (1, wrong, right)] {
        shop.platform.service("payments").stop();
        let placed = place_orders(&shop, &sku, replica).await;
        for id in &placed {
            shop.reaches(id, 2).await;
        }
        stopped.stop();
        shop.platform.service("payments").cont();
        let taken_over = format!("\"streams\":{ORDERS}");
        eventually("the other replica to take the orders over", async || {
            let log = successor.log();
            log.lines().any(|it| it.contains("replica taken over") && it.contains(&taken_over))
        })
        .await;
        all_rest(&pool, ORDERS + ids.len()).await;
        stopped.cont();
        eventually("the stopped replica to find itself replaced", async || {
            stopped.log().contains("replica lost its session")
        })
        .await;
        stopped.ready().await;
        assert_eq!(stopped.starts(), 1, "it was never restarted");
        ids.extend(placed);
    }

    // Both take orders again; the first calls may still meet a session that was ended.
    for replica in [0, 1] {
        let request = shop.order_of(&sku, 1, GOOD_CARD).await;
        let placed = persist("to place", async || {
            shop.orders_at(replica).place_order(request.clone()).await
        });
        ids.push(placed.await.unwrap().into_inner().order.unwrap().order_id);
    }
    all_rest(&pool, ids.len()).await;
    for id in &ids {
        has_one_record_per_step(&pool, id).await;
        assert_eq!(shop.money_agrees(id).await.state(), OrderState::Confirmed);
    }
    let charges = shop.count("processor", "SELECT count(*) FROM charges").await;
    assert_eq!(charges, i64::try_from(ids.len()).unwrap());
    assert_eq!(shop.pieces(&sku).await, [40 - charges, 0, charges, 0]);
    times_are_the_databases(&shop, &ids).await;
    shop.audit_is_clean().await;
    shop.platform.shutdown().await;
}

fn two_replicas(options: PlatformOptions, clock: &str) -> PlatformOptions {
    let ahead = AHEAD_SECONDS.to_string();
    // Whoever says who they are by a clock that is minutes off is not believed.
    options.open().replicas("orders", 2).env("orders.1", "LD_PRELOAD", clock).env(
        "orders.1",
        "CLOCK_AHEAD_SECONDS",
        &ahead,
    )
}

async fn place_orders(shop: &Shop, sku: &str, replica: u32) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..ORDERS {
        let request = shop.order_of(sku, 1, GOOD_CARD).await;
        let placed = shop.orders_at(replica).place_order(request).await.unwrap();
        ids.push(placed.into_inner().order.unwrap().order_id);
    }
    ids
}

/// Waits until this many orders are confirmed and nothing is left to do for any.
async fn all_rest(pool: &PgPool, orders: usize) {
    eventually("all orders to be confirmed", async || {
        let done: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM orders JOIN streams ON streams.id = orders.order_id
             WHERE orders.state = 'CONFIRMED' AND awake_since IS NULL",
        )
        .fetch_one(pool)
        .await
        .unwrap();
        done == i64::try_from(orders).unwrap()
    })
    .await;
}

/// The log has what an order has that nobody disturbed: eight events, none of them twice.
async fn has_one_record_per_step(pool: &PgPool, id: &str) {
    let events: Vec<(i32, String, Vec<u8>)> =
        sqlx::query_as("SELECT version, type, body FROM log WHERE key = $1::uuid ORDER BY version")
            .bind(id)
            .fetch_all(pool)
            .await
            .unwrap();
    let versions: Vec<i32> = events.iter().map(|(version, ..)| *version).collect();
    assert_eq!(versions, (1..=8).collect::<Vec<_>>());
    let mut told: Vec<_> = events.into_iter().map(|(_, kind, body)| (kind, body)).collect();
    told.sort();
    told.dedup();
    assert_eq!(told.len(), 8, "{id} has no record twice");
}

/// No order's time comes from the clock that is ahead.
async fn times_are_the_databases(shop: &Shop, ids: &[String]) {
    for id in ids {
        let order = shop.order(id).await;
        for time in [order.create_time, order.update_time] {
            let seconds = u64::try_from(time.unwrap().seconds).unwrap();
            assert!(seconds.abs_diff(now()) < AHEAD_SECONDS - 60, "{id} was changed at {seconds}");
        }
    }
}

/// What the process's clock showed when it wrote the last line of its log.
fn clock_of(process: &ServiceProcess) -> u64 {
    let log = process.log();
    let line: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    let format = &time::format_description::well_known::Rfc3339;
    let time = time::OffsetDateTime::parse(line["timestamp"].as_str().unwrap(), format).unwrap();
    time.unix_timestamp().try_into().unwrap()
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// A library that a process can be started with.
fn a_clock_that_is_ahead() -> String {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let (source, library) = (directory.join("clock.c"), directory.join("clock.so"));
    fs::write(&source, CLOCK).unwrap();
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let mut compile = Command::new(compiler);
    let compile = compile.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source);
    assert!(compile.status().unwrap().success(), "the C compiler does not work");
    library.to_str().unwrap().to_owned()
}
