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

use crate::{
    b3,
    telemetry::{self, LocalTrace, local},
};

/// The name that a trace travels under, in metadata and in event headers.
pub const TRACEPARENT: &str = "traceparent";
const HEADER: HeaderName = HeaderName::from_static(TRACEPARENT);
/// Of a `traceparent` of version 0.
const LENGTH: usize = 55;
const DIGITS: &[u8; 16] = b"0123456789abcdef";
/// What a byte is worth as a digit.
const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut value = 0;
    while value < DIGITS.len() {
        values[DIGITS[value] as usize] = value as u8;
        value += 1;
    }
    values
};
const NONE: u8 = 0x80;

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

/// A part of a trace that this process begins, and where messages sent from it belong.
#[derive(Debug)]
pub struct Part {
    /// None if the trace is not sampled: it would not be seen.
    pub span: Span,
    /// Set if no span tells it.
    pub place: Option<TraceContext>,
}

/// Begins what this process does for others, in the trace of `parent` or in a new one: `make` makes
/// a span that has no parent in this process.
///
/// The span is there in any case, for log lines and for what it makes; if its trace is not sampled it
/// costs little.
pub fn begin(parent: Option<TraceContext>, make: impl FnOnce() -> Span) -> Span {
    local::begin(parent, make)
}

/// Begins a part of what the current span does, for which `make` makes a span below it, or without a
/// current one a part of a new trace. If the trace is not sampled no span is made.
pub fn part(make: impl FnOnce() -> Span) -> Part {
    let place = current();
    if local::is_sampled(place) {
        let span = if place.is_some() { make() } else { local::begin_sampled(make) };
        return Part { span, place: None };
    }
    let place = place.or_else(|| telemetry::exports_traces().then(TraceContext::unsampled));
    Part { span: Span::none(), place }
}

/// Returns whether the current span is sent somewhere.
pub fn is_sampled() -> bool {
    sampled().is_some()
}

/// Returns the place of the current span, if there is one.
pub fn current() -> Option<TraceContext> {
    of_span(&Span::current())
}

/// Returns the place of `span` in its trace.
pub fn of_span(span: &Span) -> Option<TraceContext> {
    let local = span.with_subscriber(|(id, dispatch)| local_trace(id, dispatch))?;
    match local {
        Some(local) => Some(local.into()),
        None if telemetry::exports_traces() => of_context(&span.context()),
        None => None,
    }
}

/// Returns the place of the current span if it is sent somewhere.
pub fn sampled() -> Option<TraceContext> {
    sampled_span(&Span::current())
}

/// Returns the place of `span` if it is sent somewhere.
pub fn sampled_span(span: &Span) -> Option<TraceContext> {
    if !telemetry::exports_traces() {
        return None;
    }
    of_span(span).filter(|place| place.sampled)
}

/// Returns the `traceparent` of the current span.
pub fn traceparent() -> Option<String> {
    current().map(|trace| trace.to_string())
}

/// Makes `span` a part of the trace that `parent` names. To be called before it is entered.
pub fn set_parent(span: &Span, parent: TraceContext) {
    let local = span.with_subscriber(|(id, dispatch)| {
        let registry = dispatch.downcast_ref::<Registry>()?;
        let span = registry.span(id)?;
        let mut extensions = span.extensions_mut();
        let trace = extensions.get_mut::<LocalTrace>()?;
        *trace = trace.continues(parent);
        Some(())
    });
    if local.flatten().is_none() && telemetry::exports_traces() {
        // Fails only for a span that has begun, which keeps the trace it has.
        let _ = span.set_parent(Context::new().with_remote_span_context(parent.into()));
    }
}

/// Reads the trace that a call came with: W3C's header, or else B3's. A malformed one counts as none.
pub fn extract(headers: &HeaderMap) -> Option<TraceContext> {
    match headers.get(HEADER) {
        Some(header) => TraceContext::parse(header.as_bytes()).ok(),
        None => b3::extract(headers, local::samples_one),
    }
}

/// Writes the trace that a [`Part`] without a span belongs to, or else that of the current span.
pub fn inject(place: Option<TraceContext>, headers: &mut HeaderMap) {
    if let Some(trace) = place.or_else(current) {
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

fn local_trace(id: &Id, dispatch: &Dispatch) -> Option<LocalTrace> {
    let registry = dispatch.downcast_ref::<Registry>()?;
    registry.span(id)?.extensions().get::<LocalTrace>().copied()
}

impl TraceContext {
    /// A new trace that nobody samples.
    pub(crate) fn unsampled() -> Self {
        Self { trace_id: rand::random(), span_id: rand::random(), sampled: false }
    }

    fn header(&self) -> HeaderValue {
        let mut value = HeaderValue::from_bytes(&self.text()).expect("hex digits and dashes");
        // No secret, but different each time: it stays out of HPACK's table (RFC 7541 §7.1.3).
        value.set_sensitive(true);
        value
    }

    /// By hand: each call writes it, and `format!` takes three times as long.
    fn text(&self) -> [u8; LENGTH] {
        let mut text = [b'-'; LENGTH];
        write_hex(0, &mut text[..2]);
        write_hex((self.trace_id >> 64) as u64, &mut text[3..19]);
        write_hex(self.trace_id as u64, &mut text[19..35]);
        write_hex(self.span_id, &mut text[36..52]);
        write_hex(u64::from(self.sampled), &mut text[53..]);
        text
    }

    fn parse(text: &[u8]) -> Result<Self, Malformed> {
        let part = |from: usize, to: usize| text.get(from..to).and_then(read_hex).ok_or(Malformed);
        let version = part(0, 2)?;
        let trace_id = u128::from(part(3, 19)?) << 64 | u128::from(part(19, 35)?);
        let span_id = part(36, 52)?;
        let sampled = part(53, 55)? & 1 == 1;
        let dashes = [2, 35, 52].into_iter().all(|place| text.get(place) == Some(&b'-'));
        // Later versions may append to it; version 0 ends here, and 255 is forbidden.
        let ended = text.len() == LENGTH || (version != 0 && text.get(LENGTH) == Some(&b'-'));
        if !dashes || !ended || version == 255 || trace_id == 0 || span_id == 0 {
            return Err(Malformed);
        }
        Ok(Self { trace_id, span_id, sampled })
    }
}

fn write_hex(mut number: u64, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(number & 15) as usize];
        number >>= 4;
    }
}

/// At most 16 digits, small letters only. Every call reads one: what is wrong shows at the end.
fn read_hex(digits: &[u8]) -> Option<u64> {
    let (mut number, mut wrong) = (0, 0);
    for digit in digits {
        let value = VALUES[usize::from(*digit)];
        wrong |= value & NONE;
        number = number << 4 | u64::from(value & 15);
    }
    (wrong == 0).then_some(number)
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.text()).unwrap_or_default())
    }
}

/// The text is no `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed traceparent")]
pub struct Malformed;

impl FromStr for TraceContext {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        Self::parse(text.as_bytes())
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
            "00-0af7651916cd43dd8448eb211c80319cb-7ad6b7169203331-01",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01more",
        ] {
            assert_eq!(text.parse::<TraceContext>(), Err(Malformed), "{text}");
        }
    }
}
