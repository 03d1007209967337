//! The two ids of a request: its own, and that of the story it belongs to.

use http::{HeaderMap, HeaderName, HeaderValue};
use mesh_rpc::REQUEST_ID;
use mesh_runtime::correlation;
use uuid::Uuid;

const REQUEST: HeaderName = HeaderName::from_static("x-request-id");
const CORRELATION: HeaderName = HeaderName::from_static("x-correlation-id");

/// Names of a request that a client has given, or that were made for it.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    request: HeaderValue,
    correlation: HeaderValue,
}

impl Story {
    /// Reads the ids; one that is missing, or that nobody should carry, is made.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        // The rule for both is the same.
        let request = headers.get(REQUEST).filter(|id| correlation::is_fine(id)).cloned();
        let request = request.unwrap_or_else(|| {
            let id = Uuid::now_v7().to_string();
            HeaderValue::try_from(id).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
        });
        let given = correlation::extract(headers).and_then(|id| HeaderValue::from_str(id).ok());
        Self { correlation: given.unwrap_or_else(|| request.clone()), request }
    }

    /// The request's own id.
    pub(crate) fn request_id(&self) -> &str {
        self.request.to_str().unwrap_or_default()
    }

    /// The story's id.
    pub(crate) fn correlation_id(&self) -> &str {
        self.correlation.to_str().unwrap_or_default()
    }

    /// Tells the client both.
    pub(crate) fn answer(&self, headers: &mut HeaderMap) {
        headers.insert(REQUEST, once(&self.request));
        headers.insert(CORRELATION, once(&self.correlation));
    }

    /// Tells a service which request its call is made for, and which story it belongs to.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        headers.insert(REQUEST_ID, once(&self.request));
        headers.insert(CORRELATION, once(&self.correlation));
    }
}

/// A value that differs each time: no secret, but it stays out of HPACK's table (RFC 7541 §7.1.3).
fn once(id: &HeaderValue) -> HeaderValue {
    let mut id = id.clone();
    id.set_sensitive(true);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&'static str, &'static str)]) -> (String, String) {
        let headers = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let story = Story::of(&headers.collect());
        (story.request_id().to_owned(), story.correlation_id().to_owned())
    }

    #[test]
    fn ids_are_taken_or_made() {
        let both = of(&[("x-request-id", "r"), ("x-correlation-id", "c")]);
        assert_eq!(both, ("r".to_owned(), "c".to_owned()));
        assert_eq!(of(&[("x-request-id", "r")]), ("r".to_owned(), "r".to_owned()));
        let (made, story) = of(&[("x-request-id", "two words"), ("x-correlation-id", "c")]);
        assert_eq!((made.len(), story.as_str()), (36, "c"));
        assert_ne!(made, of(&[]).0);
    }
}
