//! Gives every span its place in a trace, and sends those of traces that are sampled as they end.
//!
//! A span of a trace that is not sampled costs two random numbers and the room for its place. One that
//! is sent is written as OTLP's message of it from the start, and its bytes are queued when it ends.

use tracing::{
    Event, Subscriber,
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    layer::Context,
    registry::{Extensions, LookupSpan},
};

use super::{open::Open, otlp, places};
use crate::trace::TraceContext;

/// The layer that does it, and whether any are sent.
pub(crate) struct Spans {
    pub(super) sends: bool,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        let birth = places::born(|| place_in(&span.parent()?.extensions()));
        let mut extensions = span.extensions_mut();
        extensions.insert(birth.place);
        if birth.place.sampled && self.sends {
            extensions.insert(Open::new(attributes, birth));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id).filter(|_| self.sends) else { return };
        if let Some(open) = span.extensions_mut().get_mut::<Open>() {
            open.record(values);
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        if !self.sends {
            return;
        }
        if let Some(span) = ctx.event_span(event)
            && let Some(open) = span.extensions_mut().get_mut::<Open>()
        {
            open.note(event);
        }
    }

    fn on_close(&self, id: Id, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(&id).filter(|_| self.sends) else { return };
        if let Some(open) = span.extensions_mut().get_mut::<Open>() {
            otlp::send(open.end());
        }
    }
}

/// The place of the span whose extensions these are.
pub(crate) fn place_in(extensions: &Extensions<'_>) -> Option<TraceContext> {
    extensions.get().copied()
}
