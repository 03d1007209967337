//! One call's span and duration, recorded however the call ends.

use std::sync::LazyLock;

use http::HeaderMap;
use opentelemetry::{
    KeyValue, StringValue,
    metrics::{Counter, Histogram},
};
use tokio::time::Instant;
use tonic::Code;
use tracing::{Span, field::Empty};

use crate::{
    Disposition,
    method::{code_name, code_of},
};

static SERVER: LazyLock<Histogram<f64>> = LazyLock::new(|| {
    mesh_runtime::metrics::seconds("rpc.server.call.duration", "Duration of answered calls")
});
static CLIENT: LazyLock<Histogram<f64>> = LazyLock::new(|| {
    mesh_runtime::metrics::seconds("rpc.client.call.duration", "Duration of calls made")
});
static RESENDS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    mesh_runtime::metrics::meter()
        .u64_counter("mesh.rpc.client.resends")
        .with_description("Calls sent again because the callee had not seen them")
        .build()
});

/// Measures one call. Dropped without a code, the call counts as CANCELLED: a call that nobody
/// waits for any more is a dropped future, and only a guard sees that.
#[derive(Debug)]
pub(crate) struct Record {
    service: StringValue,
    /// The service called; the caller's side has one.
    target: Option<StringValue>,
    method: StringValue,
    begin: Instant,
    code: Option<Code>,
    span: Span,
}

impl Record {
    /// Begins to measure a call that this process answers.
    pub(crate) fn server(service: StringValue, method: StringValue, span: Span) -> Self {
        Self { service, target: None, method, begin: Instant::now(), code: None, span }
    }

    /// Begins to measure a call that this process makes.
    pub(crate) fn client(
        service: StringValue,
        target: StringValue,
        method: StringValue,
        span: Span,
    ) -> Self {
        let target = Some(target);
        Self { service, target, method, begin: Instant::now(), code: None, span }
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
        let name = code_name(code);
        let elapsed = self.begin.elapsed().as_secs_f64();
        let method = KeyValue::new("rpc.method", self.method.clone());
        let service = KeyValue::new("service", self.service.clone());
        let status = KeyValue::new("rpc.response.status_code", name);
        match &self.target {
            None => SERVER.record(elapsed, &[method, status, service]),
            Some(target) => {
                CLIENT.record(
                    elapsed,
                    &[method, status, service, KeyValue::new("target", target.clone())],
                );
            }
        }
        if !self.span.is_disabled() {
            self.span.record("rpc.response.status_code", name);
            let failed = match self.target {
                None => is_our_fault(code),
                Some(_) => code != Code::Ok,
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

/// What the semantic conventions call an error of the server.
fn is_our_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}
