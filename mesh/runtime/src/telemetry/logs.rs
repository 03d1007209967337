//! Log lines by OTLP: the same fields as on stdout, with trace and span where OpenTelemetry has them.

use std::time::SystemTime;

use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, Severity};
use opentelemetry::trace::{SpanId, TraceFlags, TraceId};
use opentelemetry_sdk::logs::SdkLogger;
use serde_json::Value;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

use super::lines;

/// What sends the lines writes some itself: sent too, each would be the cause of the next.
const SENDERS: [&str; 6] = ["opentelemetry", "tonic", "h2", "hyper", "hyper_util", "tower"];
const MESSAGE: &str = "message";

/// Sends each event as a log record.
pub(super) struct Logs(pub(super) SdkLogger);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Logs {
    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let metadata = event.metadata();
        if is_sender(metadata.target()) {
            return;
        }
        let mut record = self.0.create_log_record();
        record.set_timestamp(SystemTime::now());
        record.set_target(metadata.target());
        record.set_severity_number(severity(*metadata.level()));
        record.set_severity_text(metadata.level().as_str());
        if let Some(place) = lines::place(event, &ctx) {
            let flags = if place.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
            record.set_trace_context(
                TraceId::from_bytes(place.trace_id.to_be_bytes()),
                SpanId::from_bytes(place.span_id.to_be_bytes()),
                Some(flags),
            );
        }
        lines::fields(event, &ctx, |name, value| match name {
            MESSAGE => record.set_body(any(value)),
            name => record.add_attribute(name, any(value)),
        });
        self.0.emit(record);
    }
}

fn is_sender(target: &str) -> bool {
    let krate = target.split("::").next().unwrap_or(target);
    // OpenTelemetry's crates use their names with dashes.
    SENDERS.contains(&krate) || krate.starts_with("opentelemetry")
}

fn severity(level: Level) -> Severity {
    match level {
        Level::TRACE => Severity::Trace,
        Level::DEBUG => Severity::Debug,
        Level::INFO => Severity::Info,
        Level::WARN => Severity::Warn,
        Level::ERROR => Severity::Error,
    }
}

fn any(value: Value) -> AnyValue {
    match value {
        Value::Bool(it) => it.into(),
        Value::String(it) => it.into(),
        Value::Number(it) => match (it.as_i64(), it.as_f64()) {
            (Some(whole), _) => whole.into(),
            (None, Some(number)) => number.into(),
            (None, None) => it.to_string().into(),
        },
        other => other.to_string().into(),
    }
}
