//! Nobody listens where the collector should be: whoever is served does not notice, what waits for it is
//! bounded, and the process ends in time. A process of its own: telemetry is set up once.

#[path = "support/counted.rs"]
mod counted;

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use counted::{counted, has_counted};
use mesh_runtime::{ServiceConfig, telemetry, trace};

/// Far more than a queue holds.
const CALLS: usize = 50_000;
/// A queue, and what is on its way or being read from it (OpenTelemetry's defaults).
const HELD: usize = 2_048 + 2 * 512;
const FLUSH: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_secs(60);
const SPANS: &str = "mesh_telemetry_spans_not_sent_total";
const METRICS: &str = "mesh_telemetry_metrics_not_sent_total";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_listens_little_is_held_and_all_is_given_up() {
    // A port that was somebody's a moment ago: connections to it are refused.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let config = ServiceConfig {
        otlp_endpoint: Some(endpoint),
        otlp_interval: Duration::from_millis(20),
        log_level: "error,collector_absent=info".to_owned(),
        ..ServiceConfig::default()
    };
    telemetry::init("absent", &config).unwrap();

    // Nothing here awaits: a full queue that made its caller wait would stop the test.
    for call in 0..CALLS {
        let _inside = trace::begin(None, || tracing::error_span!(parent: None, "call")).entered();
        if call % 10 == 0 {
            tracing::info!(call, "served");
        }
    }
    let held = CALLS - counted(SPANS);
    let begun = Instant::now();
    telemetry::flush(FLUSH).await;
    let took = begun.elapsed();

    assert!(held <= HELD, "{held} spans were held");
    assert!(took < FLUSH + Duration::from_secs(1), "{took:?}");
    has_counted(SPANS, CALLS, LIMIT).await;
    has_counted(METRICS, 1, LIMIT).await;
}
