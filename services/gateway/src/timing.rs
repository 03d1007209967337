//! `Server-Timing`: where the time of an answer went, for who looks with a browser's tools.

use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue, Response};

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// How long the service took, noted in an answer's extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Took(pub(crate) Duration);

/// Tells how long it took to the answer's beginning, and what of it the service did.
pub(crate) fn tell<B>(response: &mut Response<B>, begun: Instant) {
    let mut text = format!("total;dur={}", millis(begun.elapsed()));
    if let Some(Took(service)) = response.extensions_mut().remove() {
        text = format!("{text}, service;dur={}", millis(service));
    }
    if let Ok(value) = HeaderValue::try_from(text) {
        response.headers_mut().insert(SERVER_TIMING, value);
    }
}

fn millis(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1000.0)
}
