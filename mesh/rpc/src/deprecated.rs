//! What every answer of an RPC says whose contract announces its end.

use http::{HeaderMap, HeaderName, HeaderValue};
use mesh_policy::Method;

const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const SUNSET: HeaderName = HeaderName::from_static("sunset");

/// The end of an RPC, as headers say it: `deprecation` (RFC 9745) and `sunset` (RFC 8594).
#[derive(Clone, Debug)]
pub struct Deprecated {
    deprecation: HeaderValue,
    sunset: HeaderValue,
}

impl Deprecated {
    /// Of this RPC; none if its contract announces no end.
    pub fn of(method: &Method) -> Option<Self> {
        let end = method.deprecation.as_ref()?;
        Some(Self {
            deprecation: end.deprecation().try_into().ok()?,
            sunset: end.sunset().try_into().ok()?,
        })
    }

    /// Says it in the headers of an answer, whatever the answer is.
    pub fn tell(&self, headers: &mut HeaderMap) {
        headers.insert(DEPRECATION, self.deprecation.clone());
        headers.insert(SUNSET, self.sunset.clone());
    }
}
