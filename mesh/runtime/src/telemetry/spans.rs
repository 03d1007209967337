//! Gives every span its place in a trace, and sends those of traces that are sampled as they end.
//!
//! A span of a trace that is not sampled costs two random numbers and the room for its place. One that
//! is sent becomes OpenTelemetry's record of it at once, and is handed to the queue of its SDK.

use std::{borrow::Cow, time::SystemTime};

use opentelemetry::{
    InstrumentationScope, KeyValue,
    trace::{Event as SpanEvent, Link, SpanId, SpanKind, Status},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use tracing::{
    Event, Level, Subscriber,
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    layer::Context,
    registry::{Extensions, LookupSpan},
};

use super::{
    attributes::{Fields, Said},
    otlp,
    places::{self, Birth},
};
use crate::trace::TraceContext;

/// The most events, and the most links, of one span (OpenTelemetry's default).
const MOST: usize = 128;

/// The layer that does it; without a scope nothing is sent.
pub(crate) struct Spans(pub(super) Option<InstrumentationScope>);

/// A span that is sent when it ends. The numbers on the way there belong to it.
pub(crate) struct Open(SpanData);

impl Open {
    fn new(scope: InstrumentationScope, attributes: &Attributes<'_>, birth: Birth) -> Open {
        let mut data = SpanData {
            span_context: birth.place.context(false),
            parent_span_id: birth.above.map_or(SpanId::INVALID, |it| id_of(it.span_id)),
            parent_span_is_remote: birth.above.is_some_and(|it| it.is_remote),
            span_kind: SpanKind::Internal,
            name: Cow::Borrowed(attributes.metadata().name()),
            start_time: SystemTime::now(),
            end_time: SystemTime::UNIX_EPOCH,
            attributes: Vec::with_capacity(attributes.fields().len()),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: scope,
        };
        attributes.record(&mut Fields(&mut data));
        Open(data)
    }

    /// Links it to another, in whatever trace that is.
    pub(crate) fn link(&mut self, to: TraceContext) {
        let links = &mut self.0.links;
        if links.links.len() < MOST {
            links.links.push(Link::with_context(to.context(true)));
        } else {
            links.dropped_count += 1;
        }
    }

    fn note(&mut self, event: &Event<'_>) {
        let level = *event.metadata().level();
        if level == Level::ERROR && self.0.status == Status::Unset {
            self.0.status = Status::error("");
        }
        let events = &mut self.0.events;
        if events.events.len() == MOST {
            events.dropped_count += 1;
            return;
        }
        let mut said = Said {
            name: Cow::Borrowed(event.metadata().name()),
            attributes: vec![
                KeyValue::new("level", level.as_str()),
                KeyValue::new("target", event.metadata().target()),
            ],
        };
        event.record(&mut Fields(&mut said));
        let Said { name, attributes } = said;
        events.events.push(SpanEvent::new(name, SystemTime::now(), attributes, 0));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        let birth = places::born(|| place_in(&span.parent()?.extensions()));
        let mut extensions = span.extensions_mut();
        extensions.insert(birth.place);
        if birth.place.sampled
            && let Some(scope) = &self.0
        {
            extensions.insert(Open::new(scope.clone(), attributes, birth));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id).filter(|_| self.0.is_some()) else { return };
        if let Some(Open(data)) = span.extensions_mut().get_mut() {
            values.record(&mut Fields(data));
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        if self.0.is_none() {
            return;
        }
        if let Some(span) = ctx.event_span(event)
            && let Some(open) = span.extensions_mut().get_mut::<Open>()
        {
            open.note(event);
        }
    }

    fn on_close(&self, id: Id, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(&id).filter(|_| self.0.is_some()) else { return };
        let open = span.extensions_mut().remove::<Open>();
        if let Some(Open(mut data)) = open {
            data.end_time = SystemTime::now();
            otlp::send(data);
        }
    }
}

/// The place of the span whose extensions these are.
pub(crate) fn place_in(extensions: &Extensions<'_>) -> Option<TraceContext> {
    extensions.get().copied()
}

fn id_of(span: u64) -> SpanId {
    SpanId::from_bytes(span.to_be_bytes())
}
