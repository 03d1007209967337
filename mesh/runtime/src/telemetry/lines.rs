//! What log lines are made of, whoever writes them: the fields of an event and of the spans around
//! it, and its place in its trace.

use serde_json::Value;
use tracing::{
    Event, Subscriber,
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

use super::{fields::Fields, place_in};
use crate::trace::TraceContext;

/// Keeps the fields of spans for the lines that are written in them.
pub(crate) struct Keep;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Keep {
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
                if !fields.0.is_empty() {
                    extensions.insert(fields);
                }
            }
        }
    }
}

/// Hands the fields of a line to `put`, from the outermost span to the event's own; a later one of
/// the same name is more to the point.
pub(super) fn fields<S: Subscriber + for<'a> LookupSpan<'a>>(
    event: &Event<'_>,
    ctx: &Context<'_, S>,
    mut put: impl FnMut(&'static str, Value),
) {
    for span in ctx.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
        if let Some(fields) = span.extensions().get::<Fields>() {
            fields.0.iter().for_each(|(name, value)| put(name, value.clone()));
        }
    }
    let mut fields = Fields::default();
    event.record(&mut fields);
    fields.0.into_iter().for_each(|(name, value)| put(name, value));
}

/// Returns where the line belongs: to the innermost span that has a place in a trace.
pub(super) fn place<S: Subscriber + for<'a> LookupSpan<'a>>(
    event: &Event<'_>,
    ctx: &Context<'_, S>,
) -> Option<TraceContext> {
    ctx.event_scope(event)?.find_map(|span| place_in(&span.extensions()))
}
