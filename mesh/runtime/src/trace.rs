//! W3C trace context: carries a trace from call to call and from event to event.

use std::{fmt, str::FromStr};

use http::{HeaderMap, HeaderName, HeaderValue};
use tracing::Span;
use tracing_subscriber::{Registry, registry::LookupSpan as _};

use crate::{
    b3,
    telemetry::{self, Open, place_in, places},
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
