//! What the gateway costs: the same product asked for at the service itself, through the gateway by gRPC,
//! through it by JSON, and by JSON through Envoy; and what the gateway holds for a stream that is open.
//!
//! The ways are measured in turn, in short rounds, so that what else the machine does falls on all of
//! them. Asked is a shop that runs, if there is one: its catalog, which reads its database, and its
//! gateway; and a service that answers at once, which shows nothing but what is before it. That one is in
//! this process with the callers; the gateway before it and Envoy have a process each, with one thread
//! that works. Every caller makes its next call when the last was answered.

mod clients;
mod door;
mod report;
mod service;
mod ways;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mesh_local::Transcoder;
use tokio::task::JoinSet;

use super::rpc::percentile;
use super::usage_with_children;
use clients::Client;
use door::Gateway;
pub use report::{Asked, Figures, Report, Row, Streams};
use ways::{Round, Targets, Turn, Way};

/// Fewer rounds of each way have no median worth the name.
const MIN_ROUNDS: u32 = 7;
/// Before the first round with so many callers.
const WARM_UP: Duration = Duration::from_millis(300);

/// How it is measured.
#[derive(Clone, Debug)]
pub struct Options {
    /// Numbers of callers, one after the other.
    pub callers: Vec<usize>,
    /// For each of these: all ways together, warming up aside.
    pub time: Duration,
    /// Streams that are open at once.
    pub streams: usize,
    /// A shop that runs, to be measured first.
    pub shop: Option<Shop>,
}

/// Where a shop answers.
#[derive(Clone, Debug)]
pub struct Shop {
    /// Its catalog, by gRPC.
    pub catalog: SocketAddr,
    /// Its gateway.
    pub gateway: SocketAddr,
}

/// Measures; `serve` makes the command that runs the services of a file, `envoy` is the peer's program,
/// which is left out without one, and `step` is told what begins.
///
/// # Errors
/// A call failed: what is measured then is something else.
pub async fn run(
    options: &Options,
    folder: &Path,
    serve: impl FnOnce(&Path) -> Command,
    envoy: Option<&Path>,
    mut step: impl FnMut(String),
) -> Result<Report> {
    let mut rows = Vec::new();
    if let Some(Shop { catalog, gateway }) = options.shop {
        let sku = &clients::product(gateway).await.context("the shop's gateway")?;
        let peer = peer(envoy, folder, catalog).await?;
        let envoy = peer.as_ref().map(Transcoder::at);
        let targets = Targets { sku, service: catalog, gateway, envoy };
        rows.extend(compare(options, Asked::Catalog, &targets, &mut step).await?);
    }
    step("starting a gateway".to_owned());
    let behind = service::serve().await?;
    let gateway = Gateway::start(behind, folder, serve).await?;
    let peer = peer(envoy, folder, behind).await?;
    let envoy = peer.as_ref().map(Transcoder::at);
    let targets = Targets { sku: service::SKU, service: behind, gateway: gateway.at, envoy };
    rows.extend(compare(options, Asked::AtOnce, &targets, &mut step).await?);
    drop(peer);
    step(format!("{} open streams", options.streams));
    let streams = held(&gateway, options.streams).await?;
    Ok(Report { rows, streams })
}

/// Measures all ways to one service, with each number of callers.
async fn compare(
    options: &Options,
    asked: Asked,
    targets: &Targets<'_>,
    step: &mut impl FnMut(String),
) -> Result<Vec<Row>> {
    let mut rows = Vec::with_capacity(options.callers.len());
    for &count in &options.callers {
        let (s, seconds) = (if count == 1 { "" } else { "s" }, options.time.as_secs());
        let ways = targets.callers(count)?;
        step(format!("{asked}: {count} caller{s} for {seconds} s, {} ways in turn", ways.len()));
        rows.push(Row::new(asked, count, &in_turn(ways, options.time).await?));
    }
    Ok(rows)
}

/// Envoy before the same service, if there is an Envoy.
async fn peer(
    program: Option<&Path>,
    folder: &Path,
    behind: SocketAddr,
) -> Result<Option<Transcoder>> {
    let Some(program) = program else { return Ok(None) };
    let services = ["shop.catalog.v1.CatalogService".to_owned()];
    Transcoder::start(program, folder, behind, shop::DESCRIPTORS, &services).await.map(Some)
}

/// Measures the ways in short rounds for `time` together, each with a round before to warm up.
async fn in_turn(mut ways: Vec<(Way, Vec<Client>)>, time: Duration) -> Result<Vec<Turn>> {
    let count = u32::try_from(time.as_secs()).unwrap_or(u32::MAX).max(MIN_ROUNDS);
    let each = time / count / u32::try_from(ways.len())?;
    for (_, clients) in &mut ways {
        round(clients, each.max(WARM_UP)).await?;
    }
    let mut turns = Vec::new();
    for _ in 0..count {
        let mut turn = Turn::default();
        for (way, clients) in &mut ways {
            turn.0.push((*way, round(clients, each).await?));
        }
        turns.push(turn);
        // Who comes later finds caches and clock rate as the others left them.
        ways.rotate_left(1);
    }
    Ok(turns)
}

/// Calls for so long, every client for itself.
async fn round(clients: &mut Vec<Client>, time: Duration) -> Result<Round> {
    let mut tasks = JoinSet::new();
    let begun = Instant::now();
    for client in clients.drain(..) {
        tasks.spawn(call_until(client, begun + time));
    }
    let mut took = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        let (client, times) = ended.context("a caller failed")??;
        clients.push(client);
        took.extend(times);
    }
    let elapsed = begun.elapsed();
    took.sort_unstable();
    ensure!(!took.is_empty(), "no call was made");
    Ok(Round {
        rps: took.len() as f64 / elapsed.as_secs_f64(),
        p50_us: percentile(&took, 0.50),
        p99_us: percentile(&took, 0.99),
    })
}

/// Returns how long each call took, in nanoseconds.
async fn call_until(mut client: Client, end: Instant) -> Result<(Client, Vec<u64>)> {
    let mut took = Vec::new();
    let mut begun = Instant::now();
    while begun < end {
        client.call().await.context("a call failed")?;
        let now = Instant::now();
        took.push(u64::try_from((now - begun).as_nanos()).unwrap_or(u64::MAX));
        begun = now;
    }
    Ok((client, took))
}

/// What the gateway's process holds without a stream and with so many.
async fn held(gateway: &Gateway, streams: usize) -> Result<Streams> {
    let rss = || usage_with_children(gateway.pid()).context("the gateway has ended");
    let before = rss()?.rss_kib;
    let open = clients::open(gateway.at, streams).await?;
    let after = rss()?.rss_kib;
    Ok(Streams::new(open.len(), before, after))
}
