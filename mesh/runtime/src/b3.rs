//! B3 trace headers, read from callers that do not speak W3C trace context yet; never written.
//!
//! Source: <https://github.com/openzipkin/b3-propagation>.

use http::HeaderMap;

use crate::trace::TraceContext;

const SINGLE: &str = "b3";
const TRACE_ID: &str = "x-b3-traceid";
const SPAN_ID: &str = "x-b3-spanid";
const SAMPLED: &str = "x-b3-sampled";
const FLAGS: &str = "x-b3-flags";

/// Reads the trace that a call came with; the header that says all in one comes first. Who left the
/// decision to us gets what `undecided` says; malformed headers count as none.
pub(crate) fn extract(
    headers: &HeaderMap,
    undecided: impl FnOnce() -> bool,
) -> Option<TraceContext> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    match text(SINGLE) {
        Some(single) => {
            let mut parts = single.split('-');
            let (trace, span) = (parts.next()?, parts.next()?);
            context(trace, span, decision(parts.next()), undecided)
        }
        None => {
            // A debug flag is a decision to sample.
            let debug = text(FLAGS) == Some("1");
            let sampled = if debug { Some(true) } else { decision(text(SAMPLED)) };
            context(text(TRACE_ID)?, text(SPAN_ID)?, sampled, undecided)
        }
    }
}

/// `d` is for debug; early senders said `true`.
fn decision(text: Option<&str>) -> Option<bool> {
    match text? {
        "1" | "d" | "true" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    }
}

fn context(
    trace: &str,
    span: &str,
    sampled: Option<bool>,
    undecided: impl FnOnce() -> bool,
) -> Option<TraceContext> {
    // Trace ids of 64 bits are older than those of 128.
    let trace_id = hex(trace, &[16, 32])?;
    let span_id = u64::try_from(hex(span, &[16])?).ok()?;
    let sampled = sampled.unwrap_or_else(undecided);
    (trace_id != 0 && span_id != 0).then_some(TraceContext { trace_id, span_id, sampled })
}

fn hex(text: &str, lengths: &[usize]) -> Option<u128> {
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    (lengths.contains(&text.len()) && is_hex).then(|| u128::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "80f198ee56343ba864fe8b2a57d3eff7";
    const SPAN: &str = "e457b5a2e4d86bd1";

    fn read(headers: &[(&'static str, &str)]) -> Option<TraceContext> {
        let headers = headers
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()));
        extract(&headers.collect(), || panic!("it was decided"))
    }

    fn expected(sampled: bool) -> TraceContext {
        let trace_id = u128::from_str_radix(TRACE, 16).unwrap();
        let span_id = u64::from_str_radix(SPAN, 16).unwrap();
        TraceContext { trace_id, span_id, sampled }
    }

    #[test]
    fn one_header_and_several_say_the_same() {
        for (decision, sampled) in [("1", true), ("d", true), ("0", false)] {
            let single = format!("{TRACE}-{SPAN}-{decision}-05e3ac9a4f6e3b90");
            assert_eq!(read(&[(SINGLE, &single)]), Some(expected(sampled)));
        }
        for (name, decision, sampled) in [
            (SAMPLED, "1", true),
            (SAMPLED, "true", true),
            (SAMPLED, "0", false),
            (FLAGS, "1", true),
        ] {
            let several = [(TRACE_ID, TRACE), (SPAN_ID, SPAN), (name, decision)];
            assert_eq!(read(&several), Some(expected(sampled)));
        }
    }

    #[test]
    fn who_left_the_decision_to_us_gets_ours() {
        let mut headers = HeaderMap::new();
        headers.insert(SINGLE, format!("{TRACE}-{SPAN}").parse().unwrap());

        for ours in [true, false] {
            assert_eq!(extract(&headers, || ours), Some(expected(ours)));
        }
    }

    #[test]
    fn short_trace_ids_are_ids_and_nonsense_is_none() {
        let short = read(&[(SINGLE, "64fe8b2a57d3eff7-e457b5a2e4d86bd1-1")]).unwrap();
        assert_eq!(short.trace_id, 0x64fe_8b2a_57d3_eff7);

        for nonsense in ["0", "", "-", "zz-1-1", "80f198ee56343ba864fe8b2a57d3eff7", "+1-+1-1"] {
            assert_eq!(read(&[(SINGLE, nonsense)]), None, "{nonsense}");
        }
        let nothing = format!("{}-{SPAN}-1", "0".repeat(32));
        assert_eq!(read(&[(SINGLE, &nothing)]), None);
    }
}
