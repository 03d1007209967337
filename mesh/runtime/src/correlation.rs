//! The id that everything of one story carries, from the first request to the last consumer: on log
//! lines and spans as `correlation_id`, between services in the header `x-correlation-id`, in events'
//! metadata. A client may choose it; otherwise it is the id of the first request that has one.

use http::{HeaderMap, HeaderName, HeaderValue};
use tracing::Span;
use tracing_subscriber::{Registry, registry::LookupSpan as _};

use crate::telemetry::Fields;

/// The name that it has on spans and log lines.
const FIELD: &str = "correlation_id";
/// The name that it travels under between services.
pub const NAME: &str = "x-correlation-id";
const HEADER: HeaderName = HeaderName::from_static(NAME);
/// Longer ones are nobody's: every message would have to carry them.
const MAX: usize = 128;

/// Returns the id of the story that the current span belongs to.
pub fn current() -> Option<String> {
    let id = Span::current().with_subscriber(|(id, dispatch)| {
        let registry = dispatch.downcast_ref::<Registry>()?;
        registry.span(id)?.scope().find_map(|span| span.extensions().get::<Fields>()?.text(FIELD))
    });
    id.flatten()
}

/// Reads the id that a call came with. One that is empty, longer than 128 bytes or not made of visible
/// ASCII counts as none.
pub fn extract(headers: &HeaderMap) -> Option<&str> {
    headers.get(HEADER).filter(|id| is_fine(id))?.to_str().ok()
}

/// Whether a value is one that everybody may carry: 1 to 128 bytes of visible ASCII.
pub fn is_fine(id: &HeaderValue) -> bool {
    (1..=MAX).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
}

/// Writes the id of the current story for the next service, unless one is there.
pub fn inject(headers: &mut HeaderMap) {
    if let Some(id) = current()
        && let Ok(mut id) = HeaderValue::try_from(id)
    {
        // No secret, but different for each story: in HPACK's table (RFC 7541 §7.1.3) it would push out
        // what is the same for every call.
        id.set_sensitive(true);
        headers.entry(HEADER).or_insert(id);
    }
}

/// Notes on `span`, which must have a field `correlation_id`, what its story is.
pub fn note(span: &Span, id: &str) {
    span.record(FIELD, id);
}

/// Notes on the current span, like [`note`], which story begins there, unless it belongs to one.
pub fn begin(id: &str) {
    if current().is_none() {
        note(&Span::current(), id);
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::telemetry::Keep;

    #[test]
    fn a_story_is_what_its_first_span_says() {
        let subscriber = tracing_subscriber::registry().with(Keep);
        tracing::subscriber::with_default(subscriber, || {
            assert_eq!(current(), None);
            let call = tracing::error_span!("call", correlation_id = tracing::field::Empty);
            let _call = call.enter();
            assert_eq!(current(), None);
            begin("story");
            let part = tracing::error_span!("part", correlation_id = tracing::field::Empty);
            let _part = part.enter();
            begin("another");
            assert_eq!(current().as_deref(), Some("story"));

            let mut headers = HeaderMap::new();
            inject(&mut headers);
            assert_eq!(extract(&headers), Some("story"));
            assert!(headers[HEADER].is_sensitive());
            headers.insert(HEADER, HeaderValue::from_static("chosen"));
            inject(&mut headers);
            assert_eq!(extract(&headers), Some("chosen"));
        });
    }

    #[test]
    fn what_nobody_should_carry_counts_as_none() {
        for id in ["", "two words", "caf\u{e9}", &"x".repeat(MAX + 1)] {
            let value = HeaderValue::from_bytes(id.as_bytes()).unwrap();
            assert_eq!(extract(&HeaderMap::from_iter([(HEADER, value)])), None, "{id}");
        }
        let longest = "x".repeat(MAX);
        let headers = HeaderMap::from_iter([(HEADER, HeaderValue::from_str(&longest).unwrap())]);
        assert_eq!(extract(&headers), Some(longest.as_str()));
    }
}
