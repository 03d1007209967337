//! What a Collector wrote into its file: OTLP's JSON, a batch a line.

use std::collections::BTreeSet;

use serde_json::Value;

/// As OTLP numbers a span's status.
const ERROR: u64 = 2;

/// All batches.
pub struct Signals(Vec<Value>);

/// A span, as far as the test looks at it.
#[derive(Clone, Debug)]
pub struct Kept {
    pub service: String,
    pub name: String,
    pub trace_id: String,
    pub span_id: String,
    /// Empty at the root of a trace.
    pub parent_id: String,
    pub failed: bool,
    /// Empty if it does not say.
    pub order_id: String,
}

impl Signals {
    /// Reads a file that may still be written to: what is half there is not read.
    pub fn parse(text: &str) -> Self {
        Self(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    /// The services that sent something of a kind, `resourceSpans` for one.
    pub fn services(&self, kind: &str) -> BTreeSet<String> {
        self.resources(kind).map(|(service, _)| service).collect()
    }

    /// The trace in which this order was placed; empty if it is not there.
    pub fn trace_of(&self, order_id: &str) -> Vec<Kept> {
        let spans = self.spans();
        let placed = |span: &&Kept| span.order_id == order_id && span.name.ends_with("/PlaceOrder");
        let Some(trace) = spans.iter().find(placed).map(|span| span.trace_id.clone()) else {
            return Vec::new();
        };
        spans.into_iter().filter(|span| span.trace_id == trace).collect()
    }

    pub fn spans(&self) -> Vec<Kept> {
        let of = |(service, resource): (String, &Value)| {
            let scopes = list(&resource["scopeSpans"]).iter();
            let spans = scopes.flat_map(|scope| list(&scope["spans"]));
            spans.map(|it| span(&service, it)).collect::<Vec<_>>()
        };
        self.resources("resourceSpans").flat_map(of).collect()
    }

    /// What each process sent in each batch.
    fn resources<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (String, &'a Value)> {
        let resources = self.0.iter().flat_map(move |batch| list(&batch[kind]));
        resources.map(|it| (attribute(&it["resource"], "service.name"), it))
    }
}

fn span(service: &str, span: &Value) -> Kept {
    let text = |key: &str| span[key].as_str().unwrap_or_default().to_owned();
    Kept {
        service: service.to_owned(),
        name: text("name"),
        trace_id: text("traceId"),
        span_id: text("spanId"),
        parent_id: text("parentSpanId"),
        failed: span["status"]["code"] == ERROR,
        order_id: attribute(span, "order_id"),
    }
}

fn attribute(of: &Value, key: &str) -> String {
    let found = list(&of["attributes"]).iter().find(|it| it["key"] == key);
    found.and_then(|it| it["value"]["stringValue"].as_str()).unwrap_or_default().to_owned()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
