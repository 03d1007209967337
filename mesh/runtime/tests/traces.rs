//! Traces of a process that sends the sampled ones. A process of its own: telemetry is set up once.

mod support;

use std::time::Duration;

use mesh_runtime::{
    ServiceConfig, telemetry,
    trace::{self, TraceContext},
};
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, any_value::Value},
    trace::v1::{Span as Sent, span::SpanKind, status::StatusCode},
};
use support::Collector;
use tracing::{Span, field::Empty};

const TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
/// Where something else began that a span has to do with.
const ELSEWHERE: TraceContext = TraceContext { trace_id: 7, span_id: 8, sampled: true };
/// Events, and links, that are kept of a span.
const MOST: usize = 128;
const FLUSH: Duration = Duration::from_secs(10);
/// How a span says that the one above it was made by another process, and how that this one made it
/// (`SpanFlags`).
const REMOTE: u32 = 0x300;
const OURS: u32 = 0x100;

/// Only what others have decided to sample.
fn send_what_is_sampled(collector: &Collector) {
    let config = ServiceConfig {
        otlp_endpoint: Some(collector.endpoint.clone()),
        trace_ratio: 0.0,
        log_level: "off,traces=info".to_owned(),
        ..ServiceConfig::default()
    };
    telemetry::init("traces", &config).expect("a collector is not asked before there is something");
}

/// A call from somebody who has decided.
fn caller(sampled: bool) -> Option<TraceContext> {
    Some(TraceContext { trace_id: TRACE, span_id: 1, sampled })
}

fn handler() -> Span {
    tracing::error_span!(parent: None, "handler", otel.name = "Read", otel.kind = "server",
        otel.status_code = Empty, code = Empty, rows = 3_u64, tried = Empty)
}

/// One that says more than is kept of it, and something of every kind.
fn talker() -> Span {
    let span = tracing::error_span!(parent: None, "talker", otel.name = "Write",
        otel.kind = "client", share = 0.5, cold = false, below = -1_i64, huge = u64::MAX,
        wide = ?["a"], otel.status_description = "why");
    span.record("otel.name", "Rewrite");
    span.record("cold", true);
    for _ in 0..=MOST {
        trace::link(&span, ELSEWHERE);
        span.in_scope(|| tracing::info!(target: "traces", "again"));
    }
    span
}

fn inside() -> Span {
    tracing::error_span!("inside")
}

fn place() -> TraceContext {
    trace::current().expect("every span has a place")
}

/// Answers a call, makes one, and begins something that has nothing to do with it.
fn answer(sampled: bool) {
    let handler = trace::begin(caller(sampled), handler).entered();
    assert_eq!((place().trace_id, place().sampled), (TRACE, sampled));
    {
        let _inside = inside().entered();
        assert_eq!((place().trace_id, place().sampled), (TRACE, sampled), "below it");
    }
    let part = trace::part(inside);
    assert_eq!(part.span.is_disabled(), !sampled, "a call made needs a span to be seen");
    let told = part.place.expect("every part has a place");
    assert_eq!((told.trace_id, told.sampled), (TRACE, sampled));
    assert_eq!(part.sampled(), trace::of_span(&part.span));
    assert_eq!(trace::is_sampled(), sampled);
    let mut headers = http::HeaderMap::new();
    part.span.in_scope(|| trace::inject(part.place, &mut headers));
    let sent = trace::extract(&headers).expect("it was told");
    assert_eq!(sent, told);

    trace::link(&handler, ELSEWHERE);
    handler.record("code", "OK");
    handler.record("code", "UNAVAILABLE");
    handler.record("otel.status_code", "ERROR");
    tracing::info!(left = 2_i64, "half of it is done");
    let _saga = tracing::error_span!(parent: None, "saga").entered();
    assert!(!trace::is_sampled(), "of new traces none is sampled, wherever they begin");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_is_carried_on_whoever_samples_it_and_sent_only_if_it_is_sampled() {
    let collector = Collector::start().await;
    collector.open();
    send_what_is_sampled(&collector);
    let unasked = trace::part(inside);
    assert!(unasked.span.is_disabled());
    assert!(!unasked.place.unwrap().sampled, "a call outside of everything tells so");

    answer(false);
    answer(true);
    {
        let _new = trace::begin(None, handler).entered();
        assert!(!place().sampled);
        assert_ne!(place().trace_id, TRACE);
    }
    drop(trace::begin(caller(true), talker));
    telemetry::flush(FLUSH).await;
    drop(trace::begin(caller(true), handler));

    let spans = collector.received().spans;
    let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["inside", "inside", "Read", "Rewrite"], "as they end");
    let read = &spans[2];
    for span in &spans {
        assert_eq!(span.trace_id, TRACE.to_be_bytes());
        assert!(span.start_time_unix_nano > 0);
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
    }
    for below in &spans[..2] {
        assert_eq!(below.parent_span_id, read.span_id);
        assert_eq!(below.flags & REMOTE, OURS, "the one above is of this process");
    }
    is_what_was_said(read);
    is_as_much_as_is_kept(&spans[3]);
}

fn is_as_much_as_is_kept(span: &Sent) {
    assert_eq!(span.kind(), SpanKind::Client);
    let status = span.status.as_ref().expect("it failed");
    assert_eq!((status.code(), status.message.as_str()), (StatusCode::Error, "why"));
    let attributes: Vec<_> =
        span.attributes.iter().map(|it| (it.key.as_str(), value(it.value.as_ref()))).collect();
    let expected = [
        ("share", "0.5"),
        ("cold", "true"),
        ("below", "-1"),
        ("huge", "18446744073709551615"),
        ("wide", "[\"a\"]"),
    ];
    assert_eq!(attributes, expected.map(|(name, value)| (name, value.to_owned())));
    assert_eq!((span.events.len(), span.dropped_events_count), (MOST, 1));
    assert_eq!((span.links.len(), span.dropped_links_count), (MOST, 1));
    assert!(span.events.iter().all(|event| event.name == "again"));
    assert!(span.links.iter().all(|link| link.flags == REMOTE | 1));
}

fn is_what_was_said(span: &Sent) {
    assert_eq!(span.parent_span_id, 1_u64.to_be_bytes());
    assert_eq!(span.flags & REMOTE, REMOTE);
    assert_eq!(span.kind(), SpanKind::Server);
    assert_eq!(span.status.as_ref().map(|status| status.code()), Some(StatusCode::Error));
    let attributes: Vec<_> =
        span.attributes.iter().map(|it| (it.key.as_str(), value(it.value.as_ref()))).collect();
    assert_eq!(attributes, [("rows", "3".to_owned()), ("code", "UNAVAILABLE".to_owned())]);
    let [link] = &span.links[..] else { panic!("{:?}", span.links) };
    assert_eq!(link.trace_id, ELSEWHERE.trace_id.to_be_bytes());
    assert_eq!(link.span_id, ELSEWHERE.span_id.to_be_bytes());
    let [event] = &span.events[..] else { panic!("{:?}", span.events) };
    assert_eq!(event.name, "half of it is done");
    let left = event.attributes.iter().find(|it| it.key == "left").expect("a field");
    assert_eq!(value(left.value.as_ref()), "2");
}

fn value(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(it)) => it.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        other => panic!("{other:?}"),
    }
}
