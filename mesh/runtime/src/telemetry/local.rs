//! Traces that are not sent: their ids still go through every call and into every log line.
//!
//! OpenTelemetry would do it too, at several microseconds per span. So it sees nothing where traces
//! are not exported, and of those that are not sampled no span that is begun by [`begin`] or lies
//! below one.

use std::{cell::Cell, sync::OnceLock};

use opentelemetry::{
    Context as OtelContext, KeyValue,
    trace::{Link, SpanKind, TraceId},
};
use opentelemetry_sdk::trace::{Sampler, SamplingResult, ShouldSample};
use tracing::{
    Metadata, Span, Subscriber,
    span::{Attributes, Id},
    subscriber::Interest,
};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{
    Layer,
    layer::{Context, Filter},
    registry::LookupSpan,
};

use crate::trace::{TraceContext, set_parent};

/// The share of new traces that is sampled; none while nothing is exported.
static RATIO: OnceLock<f64> = OnceLock::new();

thread_local! {
    static BEGUN: Cell<Begun> = const { Cell::new(Begun::Somehow) };
}

/// What is known of the span that is being made.
#[derive(Clone, Copy)]
enum Begun {
    Somehow,
    Sampled,
    Unsampled(TraceContext),
}

/// Gives every span that OpenTelemetry does not see the trace of its parent, or a new one.
pub(crate) struct Local;

/// Keeps spans of traces that are not sampled from OpenTelemetry.
pub(crate) struct Exported;

/// Samples what [`begin`] has decided to sample, and its share of what was begun otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Roots(Sampler);

/// The trace of a span.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalTrace {
    pub(crate) trace_id: u128,
    pub(crate) span_id: u64,
    pub(crate) sampled: bool,
}

/// Makes a span with no parent in this process that goes on with the trace of `parent`, or begins
/// one.
pub(crate) fn begin(parent: Option<TraceContext>, make: impl FnOnce() -> Span) -> Span {
    if !is_sampled(parent) {
        return Begun::Unsampled(parent.unwrap_or_else(TraceContext::unsampled)).during(make);
    }
    match parent {
        Some(parent) => {
            let span = Begun::Sampled.during(make);
            set_parent(&span, parent);
            span
        }
        None => begin_sampled(make),
    }
}

/// Makes a span that begins a trace which is sampled.
pub(crate) fn begin_sampled(make: impl FnOnce() -> Span) -> Span {
    Begun::Sampled.during(|| {
        let span = make();
        // OpenTelemetry decides when it is asked for the first time.
        let _ = span.context();
        span
    })
}

/// Whether OpenTelemetry has to see the spans of a trace, which is a new one if there is no parent.
pub(crate) fn is_sampled(parent: Option<TraceContext>) -> bool {
    RATIO.get().is_some() && parent.map_or_else(samples_one, |parent| parent.sampled)
}

/// Decides about a trace of which nobody else has.
pub(crate) fn samples_one() -> bool {
    RATIO.get().is_some_and(|ratio| rand::random::<f64>() < *ratio)
}

impl Begun {
    fn during<T>(self, make: impl FnOnce() -> T) -> T {
        let before = BEGUN.replace(self);
        let made = make();
        BEGUN.set(before);
        made
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Local {
    fn on_new_span(&self, _attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        let trace = match BEGUN.get() {
            Begun::Sampled => return,
            Begun::Unsampled(place) => LocalTrace::new().continues(place),
            Begun::Somehow => {
                let local = |id: &Id| ctx.span(id)?.extensions().get::<LocalTrace>().copied();
                let parent = span.parent().and_then(|parent| local(&parent.id()));
                let exported = RATIO.get().is_some();
                match parent {
                    Some(parent) => parent.child(),
                    None if exported && ctx.current_span().id().and_then(local).is_none() => return,
                    None => LocalTrace::new(),
                }
            }
        };
        span.extensions_mut().insert(trace);
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Filter<S> for Exported {
    fn enabled(&self, metadata: &Metadata<'_>, ctx: &Context<'_, S>) -> bool {
        if !metadata.is_span() {
            return true;
        }
        match BEGUN.get() {
            Begun::Sampled => true,
            Begun::Unsampled(_) => false,
            // A filter does not see the spans that it has left out.
            Begun::Somehow => ctx.current_span().id().is_none_or(|id| ctx.span(id).is_some()),
        }
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.is_span() { Interest::sometimes() } else { Interest::always() }
    }
}

impl Roots {
    /// Samples this share of new traces.
    pub(crate) fn new(ratio: f64) -> Self {
        let _ = RATIO.set(ratio);
        Self(Sampler::TraceIdRatioBased(ratio))
    }
}

impl ShouldSample for Roots {
    fn should_sample(
        &self,
        parent: Option<&OtelContext>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let sampler = match BEGUN.get() {
            Begun::Sampled => &Sampler::AlwaysOn,
            _ => &self.0,
        };
        sampler.should_sample(parent, trace_id, name, kind, attributes, links)
    }
}

impl LocalTrace {
    fn new() -> Self {
        TraceContext::unsampled().into()
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

impl From<TraceContext> for LocalTrace {
    fn from(trace: TraceContext) -> Self {
        Self { trace_id: trace.trace_id, span_id: trace.span_id, sampled: trace.sampled }
    }
}
