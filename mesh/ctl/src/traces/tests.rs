use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{self as otlp, ResourceSpans, ScopeSpans};
use tonic::Code;
use uuid::Uuid;

use super::*;

const MILLI: u64 = 1_000_000;

/// A span of trace and id, below `parent` if that is not 0, between two milliseconds.
fn span(trace: u8, id: u8, parent: u8, from: u64, to: u64) -> otlp::Span {
    let wide = |id: u8| if id == 0 { Vec::new() } else { vec![id; 8] };
    otlp::Span {
        trace_id: vec![trace; 16],
        span_id: wide(id),
        parent_span_id: wide(parent),
        name: format!("span {id}"),
        start_time_unix_nano: from * MILLI,
        end_time_unix_nano: to * MILLI,
        ..otlp::Span::default()
    }
}

fn with(mut span: otlp::Span, key: &str, value: impl ToString) -> otlp::Span {
    span.attributes.push(text(key, value));
    span
}

fn text(key: &str, value: impl ToString) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.to_string())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

fn sent(service: &str, spans: Vec<otlp::Span>) -> Vec<ResourceSpans> {
    let attributes = vec![text("service.name", service)];
    vec![ResourceSpans {
        resource: Some(Resource { attributes, ..Resource::default() }),
        scope_spans: vec![ScopeSpans { spans, ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    }]
}

fn forest(spans: Vec<otlp::Span>) -> Forest {
    Forest::of(vec![spans.into_iter().map(|span| Span::of("shop", span)).collect()])
}

#[test]
fn the_oldest_traces_give_way_and_are_counted() {
    let limits = Limits { spans: 6, ..Limits::default() };
    let buffer = Buffer::new(limits);

    for trace in 1..=4 {
        buffer.take(sent("orders", vec![span(trace, 1, 0, 1, 2), span(trace, 2, 1, 1, 2)]));
    }

    let about = buffer.about();
    assert_eq!((about.traces, about.spans, about.received), (3, 6, 8));
    assert_eq!((about.dropped_traces, about.dropped_spans), (1, 2));
    let trace =
        |trace: u8| buffer.answer(Asked::Trace(u128::from_be_bytes([trace; 16]))).traces.len();
    assert_eq!((trace(1), trace(2), trace(4)), (0, 1, 1));
}

#[test]
fn bytes_are_bounded_whatever_comes() {
    let limits = Limits { bytes: 100_000, ..Limits::default() };
    let buffer = Buffer::new(limits);
    let long = "x".repeat(10_000);

    for round in 0..200_u8 {
        let spans = (1..=3).map(|id| with(span(round + 1, id, 0, 1, 2), "text", &long));
        buffer.take(sent("orders", spans.collect()));
        assert!(buffer.about().bytes <= limits.bytes, "{:?}", buffer.about());
    }

    let about = buffer.about();
    assert_eq!(about.received, 600);
    assert_eq!(about.spans as u64 + about.dropped_spans, 600);
    // One trace that is larger than everything goes, too.
    let spans = (1..=200).map(|id| with(span(250, id, 0, 1, 2), "text", &long));
    buffer.take(sent("orders", spans.collect()));
    let about = buffer.about();
    assert_eq!((about.bytes, about.spans, about.traces), (0, 0, 0));
}

#[test]
fn a_story_is_found_by_every_id_that_its_spans_carry() {
    let [order, request, other] = [1, 2, 3].map(Uuid::from_u128);
    let buffer = Buffer::new(Limits::default());
    buffer.take(sent(
        "orders",
        vec![
            with(with(span(1, 1, 0, 1, 2), "request_id", request), "order_id", order),
            with(span(1, 2, 1, 2, 9), "saga_id", order),
            // After a crash.
            with(span(2, 3, 0, 20, 30), "saga_id", order),
            with(span(3, 4, 0, 1, 2), "order_id", other),
        ],
    ));

    let found = |text: &str| {
        let answer = buffer.answer(text.parse().unwrap());
        answer.traces.iter().map(|trace| trace[0].trace_id[..2].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(found(&order.to_string()), ["01", "02"]);
    assert_eq!(found(&request.to_string()), ["01", "02"], "by what the request's trace tells");
    assert_eq!(found(&"02".repeat(16)), ["01", "02"], "by what a part of the story tells");
    assert_eq!(found(&other.to_string()), ["03"]);
    assert!(found(&Uuid::from_u128(4).to_string()).is_empty());
}

#[tokio::test]
async fn what_is_malformed_is_refused_and_the_rest_is_taken() {
    let door = Door::open(0, Limits::default()).await.unwrap();
    let mut client = TraceServiceClient::connect(door.endpoint()).await.unwrap();
    let mut export = async |spans| {
        let resource_spans = sent("orders", spans);
        client.export(ExportTraceServiceRequest { resource_spans }).await
    };

    let broken = [
        otlp::Span { trace_id: vec![1; 15], ..span(1, 1, 0, 1, 2) },
        otlp::Span { trace_id: vec![0; 16], ..span(1, 1, 0, 1, 2) },
        otlp::Span { span_id: Vec::new(), ..span(1, 1, 0, 1, 2) },
        otlp::Span { parent_span_id: vec![1; 7], ..span(1, 1, 0, 1, 2) },
        otlp::Span { name: String::new(), ..span(1, 1, 0, 1, 2) },
        span(1, 1, 0, 5, 4),
        with(span(1, 1, 0, 1, 2), "text", "x".repeat(70_000)),
    ];
    for span in &broken {
        let refused = export(vec![span.clone()]).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    }
    let partly = export(vec![broken[0].clone(), span(1, 1, 0, 1, 2)]).await.unwrap();
    let partly = partly.into_inner().partial_success.unwrap();
    assert_eq!(
        (partly.rejected_spans, partly.error_message.as_str()),
        (1, "a trace id is 16 bytes, not all zero")
    );
    assert!(
        export(vec![span(2, 1, 0, 1, 2)]).await.unwrap().into_inner().partial_success.is_none()
    );

    let about = door.buffer().about();
    assert_eq!((about.spans, about.refused), (2, broken.len() as u64 + 1));
    // Questions are answered at the same door.
    let answer = ask(door.address(), Asked::Trace(u128::from_be_bytes([2; 16]))).await.unwrap();
    assert_eq!(answer.traces[0][0].service, "orders");
    assert_eq!(answer.about, about);
    let none = ask(door.address(), Asked::Id(Uuid::nil())).await.unwrap();
    assert!(none.traces.is_empty());
}

#[test]
fn ids_are_told_apart_and_others_refused() {
    assert_eq!(
        "0af7651916cd43dd8448eb211c80319c".parse(),
        Ok(Asked::Trace(0x0af7651916cd43dd8448eb211c80319c))
    );
    let uuid = Uuid::from_u128(7);
    assert_eq!(uuid.to_string().parse(), Ok(Asked::Id(uuid)));
    for text in ["", "7", "0af7651916cd43dd8448eb211c80319", "zzz7651916cd43dd8448eb211c80319c"] {
        assert!(text.parse::<Asked>().unwrap_err().to_string().contains("is no id"), "{text}");
    }
}

#[test]
fn spans_whose_parent_did_not_come_in_stay_together() {
    let forest = forest(vec![span(1, 1, 0, 0, 10), span(1, 3, 9, 2, 4), span(1, 4, 9, 5, 8)]);

    let shape: Vec<_> =
        forest.nodes.iter().map(|it| (it.depth, it.missing, it.own / MILLI)).collect();
    assert_eq!(shape, [(0, false, 10), (0, true, 1), (1, false, 2), (1, false, 3)]);
}

#[test]
fn spans_that_are_each_others_parents_do_no_harm() {
    let forest = forest(vec![span(1, 1, 2, 0, 1), span(1, 2, 1, 0, 1), span(1, 3, 3, 0, 1)]);

    assert_eq!(forest.nodes.len(), 1);
    assert_eq!(Account::of(&forest).to, MILLI);
}

#[test]
fn the_critical_path_adds_up_and_names_who_had_the_time() {
    let step = |id, from, to, label| with(span(1, id, 2, from, to), "step", label);
    let by = |span, service: &str| with(span, "service", service);
    let forest = forest(vec![
        by(span(1, 1, 0, 0, 10), "orders"),
        // The story goes on after the call has been answered.
        with(span(1, 2, 1, 8, 100), "saga_id", Uuid::from_u128(1)),
        step(3, 10, 40, "reserve"),
        // Two at once: the later one decides.
        by(span(1, 4, 3, 10, 35), "catalog"),
        by(span(1, 5, 3, 12, 39), "inventory"),
        // Tried twice, with a pause that nobody has a span for but the saga.
        step(6, 45, 50, "authorize"),
        step(7, 70, 90, "authorize"),
        with(by(span(1, 8, 7, 70, 90), "payments"), "attempt", 2),
        // Beyond the end of the story.
        span(1, 9, 1, 200, 300),
    ]);

    let account = Account::of(&forest);

    assert_eq!((account.from, account.to), (0, 100 * MILLI));
    let total: u64 = account.critical.iter().sum::<u64>() + account.waited;
    assert_eq!(total, account.to - account.from);
    let phases: Vec<_> = account
        .phases
        .iter()
        .map(|it| (it.label.as_str(), it.start / MILLI, it.critical / MILLI, it.tries))
        .collect();
    assert_eq!(phases, [("span 1", 0, 8, 1), ("reserve", 10, 30, 1), ("authorize", 45, 25, 3)]);
    let shares = |phase: usize| {
        let shares = account.phases[phase].shares.iter();
        shares.map(|it| (it.by.as_str(), it.time / MILLI)).collect::<Vec<_>>()
    };
    assert_eq!(shares(1), [("inventory", 27), ("catalog", 2), ("orders", 1)]);
    assert_eq!(shares(2), [("payments", 20), ("orders", 5)]);
    assert_eq!(account.between, 37 * MILLI);
}

#[test]
fn time_without_any_span_is_waiting() {
    // A process died, and another went on in a trace of its own.
    let story = |span| with(span, "saga_id", Uuid::from_u128(1));
    let traces = [story(span(1, 1, 0, 0, 10)), story(span(2, 2, 0, 50, 80))];
    let forest = Forest::of(traces.into_iter().map(|it| vec![Span::of("orders", it)]).collect());

    let account = Account::of(&forest);

    assert_eq!((account.to - account.from, account.waited), (80 * MILLI, 40 * MILLI));
}

#[test]
fn what_became_of_an_order_later_is_a_chapter_of_its_own() {
    let of = |spans: Vec<otlp::Span>| spans.into_iter().map(|it| Span::of("orders", it)).collect();
    let call = |span| otlp::Span { kind: otlp::span::SpanKind::Server as i32, ..span };
    let story = |span| with(span, "saga_id", Uuid::from_u128(1));
    let order = of(vec![call(span(1, 1, 0, 0, 10)), story(span(1, 2, 1, 5, 30))]);
    // After a crash; when the parcel left; and somebody who only asked for it.
    let resumed = of(vec![story(span(2, 3, 0, 50, 80))]);
    let parcel = of(vec![call(span(3, 4, 0, 9000, 9010)), story(span(3, 5, 4, 9005, 9020))]);
    let question = of(vec![call(span(4, 6, 0, 40, 41))]);

    let story = Story::of(vec![parcel, question, resumed, order]);

    let took = |chapter: &Chapter| (chapter.account.to - chapter.account.from) / MILLI;
    assert_eq!(story.chapters.iter().map(took).collect::<Vec<_>>(), [80, 20]);
    assert_eq!(story.chapters[0].forest.roots.len(), 2);
    assert_eq!(story.beside.nodes.len(), 1);
    assert_eq!(story.chapters[0].json()["waited"], 20 * MILLI);
}

/// Of a kind, about a service, with whom it calls if it is a call.
fn of(
    span: otlp::Span,
    kind: otlp::span::SpanKind,
    name: &str,
    pairs: &[(&str, &str)],
) -> otlp::Span {
    let named = otlp::Span { kind: kind.into(), name: name.to_owned(), ..span };
    pairs.iter().fold(named, |span, (key, value)| with(span, key, value))
}

#[tokio::test]
async fn calls_are_counted_for_each_request_and_attempts_are_not() {
    use otlp::span::SpanKind::{Client, Internal, Server};
    let call =
        |span, to: &str| of(span, Client, "Get", &[("server.name", to), ("rpc.method", "Get")]);
    let door = Door::open(0, Limits::default()).await.unwrap();
    let page = |trace| of(span(trace, 1, 0, 1, 9), Server, "Page", &[("service", "storefront")]);
    door.buffer().take(sent(
        "shop",
        vec![
            page(1),
            // Somewhere below it, in a part of the work.
            of(span(1, 2, 1, 1, 9), Internal, "part", &[]),
            call(span(1, 3, 2, 1, 2), "catalog"),
            call(span(1, 4, 2, 2, 3), "catalog"),
            call(span(1, 5, 1, 3, 4), "orders"),
            of(span(1, 6, 3, 1, 2), Client, "attempt", &[("server.name", "catalog")]),
            // What the callee calls is its own affair.
            of(span(1, 7, 5, 3, 4), Server, "Get", &[("service", "orders")]),
            call(span(1, 8, 7, 3, 4), "catalog"),
            page(2),
            call(span(2, 2, 1, 1, 2), "catalog"),
            // For nobody's request.
            call(span(3, 1, 0, 1, 2), "catalog"),
            // What a saga asks, nobody waits for.
            page(4),
            of(span(4, 2, 1, 2, 9), Internal, "saga", &[("saga_id", "s"), ("service", "orders")]),
            of(span(4, 3, 2, 2, 9), Internal, "saga step", &[("saga_id", "s")]),
            call(span(4, 4, 3, 2, 3), "inventory"),
        ],
    ));

    let talks = ask_talks(door.address()).await.unwrap();

    let told: Vec<_> = talks
        .iter()
        .map(|it| {
            let trace = &it.trace[..2];
            format!(
                "{} {} {} {}/{} {} {trace}",
                it.from, it.request, it.to, it.calls, it.requests, it.most
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "orders Get catalog 1/1 1 01",
            "orders saga inventory 1/1 1 04",
            "storefront Page catalog 3/2 2 01",
            "storefront Page orders 1/1 1 01",
        ]
    );
    assert!((talks[2].per_request() - 1.5).abs() < f64::EPSILON);
}
