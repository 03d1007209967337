//! Fields of spans and events as JSON.

use std::{error::Error, fmt};

use serde_json::Value;
use tracing::field::{Field, Visit};

/// Collects fields, later ones replacing earlier ones of the same name.
///
/// Names with a dot are attributes for traces (`rpc.method`, `otel.kind`), not for log lines.
#[derive(Debug, Default)]
pub(crate) struct Fields(pub(super) Vec<(&'static str, Value)>);

impl Fields {
    /// The text that a field has.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let (_, value) = self.0.iter().find(|(known, _)| *known == name)?;
        value.as_str().map(str::to_owned)
    }

    fn put(&mut self, field: &Field, value: impl FnOnce() -> Value) {
        let name = field.name();
        if name.contains('.') {
            return;
        }
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value(),
            None => self.0.push((name, value())),
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, || value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, || value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, || value.into());
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.put(field, || value.to_string().into());
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.put(field, || value.to_string().into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, || value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, || value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.put(field, || value.to_string().into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, || format!("{value:?}").into());
    }
}
