//! The page that shows `/openapi.json` to people, and lets them try it. All of it is in the binary:
//! it asks nobody but the gateway.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use tonic::body::Body;

use crate::whole;

/// Nothing but what is listed here, from nowhere but here: no inline script, no frame around it.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
);
/// Asked for anew each time: a gateway that was replaced may describe other contracts.
const FRESH: HeaderValue = HeaderValue::from_static("no-cache");

/// A file of the page.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) path: &'static str,
    kind: &'static str,
    text: &'static str,
}

/// All of its files.
static FILES: [File; 3] = [
    File {
        path: "/docs",
        kind: "text/html; charset=utf-8",
        text: include_str!("../assets/docs.html"),
    },
    File {
        path: "/docs/docs.css",
        kind: "text/css; charset=utf-8",
        text: include_str!("../assets/docs.css"),
    },
    File {
        path: "/docs/docs.js",
        kind: "text/javascript; charset=utf-8",
        text: include_str!("../assets/docs.js"),
    },
];

impl File {
    /// The file at `path`.
    pub(crate) fn find(path: &str) -> Option<&'static Self> {
        FILES.iter().find(|file| file.path == path)
    }

    pub(crate) fn answer(&self) -> Response<Body> {
        let text = Bytes::from_static(self.text.as_bytes());
        let mut response = whole::answer(StatusCode::OK, self.kind, text);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
        headers.insert(header::CACHE_CONTROL, FRESH);
        response
    }
}
