//! What two glances say: rates, errors, latencies, and what waits.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Glance, Metrics, Seen};

/// Codes that the semantic conventions call an error of the server.
const SERVER_ERRORS: [&str; 6] =
    ["UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"];
const CODE: &str = "rpc_response_status_code";
const ANSWERED: &str = "rpc_server_call_duration_seconds";
const MADE: &str = "rpc_client_call_duration_seconds";
/// Health and reflection, which nobody orders anything by.
const INFRASTRUCTURE: &str = "grpc.";

/// The shop between two glances.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct View {
    /// How far the glances lie apart.
    pub interval_seconds: f64,
    /// Calls from outside and between services, answered per second.
    pub calls_per_second: f64,
    /// Every process.
    pub services: Vec<Row>,
    /// Every service that has sagas.
    pub sagas: Vec<Sagas>,
}

/// One process. What nobody tells is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Row {
    /// The service, or the server.
    pub service: String,
    /// Which of several, from 0.
    pub replica: usize,
    /// The process id.
    pub pid: u32,
    /// Whether it is ready.
    pub ready: bool,
    /// Seconds since it was started.
    pub up_seconds: Option<f64>,
    /// Of one core.
    pub cpu_percent: Option<f64>,
    /// Resident memory.
    pub rss_mib: Option<f64>,
    /// Calls that it answered.
    pub calls_per_second: Option<f64>,
    /// Of those, the ones that failed by its own fault.
    pub error_percent: Option<f64>,
    /// How long half of them took at most.
    pub p50_ms: Option<f64>,
    /// How long 99 of a hundred took at most.
    pub p99_ms: Option<f64>,
    /// Calls that it made.
    pub made_per_second: Option<f64>,
    /// Of those, the ones that did not end with OK, whoever is to blame.
    pub made_error_percent: Option<f64>,
    /// Endpoints that it does not call because of what they answered.
    pub breakers_open: Option<f64>,
    /// Rows of its log that are not published.
    pub relay_lag: Option<f64>,
    /// Messages that it has not handled.
    pub consumer_lag: Option<f64>,
    /// Events that it could not apply.
    pub dead_letters: Option<f64>,
}

/// One service's sagas.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Sagas {
    /// The service.
    pub service: String,
    /// Those that have work to do.
    pub awake: f64,
    /// Those that wait for an operator.
    pub parked: f64,
    /// How long the oldest has been at it that does not wait for an operator.
    pub oldest_seconds: f64,
    /// Steps that came to an end.
    pub steps_per_second: f64,
}

impl View {
    /// Compares two glances at the same processes.
    pub fn between(before: &Glance, after: &Glance) -> View {
        let seconds = (after.at - before.at).as_secs_f64().max(1e-3);
        let mut view = View { interval_seconds: seconds, ..View::default() };
        let mut processes = BTreeSet::new();
        let mut sagas: BTreeMap<String, Sagas> = BTreeMap::new();
        for seen in &after.seen {
            let process = &seen.process;
            let same = |it: &&Seen| {
                it.process.name == process.name && it.process.replica == process.replica
            };
            let earlier = before.seen.iter().find(same);
            // What services that share a process use is told once.
            let first = processes.insert(process.pid);
            let row = row(seen, earlier, seconds, first);
            view.calls_per_second += row.calls_per_second.unwrap_or_default();
            view.services.push(row);
            if let Some(metrics) = &seen.metrics {
                let since = since(metrics, earlier);
                add_sagas(&mut sagas, &process.name, metrics, &since, seconds);
            }
        }
        view.sagas = sagas.into_values().collect();
        view
    }
}

fn since(metrics: &Metrics, earlier: Option<&Seen>) -> Metrics {
    let before = earlier.and_then(|it| it.metrics.as_ref());
    // Seen for the first time, it tells nothing about the time between.
    metrics.since(before.unwrap_or(metrics))
}

fn row(seen: &Seen, earlier: Option<&Seen>, seconds: f64, first: bool) -> Row {
    let process = &seen.process;
    // Another process began at zero.
    let cpu = seen.cpu_seconds.map(|now| {
        let same = earlier.filter(|earlier| earlier.process.pid == process.pid);
        let before = same.and_then(|earlier| earlier.cpu_seconds).unwrap_or_default();
        (now - before).max(0.0) / seconds * 100.0
    });
    let row = Row {
        service: process.name.clone(),
        replica: process.replica,
        pid: process.pid,
        ready: seen.ready,
        up_seconds: seen.up_seconds.map(tenths),
        cpu_percent: cpu.filter(|_| first).map(tenths),
        #[expect(clippy::cast_precision_loss, reason = "shown in MiB")]
        rss_mib: seen.rss_kib.filter(|_| first).map(|kib| tenths(kib as f64 / 1024.0)),
        ..Row::default()
    };
    let Some(metrics) = &seen.metrics else { return row };
    let name = &process.name;
    let since = since(metrics, earlier);
    let (calls, errors) = calls(&since, ANSWERED, name, |code| SERVER_ERRORS.contains(&code));
    let (made, failed) = calls_made(&since, name);
    let took = since.buckets(ANSWERED, name, is_ours);
    let millis = |share| took.quantile(share).map(|seconds| hundredths(seconds * 1000.0));
    let open =
        |labels: &BTreeMap<String, String>| labels.get("state").is_some_and(|it| it == "OPEN");
    Row {
        calls_per_second: calls.map(|count| tenths(count / seconds)),
        error_percent: percent(errors, calls),
        p50_ms: millis(0.5),
        p99_ms: millis(0.99),
        made_per_second: made.map(|count| tenths(count / seconds)),
        made_error_percent: percent(failed, made),
        breakers_open: metrics.sum("mesh_breaker_state", name, open).filter(|_| first),
        relay_lag: metrics.largest("mesh_relay_lag_rows", name),
        consumer_lag: metrics.sum("mesh_consumer_lag", name, |_| true),
        dead_letters: metrics.sum("mesh_dead_letters", name, |_| true),
        ..row
    }
}

/// How many calls there were, and how many of them count as errors.
fn calls(
    since: &Metrics,
    name: &str,
    service: &str,
    is_error: impl Fn(&str) -> bool,
) -> (Option<f64>, Option<f64>) {
    let name = format!("{name}_count");
    let failed = |labels: &BTreeMap<String, String>| {
        is_ours(labels) && labels.get(CODE).is_some_and(|code| is_error(code))
    };
    (since.sum(&name, service, is_ours), since.sum(&name, service, failed))
}

fn calls_made(since: &Metrics, service: &str) -> (Option<f64>, Option<f64>) {
    calls(since, MADE, service, |code| code != "OK")
}

fn is_ours(labels: &BTreeMap<String, String>) -> bool {
    labels.get("rpc_method").is_none_or(|method| !method.starts_with(INFRASTRUCTURE))
}

fn add_sagas(
    sagas: &mut BTreeMap<String, Sagas>,
    service: &str,
    metrics: &Metrics,
    since: &Metrics,
    seconds: f64,
) {
    let value = |name: &str| metrics.largest(name, service);
    let Some(awake) = value("mesh_saga_awake") else { return };
    let entry = sagas.entry(service.to_owned()).or_default();
    service.clone_into(&mut entry.service);
    // Each replica looks at the whole database, one a moment later than another.
    entry.awake = entry.awake.max(awake);
    entry.parked = entry.parked.max(value("mesh_saga_parked").unwrap_or_default());
    let oldest = value("mesh_saga_oldest_age_seconds").unwrap_or_default();
    entry.oldest_seconds = tenths(entry.oldest_seconds.max(oldest));
    let steps = since.sum("mesh_saga_steps_total", service, |_| true).unwrap_or_default();
    entry.steps_per_second = tenths(entry.steps_per_second + steps / seconds);
}

fn percent(part: Option<f64>, whole: Option<f64>) -> Option<f64> {
    let whole = whole.filter(|whole| *whole > 0.0)?;
    Some(hundredths(part.unwrap_or_default() / whole * 100.0))
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
