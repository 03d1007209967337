//! Which pages of other origins a browser lets ask here: those that the configuration names, never
//! with cookies.

use std::str::FromStr;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header, request::Parts,
};
use tonic::body::Body;

use crate::refused::Refused;

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE");
/// What a request may have besides what a browser always sends.
const ALLOWED: &str = "authorization, content-type, idempotency-key, if-match, x-request-id, \
                       x-correlation-id, traceparent, grpc-timeout, x-grpc-web, x-user-agent";
/// What a page may read of an answer besides what it always may.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "etag, allow, deprecation, sunset, retry-after, ratelimit, ratelimit-policy, server-timing, \
     www-authenticate, x-request-id, x-correlation-id, grpc-status, grpc-message, grpc-status-details-bin",
);
/// Seconds that a browser need not ask again; two hours is the most that one keeps.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");
const TIMING: HeaderName = HeaderName::from_static("timing-allow-origin");

/// An origin as browsers send it: scheme, host, and a port that is not the scheme's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(HeaderValue);

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let wrong = || format!("`{text}` is no origin: write it as `https://shop.example:8443`");
        let (scheme, host) = text.split_once("://").ok_or_else(wrong)?;
        let (host, port) = match host.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (host, None),
        };
        let own = match scheme {
            "http" => "80",
            "https" => "443",
            _ => return Err(wrong()),
        };
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.[]:".contains(c);
        let is_port = |port: &str| port != own && port.parse().is_ok_and(|port: u16| port > 0);
        if host.is_empty() || !host.chars().all(fits) || port.is_some_and(|port| !is_port(port)) {
            return Err(wrong());
        }
        HeaderValue::from_str(text).map(Self).map_err(|_| wrong())
    }
}

/// The rule for requests of other origins.
#[derive(Debug)]
pub(crate) struct Cors {
    origins: Vec<HeaderValue>,
    allowed: HeaderValue,
}

impl Cors {
    /// Lets pages of these origins ask, and send these headers besides those that every client may;
    /// none if there is no such origin.
    pub(super) fn new(origins: &[Origin], forwarded: &[HeaderName]) -> Option<Self> {
        if origins.is_empty() {
            return None;
        }
        let names = forwarded.iter().map(HeaderName::as_str);
        let allowed = std::iter::once(ALLOWED).chain(names).collect::<Vec<_>>().join(", ");
        Some(Self {
            origins: origins.iter().map(|origin| origin.0.clone()).collect(),
            allowed: HeaderValue::try_from(allowed).ok()?,
        })
    }

    /// The answer to a browser that asks whether a page may ask; none to any other request.
    pub(crate) fn preflight(&self, head: &Parts) -> Option<Result<Response<Body>, Refused>> {
        let asks = head.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if head.method != Method::OPTIONS || !asks {
            return None;
        }
        let origin = head.headers.get(header::ORIGIN)?;
        if !self.origins.contains(origin) {
            return Some(Err(Refused::OriginUnknown));
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, self.allowed.clone());
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        Some(Ok(response))
    }

    /// Says whether a page of `origin` may read the answer.
    pub(crate) fn tell(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        headers.append(header::VARY, HeaderValue::from_static("origin"));
        if let Some(origin) = origin.filter(|origin| self.origins.contains(origin)) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
            headers.insert(TIMING, origin.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        for good in ["https://shop.example", "http://localhost:3000", "https://[::1]:8443"] {
            assert_eq!(good.parse::<Origin>().unwrap().0, good);
        }
        for bad in [
            "*",
            "null",
            "shop.example",
            "https://",
            "https://shop.example/",
            "https://*.shop.example",
            "https://Shop.example",
            "https://shop.example:443",
            "https://shop.example:0",
            "ftp://shop.example",
        ] {
            let why = bad.parse::<Origin>().unwrap_err();
            assert!(why.contains("https://shop.example:8443"), "{bad}: {why}");
        }
    }
}
