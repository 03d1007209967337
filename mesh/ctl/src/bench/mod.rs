//! How fast orders get through, and what one costs.
//!
//! So many orders are in flight for so long, each of one piece, each paid by a card that is
//! approved, each by a customer of its own whose cart was filled before. Nothing is repeated: an
//! order whose call fails counts as failed.

mod cost;
pub mod gateway;
pub mod growth;
mod load;
pub mod rpc;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use mesh_local::http;
use serde::Serialize;
use tokio::time::Instant;

pub use crate::demo::Percentiles;
use crate::demo::{histogram, rounded};
use crate::doors::{Clients, Doors};
use crate::persist::Persistence;
use cost::Sample;
pub(crate) use cost::usage_with_children;
pub use cost::{Cost, Share};
use load::Load;

/// A card that is always approved.
const CARD: &str = "4242 4242 4242 4242";
const PREPARING: Duration = Duration::from_secs(120);
const PATIENCE: Duration = Duration::from_secs(10);
const WARM_UP: Duration = Duration::from_secs(3);
/// So that what the preparations left to do in the background is done.
const PAUSE: Duration = Duration::from_secs(1);
/// More orders per second than there will be: the stock lasts.
const FASTEST: u64 = 5000;

/// What is measured.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Where orders go in.
    pub doors: Doors,
    /// Every process by the name of what runs in it.
    pub processes: Vec<(String, u32)>,
    /// The admin port of every service process.
    pub admin: Vec<SocketAddr>,
    /// PostgreSQL, as superuser.
    pub postgres_url: String,
}

impl Subject {
    /// Only dev builds have crash points.
    pub async fn is_dev_build(&self) -> bool {
        for address in &self.admin {
            let answer = http::request(*address, "POST", "/crash?point=none").await;
            // 405: the path may be that of a table, which nobody posts to.
            if answer.is_ok_and(|(status, _)| !matches!(status, 404 | 405)) {
                return true;
            }
        }
        false
    }
}

/// How it is measured.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Orders in flight.
    pub in_flight: usize,
    /// For how long orders are begun.
    pub time: Duration,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether a service is a dev build: its figures say nothing about a release.
    pub dev_build: bool,
    /// Whether the generator is a dev build: it takes more of the machine than it should.
    pub dev_generator: bool,
    /// Orders in flight.
    pub in_flight: usize,
    /// From the first order to the end of the last.
    pub seconds: f64,
    /// Orders confirmed.
    pub confirmed: u64,
    /// Orders that were not, by what happened; none was tried again.
    pub failed: BTreeMap<String, u64>,
    /// Carts that had to be filled meanwhile because those filled before were used up.
    pub carts_filled_meanwhile: u64,
    /// Confirmed orders per second.
    pub orders_per_second: f64,
    /// Milliseconds from PlaceOrder to the news that the order is confirmed.
    pub confirmed_ms: Percentiles,
    /// What that cost.
    #[serde(flatten)]
    pub cost: Cost,
}

/// Measures orders; `step` is told what begins.
pub async fn orders(
    subject: &Subject,
    options: Options,
    mut step: impl FnMut(&str),
) -> Result<Report> {
    step("preparing");
    let load = prepare(&subject.doors, at_most(options.time + WARM_UP)).await?;
    step(&format!("warming up for {} s", WARM_UP.as_secs()));
    let warm = load.run(options.in_flight, WARM_UP).await?;
    anyhow::ensure!(
        !warm.confirmed.is_empty(),
        "no order was confirmed while warming up: {:?}",
        warm.failed
    );
    let expected = warm.confirmed.len() as f64 * options.time.as_secs_f64() / WARM_UP.as_secs_f64();
    let carts = (expected * 1.5) as usize + options.in_flight;
    step(&format!("filling {carts} carts"));
    load.fill_carts(carts).await?;
    tokio::time::sleep(PAUSE).await;

    step(&format!("{} orders in flight for {} s", options.in_flight, options.time.as_secs()));
    let before = Sample::take(subject).await?;
    let begun = Instant::now();
    let run = load.run(options.in_flight, options.time).await?;
    let elapsed = begun.elapsed();
    let after = Sample::take(subject).await?;

    let confirmed = run.confirmed.len();
    Ok(Report {
        dev_build: subject.is_dev_build().await,
        dev_generator: cfg!(debug_assertions),
        in_flight: options.in_flight,
        seconds: rounded(elapsed.as_secs_f64()),
        confirmed,
        failed: run.failed,
        carts_filled_meanwhile: run.carts_filled,
        orders_per_second: rounded(confirmed as f64 / elapsed.as_secs_f64()),
        confirmed_ms: Percentiles::read(&run.confirmed),
        cost: Cost::between(&before, &after, confirmed.max(1), elapsed),
    })
}

/// More orders than there will be in so much time.
fn at_most(time: Duration) -> u64 {
    time.as_secs().max(1) * FASTEST
}

/// Puts so many orders' pieces in stock, over all products, and stores a card.
async fn prepare(doors: &Doors, orders: u64) -> Result<Arc<Load>> {
    let clients = Clients::new(doors)?;
    let retried = AtomicU64::new(0);
    let until = Instant::now() + PREPARING;
    let persistence = Persistence { until, patience: PATIENCE, retried: &retried };
    let products = clients.products(&persistence).await.context("cannot list the products")?;
    let skus: Vec<String> = products.into_iter().map(|product| product.sku).collect();
    let pieces = i64::try_from(orders / skus.len() as u64)? + 1;
    stream::iter(&skus)
        .map(|sku| clients.receive(&persistence, sku, pieces))
        .buffer_unordered(8)
        .try_collect::<()>()
        .await?;
    let token = clients.token(&persistence, CARD).await.context("cannot store a card")?;
    Ok(Arc::new(Load::new(clients, skus, token)))
}

/// What one run of the load brought.
struct Run {
    confirmed: hdrhistogram::Histogram<u64>,
    failed: BTreeMap<String, u64>,
    carts_filled: u64,
}

impl Run {
    fn new() -> Run {
        Run { confirmed: histogram(), failed: BTreeMap::new(), carts_filled: 0 }
    }

    fn add(&mut self, other: Run) -> Result<()> {
        self.confirmed.add(&other.confirmed)?;
        self.carts_filled += other.carts_filled;
        for (what, count) in other.failed {
            *self.failed.entry(what).or_default() += count;
        }
        Ok(())
    }
}
