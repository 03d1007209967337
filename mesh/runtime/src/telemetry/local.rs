//! Traces when none are sent: the ids still go through every call and into every log line.
//!
//! OpenTelemetry would do it too, at several microseconds per span.

use tracing::{
    Subscriber,
    span::{Attributes, Id},
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

use crate::trace::TraceContext;

/// Gives every span the trace of its parent, or a new one.
pub(crate) struct Local;

/// The trace of a span.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalTrace {
    pub(crate) trace_id: u128,
    pub(crate) span_id: u64,
    pub(crate) sampled: bool,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Local {
    fn on_new_span(&self, _attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        let parent = span.parent().and_then(|up| up.extensions().get::<LocalTrace>().copied());
        let trace = parent.map_or_else(LocalTrace::new, LocalTrace::child);
        span.extensions_mut().insert(trace);
    }
}

impl LocalTrace {
    fn new() -> Self {
        Self { trace_id: rand::random(), span_id: rand::random(), sampled: false }
    }

    fn child(self) -> Self {
        Self { span_id: rand::random(), ..self }
    }

    pub(crate) fn continues(self, parent: TraceContext) -> Self {
        Self { trace_id: parent.trace_id, sampled: parent.sampled, ..self }
    }
}

impl From<LocalTrace> for TraceContext {
    fn from(trace: LocalTrace) -> Self {
        Self { trace_id: trace.trace_id, span_id: trace.span_id, sampled: trace.sampled }
    }
}
