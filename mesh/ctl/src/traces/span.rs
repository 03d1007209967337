//! A span as people and programs are shown it.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{self as otlp};
use serde::{Deserialize, Serialize};

/// Which side of what a span is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Work inside of a process.
    #[default]
    Internal,
    /// A call that is answered.
    Server,
    /// A call that is made.
    Client,
    /// A message that is sent.
    Producer,
    /// A message that is handled.
    Consumer,
}

/// One span. Times are nanoseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Hexadecimal, as in a `traceparent`.
    pub trace_id: String,
    /// Hexadecimal.
    pub span_id: String,
    /// Empty at the root of a trace.
    pub parent_id: String,
    /// The resource that sent it: the service, or the process that several share.
    pub service: String,
    /// What it is about: `shop.orders.v1.OrdersService/PlaceOrder`.
    pub name: String,
    /// Which side it is.
    pub kind: Kind,
    /// When it began.
    pub start: u64,
    /// When it ended.
    pub end: u64,
    /// Whether it says that it failed.
    pub failed: bool,
    /// What it says about its failure.
    pub message: String,
    /// Everything else that it carries, as text.
    pub attributes: BTreeMap<String, String>,
    /// Spans of other traces that it belongs to as well.
    pub links: Vec<Link>,
    /// What happened meanwhile.
    pub events: Vec<Moment>,
}

/// Another span.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Link {
    /// Its trace.
    pub trace_id: String,
    /// Itself.
    pub span_id: String,
}

/// Something that happened during a span.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// What happened.
    pub name: String,
    /// Nanoseconds since 1970.
    pub at: u64,
    /// What it carries, as text.
    pub attributes: BTreeMap<String, String>,
}

impl Span {
    /// Translates a span that `service` sent.
    pub fn of(service: &str, span: otlp::Span) -> Span {
        let kind = match span.kind() {
            SpanKind::Server => Kind::Server,
            SpanKind::Client => Kind::Client,
            SpanKind::Producer => Kind::Producer,
            SpanKind::Consumer => Kind::Consumer,
            SpanKind::Internal | SpanKind::Unspecified => Kind::Internal,
        };
        let status = span.status.unwrap_or_default();
        let link = |link: otlp::span::Link| Link {
            trace_id: hex(&link.trace_id),
            span_id: hex(&link.span_id),
        };
        let moment = |event: otlp::span::Event| Moment {
            name: event.name,
            at: event.time_unix_nano,
            attributes: texts(event.attributes),
        };
        Span {
            trace_id: hex(&span.trace_id),
            span_id: hex(&span.span_id),
            parent_id: hex(&span.parent_span_id),
            service: service.to_owned(),
            name: span.name,
            kind,
            start: span.start_time_unix_nano,
            end: span.end_time_unix_nano.max(span.start_time_unix_nano),
            failed: status.code() == StatusCode::Error,
            message: status.message,
            attributes: texts(span.attributes),
            links: span.links.into_iter().map(link).collect(),
            events: span.events.into_iter().map(moment).collect(),
        }
    }

    /// How long it took, in nanoseconds.
    pub fn took(&self) -> u64 {
        self.end - self.start
    }

    /// An attribute's text; empty if it has none of this name.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

/// Attributes by name, their values as text.
fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    attributes.into_iter().map(|it| (it.key, it.value.map(text).unwrap_or_default())).collect()
}

/// A value as text.
pub(super) fn text(value: AnyValue) -> String {
    match value.value {
        None => String::new(),
        Some(Value::StringValue(text)) => text,
        Some(Value::BoolValue(is)) => is.to_string(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::BytesValue(bytes)) => hex(&bytes),
        Some(Value::ArrayValue(array)) => {
            array.values.into_iter().map(text).collect::<Vec<_>>().join(", ")
        }
        Some(other) => format!("{other:?}"),
    }
}

/// Small letters, two for each byte; nothing for an id that is all zeros, which means none.
pub(super) fn hex(bytes: &[u8]) -> String {
    if bytes.iter().all(|byte| *byte == 0) {
        return String::new();
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
