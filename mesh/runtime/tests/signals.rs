//! All signals of a process by OTLP, and what they have in common. A process of its own: telemetry is
//! set up once.

mod support;

use std::{collections::BTreeMap, time::Duration};

use mesh_runtime::{
    Service, ServiceConfig,
    trace::{self, TraceContext},
};
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value},
    metrics::v1::{Exemplar, exemplar, metric::Data},
};
use support::{Collector, Received};
use tracing::Instrument as _;

const TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_signal_tells_whose_it_is_and_a_line_where_it_belongs() {
    let collector = Collector::start().await;
    collector.open();
    let config = ServiceConfig {
        otlp_endpoint: Some(collector.endpoint.clone()),
        otlp_interval: Duration::from_millis(50),
        service_version: "7.1".to_owned(),
        ..ServiceConfig::default()
    };
    let service = Service::begin("shop", &config).await.unwrap();
    let caller = TraceContext { trace_id: TRACE, span_id: 1, sampled: true };
    let span = trace::begin(
        Some(caller),
        || tracing::error_span!(parent: None, "call", otel.kind = "server", order_id = "o-1"),
    );
    let took = mesh_runtime::metrics::seconds("test.took", "What the test took");
    async {
        tracing::warn!(version = 3, "order placed");
        took.record(0.02, &[]);
    }
    .instrument(span)
    .await;

    let all = complete(&collector).await;

    let own = BTreeMap::from([
        ("service.name", "shop".to_owned()),
        ("service.version", "7.1".to_owned()),
        ("service.instance.id", service.instance().to_string()),
    ]);
    for resource in &all.resources {
        for (key, value) in &own {
            assert_eq!(text(&resource.attributes, key), Some(value.as_str()), "{resource:?}");
        }
    }
    let span = all.spans.iter().find(|span| span.name == "call").unwrap();
    assert_eq!(span.trace_id, TRACE.to_be_bytes());
    let line = all.logs.iter().find(|line| body(line) == Some("order placed")).unwrap();
    assert_eq!((&line.trace_id, &line.span_id), (&span.trace_id, &span.span_id));
    assert_eq!(text(&line.attributes, "order_id"), Some("o-1"));
    assert_eq!(line.severity_text, "WARN");
    assert!(line.time_unix_nano > 0);
    let exemplar = exemplars(&all).pop().unwrap();
    assert_eq!((&exemplar.trace_id, &exemplar.span_id), (&span.trace_id, &span.span_id));
    assert_eq!(exemplar.value, Some(exemplar::Value::AsDouble(0.02)));
    assert!(exemplar.time_unix_nano > 0);
}

/// Of what the test measured.
fn exemplars(all: &Received) -> Vec<Exemplar> {
    let took = all.metrics.iter().rfind(|metric| metric.name == "test.took");
    match took.and_then(|metric| metric.data.clone()) {
        Some(Data::Histogram(histogram)) => histogram.data_points[0].exemplars.clone(),
        _ => Vec::new(),
    }
}

/// Waits until everything has come that the test looks at.
async fn complete(collector: &Collector) -> Received {
    let come = async {
        loop {
            let all = collector.received();
            let metrics = ["build_info", "tokio.alive_tasks", "tokio.worker.busy_duration"];
            let measured =
                metrics.iter().all(|name| all.metrics.iter().any(|metric| metric.name == *name));
            let said = all.logs.iter().any(|line| body(line) == Some("order placed"));
            let measured = measured && !exemplars(&all).is_empty();
            if measured && said && all.spans.iter().any(|span| span.name == "call") {
                return all;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, come).await.expect("a signal did not come")
}

fn body(line: &opentelemetry_proto::tonic::logs::v1::LogRecord) -> Option<&str> {
    string(line.body.as_ref())
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    string(attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref())
}

fn string(value: Option<&AnyValue>) -> Option<&str> {
    match value?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}
