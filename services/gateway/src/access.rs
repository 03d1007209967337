//! The access log: a line for each request, when its answer has ended. It names the path's template and
//! never the path: what is in it may be somebody's.

use std::{
    pin::Pin,
    sync::{Arc, LazyLock, OnceLock},
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use http_body::{Frame, SizeHint};
use mesh_rpc::{Code, code_name, code_of, is_servers_fault};
use mesh_runtime::metrics::{Seconds, seconds};
use opentelemetry::KeyValue;
use prost_reflect::MethodDescriptor;
use tonic::{Status, body::Body};
use tracing::Span;

static DURATIONS: LazyLock<Seconds> =
    LazyLock::new(|| seconds("http.server.request.duration", "Duration of requests at the door"));
/// The semantic conventions' name for a call's code.
const CODE: &str = "rpc.response.status_code";
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

/// How a call ends, of an answer that tells it neither in headers nor in trailers: whoever tells it
/// otherwise notes it here, and leaves this in the answer's extensions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ending(Arc<OnceLock<Code>>);

impl Ending {
    /// Notes the code. The first word counts.
    pub(crate) fn note(&self, code: Code) {
        let _ = self.0.set(code);
    }

    /// Notes the code that stands in what would be headers or trailers elsewhere.
    pub(crate) fn read(&self, headers: &HeaderMap) {
        if let Some(code) = code_of(headers) {
            self.note(code);
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
        let (mut head, inner) = response.into_parts();
        let ending = head.extensions.remove::<Ending>().unwrap_or_default();
        ending.read(&head.headers);
        let status = head.status.as_u16();
        let line = Line { access: self, status, ending, bytes: 0, ended: false };
        Response::from_parts(head, Body::new(Logged { inner, line }))
    }
}

/// The line; written when it is dropped, so that an answer that nobody waits for has one too.
struct Line {
    access: Access,
    status: u16,
    ending: Ending,
    bytes: u64,
    ended: bool,
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
        // The HTTP status of gRPC's answers, and of streams, is 200 whatever they say.
        let ended = self.ending.0.get().copied();
        let code = ended.map(code_name);
        labels.extend(code.map(|code| KeyValue::new(CODE, code)));
        DURATIONS.record(elapsed.as_secs_f64(), &labels);
        span.record("http.response.status_code", self.status);
        span.record(CODE, code);
        if self.status >= 500 || ended.is_some_and(is_servers_fault) {
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
                    self.line.ending.read(trailers);
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
