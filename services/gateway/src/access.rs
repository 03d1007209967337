//! The access log: a line for each request, when its answer has ended. It names the path's template and
//! never the path: what is in it may be somebody's.

use std::{
    pin::Pin,
    sync::{Arc, LazyLock},
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use http_body::{Frame, SizeHint};
use mesh_rpc::{Code, code_name};
use mesh_runtime::metrics::{Seconds, seconds};
use opentelemetry::KeyValue;
use prost_reflect::MethodDescriptor;
use tonic::{Status, body::Body};
use tracing::Span;

static DURATIONS: LazyLock<Seconds> =
    LazyLock::new(|| seconds("http.server.request.duration", "Duration of requests at the door"));
/// Methods that have a name in metrics; there is no end of others.
const METHODS: [Method; 5] =
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// Methods that belong to no contract, but that tools and balancers call.
const KNOWN: [&str; 5] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.health.v1.Health/List",
];

/// What a call is called that is no RPC of a contract: there is no end of names that are none.
pub(crate) fn known(path: &str) -> &'static str {
    KNOWN.into_iter().find(|known| *known == path).unwrap_or("-")
}

/// What a request is for, which decides whether it counts for an objective.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One answer of a service.
    Unary,
    /// A stream: how long it lasts and how it ends is its caller's wish.
    Stream,
    /// A page of the gateway's own.
    Page,
    /// Nothing that there is.
    Other,
}

impl Kind {
    pub(crate) fn of(rpc: Option<&MethodDescriptor>, is_page: bool) -> Self {
        match rpc {
            Some(rpc) if rpc.is_server_streaming() || rpc.is_client_streaming() => Self::Stream,
            Some(_) => Self::Unary,
            None if is_page => Self::Page,
            None => Self::Other,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::Stream => "stream",
            Self::Page => "page",
            Self::Other => "other",
        }
    }
}

/// What a request is called in the log.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) method: Method,
    /// A path's template, or `/package.Service/Method`; `-` where nothing is.
    pub(crate) route: Arc<str>,
    pub(crate) kind: Kind,
    pub(crate) begun: Instant,
    pub(crate) span: Span,
}

impl Access {
    /// Follows an answer to its end.
    pub(crate) fn follow(self, response: Response<Body>) -> Response<Body> {
        let (head, inner) = response.into_parts();
        let mut line =
            Line { access: self, status: head.status.as_u16(), code: None, bytes: 0, ended: false };
        line.read(&head.headers);
        Response::from_parts(head, Body::new(Logged { inner, line }))
    }
}

/// The line; written when it is dropped, so that an answer that nobody waits for has one too.
struct Line {
    access: Access,
    status: u16,
    code: Option<String>,
    bytes: u64,
    ended: bool,
}

impl Line {
    /// Notes the code in an answer's headers or trailers.
    fn read(&mut self, headers: &HeaderMap) {
        let code = headers.get("grpc-status").and_then(|code| code.to_str().ok());
        self.code = code.map(str::to_owned).or_else(|| self.code.take());
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let Access { method, route, kind, begun, span } = &self.access;
        let elapsed = begun.elapsed();
        let known = METHODS.iter().find(|known| *known == method);
        let named = known.map_or("_OTHER", |method| method.as_str()).to_owned();
        let mut labels = vec![
            KeyValue::new("http.request.method", named),
            KeyValue::new("http.route", Arc::clone(route)),
            KeyValue::new("http.response.status_code", i64::from(self.status)),
            KeyValue::new("kind", kind.as_str()),
            KeyValue::new("service", "gateway"),
        ];
        // The status of gRPC's answers is 200 whatever they say.
        let code = self.code.as_deref().map(|code| code_name(Code::from_bytes(code.as_bytes())));
        labels.extend(code.map(|code| KeyValue::new("rpc.response.status_code", code)));
        DURATIONS.record(elapsed.as_secs_f64(), &labels);
        span.record("http.response.status_code", self.status);
        if self.status >= 500 {
            span.record("otel.status_code", "ERROR");
        }
        let _entered = span.enter();
        tracing::info!(
            method = known.map_or("_OTHER", |method| method.as_str()),
            route = &**route,
            status = self.status,
            code,
            ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            bytes = self.bytes,
            gone = !self.ended,
            "request"
        );
    }
}

struct Logged {
    inner: Body,
    line: Line,
}

impl http_body::Body for Logged {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let next = match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(next) => next,
            Poll::Pending => return Poll::Pending,
        };
        match &next {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.line.bytes += data.len() as u64;
                }
                if let Some(trailers) = frame.trailers_ref() {
                    self.line.read(trailers);
                }
            }
            Some(Err(_)) => {}
            None => self.line.ended = true,
        }
        // Whoever writes the answer asks no further when this says that nothing follows.
        if self.inner.is_end_stream() {
            self.line.ended = true;
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
