//! W3C trace context: carries a trace from call to call and from event to event.

use std::{fmt, str::FromStr};

use http::{HeaderMap, HeaderName, HeaderValue};
use tracing::Span;
use tracing_subscriber::{Registry, registry::LookupSpan as _};

use crate::{
    b3, hex,
    telemetry::{self, Open, place_in, places},
};

/// The name that a trace travels under, in metadata and in event headers.
pub const TRACEPARENT: &str = "traceparent";
const HEADER: HeaderName = HeaderName::from_static(TRACEPARENT);
/// Of a `traceparent` of version 0.
const LENGTH: usize = 55;
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

/// A part of a trace that this process begins.
#[derive(Debug)]
pub struct Part {
    /// What it is seen as; none if nobody would see it.
    pub span: Span,
    /// Where it is, which is where messages sent from it belong; none if those who are sent them
    /// decide whether that is seen.
    pub place: Option<TraceContext>,
}

impl Part {
    /// Returns its place if it is sent somewhere.
    pub fn sampled(&self) -> Option<TraceContext> {
        self.place.filter(|place| place.sampled && telemetry::exports_traces())
    }
}

/// Begins what this process does for others, in the trace of `parent` or in a new one: `make` makes
/// a span that has no parent in this process.
///
/// The span is there in any case, for log lines and for what it makes; if its trace is not sampled it
/// costs little.
pub fn begin(parent: Option<TraceContext>, make: impl FnOnce() -> Span) -> Span {
    entry(parent, make).span
}

/// As [`begin`], for who wants to know where that is.
pub fn entry(parent: Option<TraceContext>, make: impl FnOnce() -> Span) -> Part {
    places::begin(parent, make)
}

/// Begins a part of what the current span does, for which `make` makes a span below it, or without a
/// current one a part of a new trace. If the trace is not sampled no span is made.
pub fn part(make: impl FnOnce() -> Span) -> Part {
    let place = current();
    match place {
        _ if !places::is_sampled(place) => {
            // Who sends no traces leaves it to those who are called whether this one is sampled.
            let place = place.or_else(|| telemetry::exports_traces().then(TraceContext::unsampled));
            Part { span: Span::none(), place }
        }
        Some(_) => places::below(make),
        None => places::begin_sampled(make),
    }
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
    span.with_subscriber(|(id, dispatch)| {
        let registry = dispatch.downcast_ref::<Registry>()?;
        place_in(&registry.span(id)?.extensions())
    })?
}

/// Returns the place of the current span if it is sent somewhere.
pub fn sampled() -> Option<TraceContext> {
    if !telemetry::exports_traces() {
        return None;
    }
    current().filter(|place| place.sampled)
}

/// Returns the `traceparent` of the current span.
pub fn traceparent() -> Option<String> {
    current().map(|trace| trace.to_string())
}

/// Links `span`, if it is sent somewhere, to another that it has to do with and does not lie below.
pub fn link(span: &Span, to: TraceContext) {
    span.with_subscriber(|(id, dispatch)| {
        let registry = dispatch.downcast_ref::<Registry>()?;
        registry.span(id)?.extensions_mut().get_mut::<Open>()?.link(to);
        Some(())
    });
}

/// Reads the trace that a call came with: W3C's header, or else B3's. A malformed one counts as none.
pub fn extract(headers: &HeaderMap) -> Option<TraceContext> {
    match headers.get(HEADER) {
        Some(header) => TraceContext::parse(header.as_bytes()).ok(),
        None => b3::extract(headers, places::samples_one),
    }
}

/// Writes the place of a [`Part`], or else that of the current span.
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

impl TraceContext {
    /// A new trace that nobody samples.
    pub(crate) fn unsampled() -> Self {
        Self { trace_id: rand::random(), span_id: rand::random(), sampled: false }
    }

    /// The same place, of which this process decides whether it is sampled: for who does not leave that
    /// to whoever asks.
    #[must_use]
    pub fn decided_here(self) -> Self {
        Self { sampled: places::samples_one(), ..self }
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
        text[..2].copy_from_slice(b"00");
        hex::write(self.trace_id.to_be_bytes(), &mut text[3..35]);
        hex::write(self.span_id.to_be_bytes(), &mut text[36..52]);
        text[53..].copy_from_slice(if self.sampled { b"01" } else { b"00" });
        text
    }

    fn parse(text: &[u8]) -> Result<Self, Malformed> {
        Self::read(text).ok_or(Malformed)
    }

    fn read(text: &[u8]) -> Option<Self> {
        let (known, more) = text.split_first_chunk::<LENGTH>()?;
        let part = |from: usize| hex::read(*known[from..].first_chunk()?);
        let pair = |from: usize| hex::pair(*known[from..].first_chunk()?);
        let version = pair(0)?;
        let trace_id = u128::from(part(3)?) << 64 | u128::from(part(19)?);
        let span_id = part(36)?;
        let sampled = pair(53)? & 1 == 1;
        let dashes = [2, 35, 52].into_iter().all(|place| known[place] == b'-');
        // Later versions may append to it; version 0 ends here, and 255 is forbidden.
        let ended = more.is_empty() || (version != 0 && more[0] == b'-');
        let is_one = dashes && ended && version != 255 && trace_id != 0 && span_id != 0;
        is_one.then_some(Self { trace_id, span_id, sampled })
    }
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
