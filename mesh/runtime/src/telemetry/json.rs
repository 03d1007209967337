//! Log lines as flat JSON: the event's fields, those of its spans, and the trace.

use std::io::{self, Write as _};

use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    fmt::MakeWriter,
    layer::Context,
    registry::{LookupSpan, SpanRef},
};

use super::{fields::Fields, local::LocalTrace, time};

/// Writes one JSON object per event.
pub(super) struct Json<W> {
    writer: W,
}

impl<W> Json<W> {
    pub(super) fn new(writer: W) -> Self {
        Self { writer }
    }
}

impl<S, W> Layer<S> for Json<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        // Most spans carry attributes for traces only.
        if let Some(span) = ctx.span(id).filter(|_| !fields.0.is_empty()) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        let mut extensions = span.extensions_mut();
        match extensions.get_mut::<Fields>() {
            Some(fields) => values.record(fields),
            None => {
                let mut fields = Fields::default();
                values.record(&mut fields);
                extensions.insert(fields);
            }
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let mut line = Map::new();
        line.insert("timestamp".to_owned(), time::now().into());
        line.insert("level".to_owned(), event.metadata().level().as_str().into());
        line.insert("target".to_owned(), event.metadata().target().into());
        for span in ctx.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            add_span(&mut line, &span);
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        line.extend(fields.0.into_iter().map(|(name, value)| (name.to_owned(), value)));
        // A line that cannot be written has nowhere to be reported.
        let _ = self.write(&Value::Object(line), event);
    }
}

impl<W: for<'a> MakeWriter<'a>> Json<W> {
    fn write(&self, line: &Value, event: &Event<'_>) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.writer.make_writer_for(event.metadata()).write_all(&text)
    }
}

fn add_span<S: for<'a> LookupSpan<'a>>(line: &mut Map<String, Value>, span: &SpanRef<'_, S>) {
    if let Some(trace_id) = trace_id(span) {
        line.insert("trace_id".to_owned(), trace_id.into());
    }
    if let Some(fields) = span.extensions().get::<Fields>() {
        line.extend(fields.0.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    }
}

fn trace_id<S: for<'a> LookupSpan<'a>>(span: &SpanRef<'_, S>) -> Option<String> {
    if let Some(trace) = span.extensions().get::<LocalTrace>() {
        return Some(format!("{:032x}", trace.trace_id));
    }
    if !super::exports_traces() {
        return None;
    }
    let context = tracing::dispatcher::get_default(|dispatch| {
        tracing_opentelemetry::get_otel_context(&span.id(), dispatch)
    })?;
    crate::trace::of_context(&context).map(|trace| format!("{:032x}", trace.trace_id))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::{super::Local, *};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(text);
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_carries_the_fields_of_its_spans_and_the_trace() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber =
            tracing_subscriber::registry().with(Local).with(Json::new(move || writer.clone()));

        tracing::subscriber::with_default(subscriber, || {
            let span =
                tracing::info_span!("call", rpc.method = "A/B", order_id = tracing::field::Empty,);
            crate::trace::set_parent(
                &span,
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap(),
            );
            let _entered = span.enter();
            span.record("order_id", "o-1");
            tracing::info!(version = 3, "order placed");
        });

        let line: Value = serde_json::from_slice(&lines.0.lock().unwrap()).unwrap();
        assert_eq!(line["message"], "order placed");
        assert_eq!(line["order_id"], "o-1");
        assert_eq!(line["version"], 3);
        assert_eq!(line["trace_id"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(line["level"], "INFO");
        assert_eq!(line.get("rpc.method"), None);
    }
}
