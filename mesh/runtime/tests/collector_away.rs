//! A collector that does not answer: whoever is served does not notice, what waits for it is bounded,
//! and the process ends in time. A process of its own: telemetry is set up once.

#[path = "support/load.rs"]
mod load;
mod support;

use std::time::{Duration, Instant};

use load::{FLUSH, HELD, LIMIT, sends_to, serve};
use mesh_runtime::telemetry;
use support::Collector;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_collector_is_bounded_and_the_rest_is_dropped() {
    let collector = Collector::start().await;
    let config = sends_to(collector.endpoint.clone(), "collector_away");
    telemetry::init("away", &config).unwrap();

    serve();
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
