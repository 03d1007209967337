//! Log lines as flat JSON: the event's fields, those of its spans, and the trace.

use std::io::{self, Write as _};

use serde_json::{Map, Value};
use tracing::{Event, Subscriber};
use tracing_subscriber::{Layer, fmt::MakeWriter, layer::Context, registry::LookupSpan};

use super::{lines, time};

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
    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let mut line = Map::new();
        line.insert("timestamp".to_owned(), time::now().into());
        line.insert("level".to_owned(), event.metadata().level().as_str().into());
        line.insert("target".to_owned(), event.metadata().target().into());
        if let Some(place) = lines::place(event, &ctx) {
            line.insert("trace_id".to_owned(), format!("{:032x}", place.trace_id).into());
            line.insert("span_id".to_owned(), format!("{:016x}", place.span_id).into());
        }
        lines::fields(event, &ctx, |name, value| {
            line.insert(name.to_owned(), value);
        });
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::{
        super::{Spans, lines::Keep},
        *,
    };

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
        let subscriber = tracing_subscriber::registry()
            .with(Spans { sends: false })
            .with(Keep)
            .with(Json::new(move || writer.clone()));

        tracing::subscriber::with_default(subscriber, || {
            let caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse();
            let span = crate::trace::begin(caller.ok(), || {
                tracing::info_span!("call", rpc.method = "A/B", order_id = tracing::field::Empty)
            });
            let _entered = span.enter();
            span.record("order_id", "o-1");
            tracing::info!(version = 3, "order placed");
        });

        let line: Value = serde_json::from_slice(&lines.0.lock().unwrap()).unwrap();
        assert_eq!(line["message"], "order placed");
        assert_eq!(line["order_id"], "o-1");
        assert_eq!(line["version"], 3);
        assert_eq!(line["trace_id"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(line["span_id"].as_str().map(str::len), Some(16));
        assert_eq!(line["level"], "INFO");
        assert_eq!(line.get("rpc.method"), None);
    }
}
