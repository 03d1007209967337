//! Fields of spans and events as OpenTelemetry's attributes.
//!
//! Of a span the fields `otel.name`, `otel.kind`, `otel.status_code` and `otel.status_description` are
//! no attributes, but what they are called; `otel.start` and `otel.end`, in nanoseconds since 1970, are
//! when a span that is told of afterwards began and ended.

use std::{error::Error, fmt};

use tracing::field::{Field, Visit};

use super::wire::Value;

/// Hands each field to a span or to an event.
pub(super) struct Fields<'a, T>(pub &'a mut T);

/// Takes one field after the other.
pub(super) trait Take {
    fn take(&mut self, name: &'static str, value: Value<'_>);
}

impl<T: Take> Visit for Fields<'_, T> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.take(field.name(), Value::Double(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.take(field.name(), Value::Int(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        // OpenTelemetry has no larger numbers.
        match i64::try_from(value) {
            Ok(number) => self.0.take(field.name(), Value::Int(number)),
            Err(_) => self.0.take(field.name(), Value::Text(&value.to_string())),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.take(field.name(), Value::Bool(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.take(field.name(), Value::Text(value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.0.take(field.name(), Value::Text(&value.to_string()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.take(field.name(), Value::Text(&format!("{value:?}")));
    }
}
