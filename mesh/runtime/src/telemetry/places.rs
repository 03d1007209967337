//! Where a span is in its trace, and whether that is sampled: decided as the span is made, by whoever
//! begins it or by its parent, and never again.

use std::{cell::Cell, sync::OnceLock};

use tracing::Span;

use crate::trace::{Part, TraceContext};

/// The share of new traces that is sampled; none while nothing is exported.
static RATIO: OnceLock<f64> = OnceLock::new();

thread_local! {
    static BEGUN: Cell<Option<Begun>> = const { Cell::new(None) };
    /// Where the span is of which something was known.
    static PLACED: Cell<Option<TraceContext>> = const { Cell::new(None) };
}

/// What is known of the span that is being made.
#[derive(Clone, Copy)]
enum Begun {
    /// It goes on with what somebody else has begun.
    Below(TraceContext),
    /// It begins a trace of which is decided whether it is sampled.
    Trace { sampled: bool },
    /// Its parent in this process tells it.
    Here,
}

/// A span's place, and what is above it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Birth {
    pub place: TraceContext,
    pub above: Option<Above>,
}

/// What is above a span.
#[derive(Clone, Copy, Debug)]
pub(super) struct Above {
    pub span_id: u64,
    /// Whether another process made it, or another time.
    pub is_remote: bool,
}

/// Samples this share of new traces from now on.
pub(super) fn sample(ratio: f64) {
    let _ = RATIO.set(ratio);
}

/// Makes a span with no parent in this process that goes on with the trace of `parent`, or begins
/// one.
pub(crate) fn begin(parent: Option<TraceContext>, make: impl FnOnce() -> Span) -> Part {
    match parent {
        Some(parent) => Begun::Below(parent),
        None => Begun::Trace { sampled: samples_one() },
    }
    .during(make)
}

/// Makes a span that begins a trace which is sampled.
pub(crate) fn begin_sampled(make: impl FnOnce() -> Span) -> Part {
    Begun::Trace { sampled: true }.during(make)
}

/// Makes a span that belongs where its parent in this process is.
pub(crate) fn below(make: impl FnOnce() -> Span) -> Part {
    Begun::Here.during(make)
}

/// Whether the spans of a trace are sent, which is a new one if there is no parent.
pub(crate) fn is_sampled(parent: Option<TraceContext>) -> bool {
    RATIO.get().is_some() && parent.map_or_else(samples_one, |parent| parent.sampled)
}

/// Decides about a trace of which nobody else has.
pub(crate) fn samples_one() -> bool {
    RATIO.get().is_some_and(|ratio| rand::random::<f64>() < *ratio)
}

/// The place of the span that is being made, by what was said of it or else by its parent here.
pub(super) fn born(parent: impl FnOnce() -> Option<TraceContext>) -> Birth {
    let begun = BEGUN.take();
    let birth = match begun {
        Some(Begun::Below(place)) => Birth::below(place, true),
        Some(Begun::Trace { sampled }) => Birth::first(sampled),
        Some(Begun::Here) | None => match parent() {
            Some(place) => Birth::below(place, false),
            None => Birth::first(samples_one()),
        },
    };
    if begun.is_some() {
        PLACED.set(Some(birth.place));
    }
    birth
}

impl Birth {
    fn first(sampled: bool) -> Birth {
        Birth { place: TraceContext { sampled, ..TraceContext::unsampled() }, above: None }
    }

    fn below(place: TraceContext, is_remote: bool) -> Birth {
        let above = Some(Above { span_id: place.span_id, is_remote });
        Birth { place: TraceContext { span_id: rand::random(), ..place }, above }
    }
}

impl Begun {
    /// Says it of the first span that `make` makes.
    fn during(self, make: impl FnOnce() -> Span) -> Part {
        BEGUN.set(Some(self));
        let span = make();
        BEGUN.set(None);
        Part { span, place: PLACED.take() }
    }
}
