//! Which names of headers a connection's peer knows.
//!
//! Headers whose values differ from call to call are kept out of HPACK's table (RFC 7541 §7.1.3), where
//! each would push out one that is the same for every call. But then nothing is known of them, and the
//! name is compressed, sent, expanded and checked with every call, too. So the first of a connection is
//! kept, and those that follow refer to its name.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use http::{HeaderMap, HeaderName};
use mesh_runtime::{correlation, trace};

use crate::{carried::REQUEST_ID, grpc_timeout::GRPC_TIMEOUT};

/// None of them is a secret.
const CHANGING: [HeaderName; COUNT] = [
    HeaderName::from_static(trace::TRACEPARENT),
    GRPC_TIMEOUT,
    HeaderName::from_static(correlation::NAME),
    REQUEST_ID,
];
const COUNT: usize = 4;
const ALL: u8 = (1 << COUNT) - 1;

/// The names that were told, a bit for each.
#[derive(Default)]
pub(super) struct Names(AtomicU8);

impl Names {
    /// Lets HPACK keep the headers of a call whose names were not told before.
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        let told = self.0.load(Relaxed);
        if told == ALL {
            return;
        }
        for (n, name) in CHANGING.iter().enumerate().filter(|(n, _)| told & 1 << n == 0) {
            if let Some(value) = headers.get_mut(name) {
                value.set_sensitive(false);
                self.0.fetch_or(1 << n, Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// Which of these headers HPACK may keep if a call has them.
    fn kept(names: &Names, headers: &[&'static str]) -> Vec<&'static str> {
        let mut map = HeaderMap::new();
        for name in headers {
            let mut value = HeaderValue::from_static("different each time");
            value.set_sensitive(true);
            map.insert(*name, value);
        }
        names.tell(&mut map);
        headers.iter().copied().filter(|name| !map[*name].is_sensitive()).collect()
    }

    #[test]
    fn the_first_of_a_connection_is_kept_and_no_secret_ever() {
        let names = Names::default();

        assert_eq!(kept(&names, &["grpc-timeout", "authorization"]), ["grpc-timeout"]);
        assert_eq!(kept(&names, &["traceparent", "grpc-timeout"]), ["traceparent"]);
        assert_eq!(kept(&names, &["authorization", "x-correlation-id"]), ["x-correlation-id"]);
        assert_eq!(kept(&names, &["x-mesh-request-id"]), ["x-mesh-request-id"]);
        let all = ["traceparent", "grpc-timeout", "x-correlation-id", "x-mesh-request-id"];
        assert!(kept(&names, &all).is_empty());
        assert_eq!(kept(&Names::default(), &["traceparent"]), ["traceparent"]);
    }
}
