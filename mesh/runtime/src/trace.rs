//! W3C trace context: carries a trace from call to call and from event to event.

use std::{fmt, str::FromStr};

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState},
};
use tracing::{Dispatch, Span, span::Id};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{Registry, registry::LookupSpan as _};

use crate::telemetry::{self, LocalTrace};

/// The name that a trace travels under, in metadata and in event headers.
pub const TRACEPARENT: &str = "traceparent";
const HEADER: HeaderName = HeaderName::from_static(TRACEPARENT);

/// One place in a trace. Its text form is a `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace, not 0.
    pub trace_id: u128,
    /// The span, not 0.
    pub span_id: u64,
    /// Whether it is to be sent.
    pub sampled: bool,
}

/// Whether traces leave this process, so that spans are worth their cost.
pub fn is_exported() -> bool {
    telemetry::exports_traces()
}

/// Returns the place of the current span, if there is one.
pub fn current() -> Option<TraceContext> {
    of_span(&Span::current())
}

/// Returns the place of `span` in its trace.
pub fn of_span(span: &Span) -> Option<TraceContext> {
    if telemetry::exports_traces() {
        return of_context(&span.context());
    }
    span.with_subscriber(|(id, dispatch)| local(id, dispatch)).flatten().map(TraceContext::from)
}

/// Returns the `traceparent` of the current span.
pub fn traceparent() -> Option<String> {
    current().map(|trace| trace.to_string())
}

/// Makes `span` a part of the trace that `parent` names. To be called before it is entered.
pub fn set_parent(span: &Span, parent: TraceContext) {
    if telemetry::exports_traces() {
        // Fails only for a span that has begun, which keeps the trace it has.
        let _ = span.set_parent(Context::new().with_remote_span_context(parent.into()));
        return;
    }
    span.with_subscriber(|(id, dispatch)| {
        let registry = dispatch.downcast_ref::<Registry>()?;
        let span = registry.span(id)?;
        let mut extensions = span.extensions_mut();
        let trace = extensions.get_mut::<LocalTrace>()?;
        *trace = trace.continues(parent);
        Some(())
    });
}

/// Reads the trace that a message came with; one that is malformed counts as none.
pub fn extract(headers: &HeaderMap) -> Option<TraceContext> {
    headers.get(HEADER)?.to_str().ok()?.parse().ok()
}

/// Writes the trace of the current span.
pub fn inject(headers: &mut HeaderMap) {
    if let Some(trace) = current() {
        headers.insert(HEADER, trace.header());
    }
}

/// Reads the trace from name and value pairs, as messages of a broker have them.
pub fn extract_pairs<'a>(
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Option<TraceContext> {
    pairs
        .into_iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(TRACEPARENT))
        .and_then(|(_, value)| value.parse().ok())
}

/// Hands the trace of the current span to `put`, as a name and a value.
pub fn inject_pairs(put: impl FnOnce(&'static str, String)) {
    if let Some(traceparent) = traceparent() {
        put(TRACEPARENT, traceparent);
    }
}

pub(crate) fn of_context(context: &Context) -> Option<TraceContext> {
    let span = context.span();
    let place = span.span_context();
    place.is_valid().then(|| TraceContext {
        trace_id: u128::from_be_bytes(place.trace_id().to_bytes()),
        span_id: u64::from_be_bytes(place.span_id().to_bytes()),
        sampled: place.is_sampled(),
    })
}

fn local(id: &Id, dispatch: &Dispatch) -> Option<LocalTrace> {
    let registry = dispatch.downcast_ref::<Registry>()?;
    registry.span(id)?.extensions().get::<LocalTrace>().copied()
}

impl TraceContext {
    fn header(&self) -> HeaderValue {
        let mut value = HeaderValue::try_from(self.to_string()).expect("hex digits and dashes");
        // No secret, but different each time: it stays out of HPACK's table (RFC 7541 §7.1.3).
        value.set_sensitive(true);
        value
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.sampled);
        write!(f, "00-{:032x}-{:016x}-{flags:02x}", self.trace_id, self.span_id)
    }
}

/// The text is no `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed traceparent")]
pub struct Malformed;

impl FromStr for TraceContext {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let mut parts = text.split('-');
        let mut hex = |digits: usize| {
            parts
                .next()
                .filter(|part| part.len() == digits)
                .filter(|part| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
                .and_then(|part| u128::from_str_radix(part, 16).ok())
                .ok_or(Malformed)
        };
        let version = hex(2)?;
        let trace_id = hex(32)?;
        let span_id = u64::try_from(hex(16)?).map_err(|_| Malformed)?;
        let sampled = hex(2)? & 1 == 1;
        // Later versions may append to it; version 0 ends here, and 255 is forbidden.
        if version == 255 || (version == 0 && parts.next().is_some()) {
            return Err(Malformed);
        }
        if trace_id == 0 || span_id == 0 {
            return Err(Malformed);
        }
        Ok(Self { trace_id, span_id, sampled })
    }
}

impl From<TraceContext> for SpanContext {
    fn from(trace: TraceContext) -> Self {
        Self::new(
            TraceId::from_bytes(trace.trace_id.to_be_bytes()),
            SpanId::from_bytes(trace.span_id.to_be_bytes()),
            if trace.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() },
            true,
            TraceState::default(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_survives_the_round_trip() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

        let trace: TraceContext = text.parse().unwrap();

        assert!(trace.sampled);
        assert_eq!(trace.to_string(), text);
    }

    #[test]
    fn malformed_ones_are_refused() {
        for text in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(text.parse::<TraceContext>(), Err(Malformed), "{text}");
        }
    }
}
