//! One call's span and duration, recorded however the call ends.

use std::sync::{Arc, LazyLock, OnceLock};

use http::HeaderMap;
use mesh_runtime::{
    metrics::{BoundSeconds, Seconds, seconds},
    trace::{Part, TraceContext},
};
use opentelemetry::{KeyValue, StringValue, metrics::Counter};
use tokio::time::Instant;
use tonic::Code;
use tracing::{Span, field::Empty};

use crate::{
    Disposition,
    method::{CODES, code_name, code_of, is_servers_fault},
};

static SERVER: LazyLock<Seconds> =
    LazyLock::new(|| seconds("rpc.server.call.duration", "Duration of answered calls"));
static CLIENT: LazyLock<Seconds> =
    LazyLock::new(|| seconds("rpc.client.call.duration", "Duration of calls made"));
static RESENDS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    mesh_runtime::metrics::meter()
        .u64_counter("mesh.rpc.client.resends")
        .with_description("Calls sent again because the callee had not seen them")
        .build()
});

/// How long something of one method took, by how it ended. Attributes are looked up when a code
/// comes for the first time: each time would cost more than the measurement.
#[derive(Debug)]
pub(crate) struct Durations {
    histogram: &'static LazyLock<Seconds>,
    labels: Vec<KeyValue>,
    /// The attribute that the code goes into.
    code: &'static str,
    by_code: [OnceLock<BoundSeconds>; CODES],
}

impl Durations {
    pub(crate) fn new(
        histogram: &'static LazyLock<Seconds>,
        labels: Vec<KeyValue>,
        code: &'static str,
    ) -> Self {
        Self { histogram, labels, code, by_code: Default::default() }
    }

    /// Of the calls of `method` that `service` answers.
    pub(crate) fn server(service: StringValue, method: StringValue) -> Self {
        let labels = vec![KeyValue::new("rpc.method", method), KeyValue::new("service", service)];
        Self::new(&SERVER, labels, CODE)
    }

    /// Of the calls of `method` that `service` makes to `target`.
    pub(crate) fn client(service: StringValue, target: StringValue, method: StringValue) -> Self {
        let method = KeyValue::new("rpc.method", method);
        let labels =
            vec![method, KeyValue::new("service", service), KeyValue::new("target", target)];
        Self::new(&CLIENT, labels, CODE)
    }

    /// Notes how long one took, at `place` if that is sampled.
    pub(crate) fn record(&self, code: Code, seconds: f64, place: Option<TraceContext>) {
        let bound = self.by_code[code as usize].get_or_init(|| {
            let code = KeyValue::new(self.code, code_name(code));
            self.histogram.bind(&[self.labels.as_slice(), &[code]].concat())
        });
        bound.record(seconds, place);
    }
}

/// The semantic conventions' name for a call's code.
const CODE: &str = "rpc.response.status_code";

/// Whose call it is, which decides what of its ends are errors of this side's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Server,
    Client,
}

/// Measures one call. Dropped without a code, the call counts as CANCELLED: a call that nobody
/// waits for any more is a dropped future, and only a guard sees that.
#[derive(Debug)]
pub(crate) struct Record {
    side: Side,
    durations: Arc<Durations>,
    begin: Instant,
    code: Option<Code>,
    span: Span,
    /// Where the call is, if it is sent somewhere.
    place: Option<TraceContext>,
}

impl Record {
    /// Measures a call that this process answers, since `begin`.
    pub(crate) fn server(durations: Arc<Durations>, begin: Instant, part: &Part) -> Self {
        Self::new(Side::Server, durations, begin, part)
    }

    /// Measures a call that this process makes, since `begin`.
    pub(crate) fn client(durations: Arc<Durations>, begin: Instant, part: &Part) -> Self {
        Self::new(Side::Client, durations, begin, part)
    }

    fn new(side: Side, durations: Arc<Durations>, begin: Instant, part: &Part) -> Self {
        let (span, place) = (part.span.clone(), part.sampled());
        Self { side, durations, begin, code: None, span, place }
    }

    /// Notes how the call ended. The first word counts.
    pub(crate) fn ended(&mut self, code: Code) {
        self.code.get_or_insert(code);
    }

    /// Notes the code in a response's headers or trailers, if there is one.
    pub(crate) fn read(&mut self, headers: &HeaderMap) {
        if let Some(code) = code_of(headers) {
            self.ended(code);
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let code = self.code.unwrap_or(Code::Cancelled);
        self.durations.record(code, self.begin.elapsed().as_secs_f64(), self.place);
        // Log lines do not tell it.
        if self.place.is_some() {
            self.span.record(CODE, code_name(code));
            let failed = match self.side {
                Side::Server => is_servers_fault(code),
                Side::Client => code != Code::Ok,
            };
            if failed {
                self.span.record("otel.status_code", "ERROR");
            }
        }
    }
}

/// Counts a call that was sent again.
pub(crate) fn resent(target: &StringValue, disposition: Disposition) {
    let disposition = match disposition {
        Disposition::NotSent => "not_sent",
        Disposition::Unprocessed => "unprocessed",
        Disposition::MaybeProcessed => "maybe_processed",
    };
    let target = KeyValue::new("target", target.clone());
    RESENDS.add(1, &[target, KeyValue::new("disposition", disposition)]);
}

/// The span of an answered call. Handlers fill in the ids that log lines should carry.
///
/// Spans have the level of errors, so that a quieter log does not cost the traces.
pub(crate) fn server_span(service: &'static str, method: &str) -> Span {
    tracing::error_span!(
        parent: None,
        "rpc.server",
        otel.name = method,
        otel.kind = "server",
        otel.status_code = Empty,
        rpc.system.name = "grpc",
        rpc.method = method,
        rpc.response.status_code = Empty,
        service,
        mesh.peer = Empty,
        enduser.id = Empty,
        request_id = Empty,
        idempotency_key = Empty,
        correlation_id = Empty,
        order_id = Empty,
        saga_id = Empty,
    )
}

/// The span of a call that is made.
pub(crate) fn client_span(target: &str, method: &str) -> Span {
    tracing::error_span!(
        "rpc.client",
        otel.name = method,
        otel.kind = "client",
        otel.status_code = Empty,
        rpc.system.name = "grpc",
        rpc.method = method,
        rpc.response.status_code = Empty,
        server.name = target,
    )
}
