//! Headers that tell browsers to be careful with an answer.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// An answer is data: nothing in it is run or shown, and nothing frames it.
const DATA: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
/// A year; subdomains are not this one's to speak for.
const ONE_YEAR: HeaderValue = HeaderValue::from_static("max-age=31536000");
/// What every answer says.
const ALWAYS: [(HeaderName, HeaderValue); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// Adds them; what an answer says for itself stays.
pub(super) fn tell(headers: &mut HeaderMap, is_secure: bool) {
    for (name, value) in ALWAYS {
        headers.insert(name, value);
    }
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(DATA);
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if is_secure {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, ONE_YEAR);
    }
}
