//! What is seen of attempts: a span for each of a call that has several, events for decisions, and the
//! metrics of gRFC A66 and A96.
//!
//! Events have the level `debug` and lie on the current span; what operators count are metrics.

use std::{
    future::Future,
    sync::{LazyLock, atomic::Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use http::Response;
use mesh_runtime::{metrics::Seconds, trace};
use opentelemetry::{
    KeyValue, StringValue,
    metrics::{Counter, Histogram},
};
use tokio::time::Instant;
use tonic::{Code, Status};
use tracing::{Instrument as _, Span, field::Empty};

use super::{Attempt, Call, first::Ended};
use crate::{
    Disposition,
    method::{code_name, code_of},
    telemetry::Durations,
};

static ATTEMPTS: LazyLock<Seconds> = LazyLock::new(|| {
    mesh_runtime::metrics::seconds("grpc.client.attempt.duration", "Duration of attempts at calls")
});
static RETRIES: LazyLock<Histogram<u64>> =
    LazyLock::new(|| counts("grpc.client.call.retries", "Retries of calls that had any"));
static RESENDS: LazyLock<Histogram<u64>> = LazyLock::new(|| {
    counts("grpc.client.call.transparent_retries", "Re-sends of calls that had any")
});
static HEDGES: LazyLock<Histogram<u64>> =
    LazyLock::new(|| counts("grpc.client.call.hedges", "Hedges of calls that had any"));
static DELAY: LazyLock<Seconds> = LazyLock::new(|| {
    mesh_runtime::metrics::seconds(
        "grpc.client.call.retry_delay",
        "Time of repeated calls during which no attempt was under way",
    )
});
static STOPS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    mesh_runtime::metrics::meter()
        .u64_counter("mesh.rpc.client.unrepeated")
        .with_description(
            "Failed or slow attempts that would have been repeated but for the reason",
        )
        .build()
});
static WON: LazyLock<Counter<u64>> = LazyLock::new(|| {
    mesh_runtime::metrics::meter()
        .u64_counter("mesh.rpc.client.hedges_won")
        .with_description("Hedges that answered before the attempts they were sent beside")
        .build()
});

/// Why an attempt is made that is not the first, or a call sent again.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Repetition {
    Retry(Duration),
    Hedge,
    Resend(Disposition),
}

impl Call {
    /// Notes that the call is repeated.
    pub(crate) fn repeats(&self, attempt: u32, why: Repetition) {
        if attempt > 1 {
            self.first.followed();
        }
        match why {
            Repetition::Retry(pause) => {
                self.retries.fetch_add(1, Relaxed);
                tracing::debug!(attempt, ?pause, "a failed attempt is followed by another");
            }
            Repetition::Hedge => {
                self.hedges.fetch_add(1, Relaxed);
                tracing::debug!(attempt, "a hedge is sent");
            }
            Repetition::Resend(disposition) => {
                let not_sent = disposition == Disposition::NotSent;
                let count = if not_sent { &self.not_sent } else { &self.unprocessed };
                count.fetch_add(1, Relaxed);
                tracing::debug!(
                    attempt,
                    ?disposition,
                    "an attempt that was not seen is sent again"
                );
                crate::telemetry::resent(&self.target, disposition);
            }
        }
    }

    /// Notes why the call is not repeated although its failure, or slowness, would ask for it.
    pub(crate) fn stops(&self, attempt: u32, reason: &'static str) {
        tracing::debug!(attempt, reason, "not repeated");
        STOPS.add(1, &[self.labels().0, KeyValue::new("reason", reason)]);
    }

    /// Notes that a hedge answered first.
    pub(crate) fn hedge_won(&self, attempt: u32) {
        tracing::debug!(attempt, "a hedge won");
        WON.add(1, &[self.labels().0, self.labels().1]);
    }

    /// How long attempts at calls of its method took.
    pub(crate) fn durations(&self) -> Durations {
        let (target, method) = self.labels();
        Durations::new(&ATTEMPTS, vec![target, method], "grpc.status")
    }

    /// How often it was sent again without being seen, for the limits of that.
    pub(crate) fn resends(&self, disposition: Disposition) -> u32 {
        match disposition {
            Disposition::NotSent => self.not_sent.load(Relaxed),
            _ => self.unprocessed.load(Relaxed),
        }
    }

    fn labels(&self) -> (KeyValue, KeyValue) {
        let label = |key: &'static str, value: &StringValue| KeyValue::new(key, value.clone());
        (label("grpc.target", &self.target), label("grpc.method", &self.method))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let retries = *self.retries.get_mut();
        let hedges = *self.hedges.get_mut();
        let resends = *self.not_sent.get_mut() + *self.unprocessed.get_mut();
        if retries + hedges + resends == 0 {
            return;
        }
        let (target, method) = self.labels();
        let labels = [target, method];
        for (count, histogram) in [(retries, &RETRIES), (hedges, &HEDGES), (resends, &RESENDS)] {
            // gRFC A96: zero is not recorded.
            if count > 0 {
                histogram.record(count.into(), &labels);
            }
        }
        DELAY.record(Duration::from_micros(*self.paused.get_mut()).as_secs_f64(), &labels);
    }
}

/// Runs one attempt: measured until its headers (a unary one's answer) are there, and in a span of
/// its own unless it is the first, whose span is made once there is another.
pub(crate) async fn observe<B>(
    attempt: Attempt<'_>,
    durations: &Durations,
    begin: Instant,
    work: impl Future<Output = Result<Response<B>, Status>>,
) -> Result<Response<B>, Status> {
    let (span, call) = spans(attempt);
    let mut running = Running { attempt, durations, begin, code: None, span: span.clone(), call };
    let result = match span.is_disabled() {
        true => work.await,
        false => work.instrument(span).await,
    };
    running.code = Some(match &result {
        Ok(response) => code_of(response.headers()).unwrap_or(Code::Ok),
        Err(status) => status.code(),
    });
    result
}

/// Counts as CANCELLED if it is dropped, as a hedge's loser is.
struct Running<'c> {
    attempt: Attempt<'c>,
    durations: &'c Durations,
    begin: Instant,
    code: Option<Code>,
    span: Span,
    /// The call's span, if this is a first attempt that is sampled.
    call: Option<Span>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.code.is_none() {
            tracing::debug!(attempt = self.attempt.number(), "an attempt is given up");
        }
        let code = self.code.unwrap_or(Code::Cancelled);
        let took = self.begin.elapsed();
        self.durations.record(code, took.as_secs_f64(), trace::sampled());
        tell(&self.span, code);
        if let Some(call) = self.call.take() {
            let of = self.attempt.call();
            let (target, at) = (of.target.to_string(), SystemTime::now());
            of.first.ended(Ended { call, target, took, at, code });
        }
    }
}

/// The span of an attempt, and the call's if it is a first one, which may need one later.
fn spans(attempt: Attempt<'_>) -> (Span, Option<Span>) {
    if !trace::is_sampled() {
        return (Span::none(), None);
    }
    if attempt.number() < 2 {
        return (Span::none(), Some(Span::current()));
    }
    // Spans have the level of errors, so that a quieter log does not cost the traces.
    let span = tracing::error_span!(
        "rpc.attempt",
        otel.name = "attempt",
        otel.kind = "client",
        otel.status_code = Empty,
        attempt = attempt.number(),
        server.name = attempt.call().target.as_str(),
        rpc.response.status_code = Empty,
    );
    (span, None)
}

/// Says on an attempt's span how it ended.
pub(super) fn tell(span: &Span, code: Code) {
    span.record("rpc.response.status_code", code_name(code));
    if code != Code::Ok {
        span.record("otel.status_code", "ERROR");
    }
}

/// The default boundaries are meant for milliseconds.
fn counts(name: &'static str, description: &'static str) -> Histogram<u64> {
    mesh_runtime::metrics::meter()
        .u64_histogram(name)
        .with_description(description)
        .with_boundaries(vec![1.0, 2.0, 3.0, 4.0, 5.0, 10.0])
        .build()
}
