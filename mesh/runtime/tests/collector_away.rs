//! A collector that does not answer: whoever is served does not notice, what waits for it is bounded,
//! and the process ends in time. A process of its own: telemetry is set up once.

mod support;

use std::time::{Duration, Instant};

use mesh_runtime::{ServiceConfig, telemetry, trace};
use support::Collector;

/// Far more than a queue holds.
const CALLS: usize = 50_000;
/// A queue, and what is on its way or being read from it (OpenTelemetry's defaults).
const HELD: usize = 2_048 + 2 * 512;
const FLUSH: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_collector_is_bounded_and_the_rest_is_dropped() {
    let collector = Collector::start().await;
    let config = ServiceConfig {
        otlp_endpoint: Some(collector.endpoint.clone()),
        otlp_interval: Duration::from_millis(20),
        log_level: "error,collector_away=info".to_owned(),
        ..ServiceConfig::default()
    };
    telemetry::init("away", &config).unwrap();

    // Nothing here awaits: a full queue that made its caller wait would stop the test.
    for call in 0..CALLS {
        let _inside = trace::begin(None, || tracing::error_span!(parent: None, "call")).entered();
        if call % 10 == 0 {
            tracing::info!(call, "served");
        }
    }
    let begun = Instant::now();
    telemetry::flush(FLUSH).await;
    // The bound: the process ends although nobody takes what it has to say.
    assert!(begun.elapsed() < FLUSH + Duration::from_secs(1), "{:?}", begun.elapsed());

    collector.open();
    let all = tokio::time::timeout(LIMIT, async {
        loop {
            let all = collector.received();
            if !all.spans.is_empty() && !all.logs.is_empty() && !all.metrics.is_empty() {
                return all;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let all = all.await.expect("what waited is sent when the collector is back");
    assert!(all.spans.len() <= HELD, "{} spans were held", all.spans.len());
    assert!(all.logs.len() <= HELD, "{} lines were held", all.logs.len());
}
