//! Fields of spans and events as OpenTelemetry's attributes.
//!
//! Of a span the fields `otel.name`, `otel.kind`, `otel.status_code` and `otel.status_description` are
//! no attributes, but what they are called.

use std::{borrow::Cow, error::Error, fmt};

use opentelemetry::{
    KeyValue, Value,
    trace::{SpanKind, Status},
};
use opentelemetry_sdk::trace::SpanData;
use tracing::field::{Field, Visit};

/// The most attributes of one span (OpenTelemetry's default).
const MOST: usize = 128;
const MESSAGE: &str = "message";

/// Hands each field to a span or to an event.
pub(super) struct Fields<'a, T>(pub &'a mut T);

/// What an event says.
pub(super) struct Said {
    /// Its message, if it has one.
    pub name: Cow<'static, str>,
    /// The rest.
    pub attributes: Vec<KeyValue>,
}

/// Takes one field after the other.
pub(super) trait Take {
    fn take(&mut self, name: &'static str, value: Value);
}

/// A later field replaces an earlier one of the same name.
impl Take for SpanData {
    fn take(&mut self, name: &'static str, value: Value) {
        match name {
            "otel.name" => self.name = Cow::Owned(value.as_str().into_owned()),
            "otel.kind" => self.span_kind = kind(&value.as_str()),
            "otel.status_code" => self.status = status(&value.as_str()),
            "otel.status_description" => self.status = Status::error(value.as_str().into_owned()),
            _ => match self.attributes.iter().position(|it| it.key.as_str() == name) {
                Some(known) => self.attributes[known].value = value,
                None if self.attributes.len() < MOST => {
                    self.attributes.push(KeyValue::new(name, value));
                }
                None => self.dropped_attributes_count += 1,
            },
        }
    }
}

impl Take for Said {
    fn take(&mut self, name: &'static str, value: Value) {
        if name == MESSAGE {
            self.name = Cow::Owned(value.as_str().into_owned());
        } else {
            self.attributes.push(KeyValue::new(name, value));
        }
    }
}

impl<T: Take> Visit for Fields<'_, T> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.take(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.take(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        // OpenTelemetry has no larger numbers.
        let number = i64::try_from(value).map(Value::from);
        self.0.take(field.name(), number.unwrap_or_else(|_| value.to_string().into()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.take(field.name(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.take(field.name(), value.to_owned().into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.0.take(field.name(), value.to_string().into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.take(field.name(), format!("{value:?}").into());
    }
}

fn kind(text: &str) -> SpanKind {
    match text {
        "server" => SpanKind::Server,
        "client" => SpanKind::Client,
        "producer" => SpanKind::Producer,
        "consumer" => SpanKind::Consumer,
        _ => SpanKind::Internal,
    }
}

fn status(text: &str) -> Status {
    match text {
        "OK" => Status::Ok,
        "ERROR" => Status::error(""),
        _ => Status::Unset,
    }
}
