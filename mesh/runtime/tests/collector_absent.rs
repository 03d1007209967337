//! Nobody listens where the collector should be: whoever is served does not notice, what waits for it is
//! bounded, and the process ends in time. A process of its own: telemetry is set up once.

#[path = "support/counted.rs"]
mod counted;
#[path = "support/load.rs"]
mod load;

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use counted::{counted, has_counted};
use load::{CALLS, FLUSH, HELD, LIMIT, sends_to, serve};
use mesh_runtime::telemetry;

const SPANS: &str = "mesh_telemetry_spans_not_sent_total";
const METRICS: &str = "mesh_telemetry_metrics_not_sent_total";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_listens_little_is_held_and_all_is_given_up() {
    // A port that was somebody's a moment ago: connections to it are refused.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let config = sends_to(endpoint, "collector_absent");
    telemetry::init("absent", &config).unwrap();

    serve();
    let held = CALLS - counted(SPANS);
    let begun = Instant::now();
    telemetry::flush(FLUSH).await;
    let took = begun.elapsed();

    assert!(held <= HELD, "{held} spans were held");
    assert!(took < FLUSH + Duration::from_secs(1), "{took:?}");
    has_counted(SPANS, CALLS, LIMIT).await;
    has_counted(METRICS, 1, LIMIT).await;
}
