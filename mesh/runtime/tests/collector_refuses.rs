//! A collector that answers, and takes nothing: whoever is served does not notice, what is refused is not
//! kept, and what comes when it takes again is sent. A process of its own: telemetry is set up once.

#[path = "support/counted.rs"]
mod counted;
#[path = "support/load.rs"]
mod load;
mod support;

use std::time::{Duration, Instant};

use counted::{counted, has_counted};
use load::{CALLS, FLUSH, HELD, LIMIT, sends_to, serve};
use mesh_runtime::{telemetry, trace};
use support::Collector;
use tonic::Code;

const SPANS: &str = "mesh_telemetry_spans_not_sent_total";
const METRICS: &str = "mesh_telemetry_metrics_not_sent_total";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_collector_refuses_is_not_kept_and_what_it_takes_later_is_sent() {
    let collector = Collector::start().await;
    collector.answer.send_replace(Some(Err(Code::ResourceExhausted)));
    let config = sends_to(collector.endpoint.clone(), "collector_refuses");
    telemetry::init("refused", &config).unwrap();

    serve();
    let held = CALLS - counted(SPANS);
    assert!(held <= HELD, "{held} spans were held");
    has_counted(SPANS, CALLS, LIMIT).await;
    has_counted(METRICS, 1, LIMIT).await;
    let before = collector.received();
    assert!(before.spans.is_empty() && before.logs.is_empty(), "nothing was taken");

    // Of another reason to refuse nothing else comes.
    collector.answer.send_replace(Some(Err(Code::InvalidArgument)));
    for _ in 0..CALLS {
        let _inside = trace::begin(None, || tracing::error_span!(parent: None, "call")).entered();
    }
    has_counted(SPANS, 2 * CALLS, LIMIT).await;

    collector.open();
    let last = trace::begin(None, || tracing::error_span!(parent: None, "last"));
    drop(last.entered());
    let begun = Instant::now();
    telemetry::flush(FLUSH).await;
    assert!(begun.elapsed() < FLUSH + Duration::from_secs(1), "{:?}", begun.elapsed());
    let all = collector.received();
    let names: Vec<_> = all.spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["last"]);
    assert!(all.logs.len() <= HELD, "{} lines were held", all.logs.len());
    assert!(!all.metrics.is_empty());
}
