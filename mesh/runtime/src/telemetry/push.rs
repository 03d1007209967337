//! Metrics by OTLP: what `/metrics` would show, sent now and then.

use std::{
    sync::{LazyLock, OnceLock},
    time::Duration,
};

use opentelemetry::metrics::Counter;
use opentelemetry_proto::tonic::{
    collector::metrics::v1::{
        ExportMetricsServiceRequest, metrics_service_client::MetricsServiceClient,
    },
    common::v1::{KeyValue, any_value::Value},
    metrics::v1::{Exemplar, HistogramDataPoint, Metric, exemplar, metric::Data},
};
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint, Error};

use super::otlp::LIMIT;
use crate::metrics::{self, exemplars};

static CLIENT: OnceLock<MetricsServiceClient<Channel>> = OnceLock::new();
static FAILED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    metrics::meter()
        .u64_counter("mesh.telemetry.metrics_not_sent")
        .with_description("Times that metrics did not reach the collector")
        .build()
});

/// Sends all metrics each time that `interval` has passed, as long as the runtime lives.
pub(super) fn begin(endpoint: &str, interval: Duration) -> Result<(), Error> {
    let channel = Endpoint::from_shared(endpoint.to_owned())?.connect_lazy();
    let client = CLIENT.get_or_init(|| MetricsServiceClient::new(channel));
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(interval).await;
            send(client).await;
        }
    });
    Ok(())
}

/// Sends them once more, if they are sent at all.
pub(super) async fn last() {
    if let Some(client) = CLIENT.get() {
        send(client).await;
    }
}

async fn send(client: &MetricsServiceClient<Channel>) {
    let Some(metrics) = metrics::read() else { return };
    let request = with_exemplars(ExportMetricsServiceRequest::from(&metrics));
    let error = match timeout(LIMIT, client.clone().export(request)).await {
        Ok(Ok(_)) => return,
        Ok(Err(refused)) => refused.to_string(),
        Err(late) => late.to_string(),
    };
    // The next ones say all that these would have said.
    FAILED.add(1, &[]);
    tracing::debug!(error, "metrics were not sent");
}

/// The SDK knows of no exemplars.
fn with_exemplars(mut request: ExportMetricsServiceRequest) -> ExportMetricsServiceRequest {
    let resources = request.resource_metrics.iter_mut();
    let scopes = resources.flat_map(|of| &mut of.scope_metrics);
    for Metric { name, data, .. } in scopes.flat_map(|of| &mut of.metrics) {
        if let Some(Data::Histogram(histogram)) = data {
            histogram.data_points.iter_mut().for_each(|point| add_exemplars(name, point));
        }
    }
    request
}

fn add_exemplars(histogram: &str, point: &mut HistogramDataPoint) {
    let labels = point.attributes.iter().map(|it| (it.key.as_str(), text(it)));
    let kept = exemplars::of(histogram, labels).into_iter().map(|it| Exemplar {
        filtered_attributes: Vec::new(),
        time_unix_nano: it.nanos,
        span_id: it.place.span_id.to_be_bytes().to_vec(),
        trace_id: it.place.trace_id.to_be_bytes().to_vec(),
        value: Some(exemplar::Value::AsDouble(it.seconds)),
    });
    point.exemplars = kept.collect();
}

/// As the label's text is in [`metrics`]; ours are texts.
fn text(label: &KeyValue) -> String {
    match label.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::BoolValue(it)) => it.to_string(),
        Some(Value::IntValue(it)) => it.to_string(),
        Some(Value::DoubleValue(it)) => it.to_string(),
        _ => String::new(),
    }
}
