//! One round of figures of one side.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use async_nats::jetstream;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use mesh_local::{connect_nats, ensure_streams};
use mesh_log::Reader;
use mesh_rpc::timeout_request;
use mesh_runtime::{Secret, Service, ServiceConfig};
use rand::Rng as _;
use shop::catalog::v1::{ListProductsRequest, SearchProductsRequest};
use shop::orders::v1::{GetOrderRequest, ListOrdersRequest};
use sqlx::{Connection as _, PgConnection};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tonic::Status;
use uuid::Uuid;

use super::{Options, Side};
use crate::bench::cost::{Cost, Sample};
use crate::bench::load::Load;
use crate::bench::{PATIENCE, at_most, prepare};
use crate::demo::{Percentiles, histogram, record};
use crate::doors::Clients;
use crate::persist::said;
use crate::services;

const WARM_UP: Duration = Duration::from_secs(2);
/// How many reads are in flight.
const READERS: usize = 4;
/// How many orders are known to be asked for.
const KNOWN: i64 = 2000;
/// Rows of one look into the log, as the relay reads it, and in all.
const ROWS: i64 = 256;
const ROWS_IN_ALL: usize = 20_000;
/// How long a relay may take to fill a stream again.
const REFILL: Duration = Duration::from_secs(60);

/// What one round brought, by what was measured.
pub type Round = BTreeMap<&'static str, f64>;

/// An order that reads can ask for, and whose it is.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// The order.
    pub order: Uuid,
    /// Its customer.
    pub customer: Uuid,
}

type Call = fn(&Clients, Known) -> BoxFuture<'static, Result<(), Status>>;

/// The reads that are measured, by the name that the report gives their p99. To measure another,
/// add a line.
pub(crate) const READS: [(&str, Call); 4] = [
    ("GetOrder p99, ms", get_order),
    ("ListOrders p99, ms", list_orders),
    ("ListProducts p99, ms", list_products),
    ("SearchProducts p99, ms", search_products),
];

fn get_order(clients: &Clients, known: Known) -> BoxFuture<'static, Result<(), Status>> {
    let mut orders = clients.orders.clone();
    let request = GetOrderRequest { order_id: known.order.to_string(), ..Default::default() };
    async move { orders.get_order(timeout_request(request, PATIENCE)).await.map(drop) }.boxed()
}

/// A customer's latest orders.
fn list_orders(clients: &Clients, known: Known) -> BoxFuture<'static, Result<(), Status>> {
    let mut queries = clients.queries.clone();
    let customer_id = known.customer.to_string();
    let request = ListOrdersRequest { customer_id, page_size: 20, ..Default::default() };
    async move { queries.list_orders(timeout_request(request, PATIENCE)).await.map(drop) }.boxed()
}

fn search_products(clients: &Clients, _: Known) -> BoxFuture<'static, Result<(), Status>> {
    let mut catalog = clients.catalog.clone();
    let query = "stoneware mug".to_owned();
    let request = SearchProductsRequest { query, page_size: 20, ..Default::default() };
    async move { catalog.search_products(timeout_request(request, PATIENCE)).await.map(drop) }
        .boxed()
}

fn list_products(clients: &Clients, _: Known) -> BoxFuture<'static, Result<(), Status>> {
    let mut catalog = clients.catalog.clone();
    let request = ListProductsRequest { page_size: 20, ..Default::default() };
    async move { catalog.list_products(timeout_request(request, PATIENCE)).await.map(drop) }.boxed()
}

/// Measures everything once.
pub async fn measure(side: &Side, options: Options) -> Result<Round> {
    let mut round = Round::new();
    let known = known(side).await?;
    place_orders(side, options, &mut round).await?;
    let clients = Clients::new(&side.subject.doors)?;
    for (name, call) in READS {
        let p99 = read(&clients, &known, call, options.reading).await;
        round.insert(name, p99.with_context(|| name.to_owned())?);
    }
    round.insert("log reader, rows/s", read_log(side).await?);
    refill(side, &mut round).await?;
    Ok(round)
}

/// Some orders of the whole history.
async fn known(side: &Side) -> Result<Vec<Known>> {
    let url = side.databases.get("orders").context("orders is not up")?;
    let mut database = PgConnection::connect(url).await?;
    let rows: Vec<(Uuid, Uuid)> =
        sqlx::query_as("SELECT order_id, customer_id FROM orders ORDER BY random() LIMIT $1")
            .bind(KNOWN)
            .fetch_all(&mut database)
            .await?;
    anyhow::ensure!(!rows.is_empty(), "there is no order to ask for");
    Ok(rows.into_iter().map(|(order, customer)| Known { order, customer }).collect())
}

async fn place_orders(side: &Side, options: Options, round: &mut Round) -> Result<()> {
    let load: Arc<Load> = prepare(&side.subject.doors, at_most(options.time + WARM_UP)).await?;
    let warm = load.run(options.in_flight, WARM_UP).await?;
    let rate = warm.confirmed.len() as f64 / WARM_UP.as_secs_f64();
    load.fill_carts((rate * options.time.as_secs_f64() * 1.5) as usize + options.in_flight).await?;
    sleep(super::super::PAUSE).await;
    let before = Sample::take(&side.subject).await?;
    let begun = Instant::now();
    let run = load.run(options.in_flight, options.time).await?;
    let elapsed = begun.elapsed();
    let after = Sample::take(&side.subject).await?;
    anyhow::ensure!(run.failed.is_empty(), "orders failed: {:?}", run.failed);
    anyhow::ensure!(!run.confirmed.is_empty(), "no order was confirmed");
    let cost = Cost::between(&before, &after, run.confirmed.len(), elapsed);
    round.insert("KiB of PostgreSQL's log per order", cost.wal_bytes_per_order as f64 / 1024.0);
    if let Some(postgres) = cost.programs.get("postgres") {
        round.insert("PostgreSQL's CPU per order, ms", postgres.cpu_ms_per_order);
    }
    round.insert("orders/s to CONFIRMED", run.confirmed.len() as f64 / elapsed.as_secs_f64());
    round.insert("to CONFIRMED p99, ms", Percentiles::read(&run.confirmed).p99);
    Ok(())
}

/// Milliseconds that 99 of 100 calls do not take.
async fn read(clients: &Clients, known: &[Known], call: Call, time: Duration) -> Result<f64> {
    let end = Instant::now() + time;
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        let (clients, known) = (clients.clone(), known.to_vec());
        readers.spawn(async move {
            let mut micros = histogram();
            while Instant::now() < end {
                let which = rand::rng().random_range(0..known.len());
                let begun = Instant::now();
                call(&clients, known[which]).await?;
                record(&mut micros, begun.elapsed());
            }
            Ok::<_, Status>(micros)
        });
    }
    let mut micros = histogram();
    while let Some(part) = readers.join_next().await {
        let part = part?.map_err(|status| anyhow::Error::msg(said(&status)))?;
        micros.add(part)?;
    }
    Ok(Percentiles::read(&micros).p99)
}

/// How many rows of orders' log the relay's reader reads per second, from some places on.
async fn read_log(side: &Side) -> Result<f64> {
    let url = Secret::new(&side.orders_url);
    let config = ServiceConfig {
        database_url: Some(url),
        log_level: "error".to_owned(),
        ..ServiceConfig::default()
    };
    let service = Service::begin("bench", &config).await?;
    let database = mesh_log::connect(&service, &config, &orders::MIGRATIONS).await?;
    let (first, last): (i64, i64) =
        sqlx::query_as("SELECT coalesce(min(seq), 0), coalesce(max(seq), 0) FROM log")
            .fetch_one(database.pool())
            .await?;
    let begun = Instant::now();
    let mut rows = 0;
    while rows < ROWS_IN_ALL && begun.elapsed() < REFILL {
        let from = rand::rng().random_range(first - 1..=last - (last - first) / 4);
        let mut reader = Reader::new(&database, from);
        for _ in 0..16 {
            rows += reader.next(ROWS).await?.len();
        }
    }
    let rate = rows as f64 / begun.elapsed().as_secs_f64();
    service.stop();
    service.finish().await;
    Ok(rate)
}

/// Takes orders' stream away and makes it anew: how soon its relay has found where to begin, and
/// how fast it fills the stream.
async fn refill(side: &Side, round: &mut Round) -> Result<()> {
    let jetstream = jetstream::new(connect_nats(&side.nats_url).await?);
    let messages = messages(&jetstream).await?;
    jetstream.delete_stream("orders").await?;
    ensure_streams(&side.nats_url, &services::declarations()?).await?;
    let begun = Instant::now();
    let mut first = None;
    loop {
        let stored = self::messages(&jetstream).await?;
        let now = Instant::now();
        if stored > 0 && first.is_none() {
            first = Some((now, stored));
        }
        if let Some((since, already)) = first.filter(|_| stored >= messages) {
            round.insert("relay finds a lost stream's place, s", (since - begun).as_secs_f64());
            let seconds = (now - since).as_secs_f64().max(0.001);
            round.insert("relay, events/s", (stored - already) as f64 / seconds);
            return Ok(());
        }
        anyhow::ensure!(
            begun.elapsed() < REFILL,
            "the relay has published {stored} of {messages} events again after {} s",
            REFILL.as_secs()
        );
        sleep(Duration::from_millis(1)).await;
    }
}

async fn messages(jetstream: &jetstream::Context) -> Result<u64> {
    let stream = jetstream.get_stream_no_info("orders").await?;
    Ok(stream.get_info().await?.state.messages)
}
