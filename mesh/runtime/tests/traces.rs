//! Traces of a process that exports the sampled ones. A process of its own: telemetry is set up once.

use mesh_runtime::{
    ServiceConfig, telemetry,
    trace::{self, TraceContext},
};
use opentelemetry::trace::TraceContextExt as _;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

const TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;

/// Only what others have decided to sample.
fn export_what_is_sampled() {
    let config = ServiceConfig {
        otlp_endpoint: Some("http://127.0.0.1:1".to_owned()),
        trace_ratio: 0.0,
        log_level: "off,traces=error".to_owned(),
        ..ServiceConfig::default()
    };
    telemetry::init("traces", &config).expect("a collector is not asked before there is something");
}

/// A call from somebody who has decided.
fn caller(sampled: bool) -> Option<TraceContext> {
    Some(TraceContext { trace_id: TRACE, span_id: 1, sampled })
}

fn handler() -> Span {
    tracing::error_span!(parent: None, "handler")
}

fn inside() -> Span {
    tracing::error_span!("inside")
}

/// Whether OpenTelemetry knows the current span.
fn is_exported() -> bool {
    Span::current().context().span().span_context().is_sampled()
}

fn place() -> TraceContext {
    trace::current().expect("every span has a place")
}

#[tokio::test]
async fn a_trace_is_carried_on_whoever_samples_it_and_exported_only_if_it_is_sampled() {
    export_what_is_sampled();

    for sampled in [true, false] {
        let _handler = trace::begin(caller(sampled), handler).entered();
        assert_eq!((place().trace_id, place().sampled), (TRACE, sampled));
        assert_eq!(is_exported(), sampled);
        {
            let _inside = inside().entered();
            assert_eq!((place().trace_id, place().sampled), (TRACE, sampled));
            assert_eq!(is_exported(), sampled, "below it");
        }

        let part = trace::part(inside);
        assert_eq!(part.span.is_disabled(), !sampled, "a call made needs a span to be seen");
        assert_eq!(part.place.is_none(), sampled);
        assert_eq!(trace::is_sampled(), sampled);
        let mut headers = http::HeaderMap::new();
        part.span.in_scope(|| trace::inject(part.place, &mut headers));
        let sent = trace::extract(&headers).unwrap();
        assert_eq!((sent.trace_id, sent.sampled), (TRACE, sampled));
        let _saga = handler().entered();
        assert!(!is_exported(), "of new traces none is sampled, wherever they begin");
    }

    let _new = trace::begin(None, handler).entered();
    assert!(!is_exported() && !place().sampled);
    assert_ne!(place().trace_id, TRACE);
}

#[tokio::test]
async fn a_call_made_outside_of_everything_tells_that_its_trace_is_not_sampled() {
    export_what_is_sampled();

    let part = trace::part(inside);

    assert!(part.span.is_disabled());
    assert!(!part.place.unwrap().sampled);
}
