//! From a customer's request to everything that it caused.

use std::collections::{BTreeMap, BTreeSet};

use mesh_log::Meta;
use mesh_testkit::eventually;
use prost::Message as _;
use serde_json::Value;
use shop::orders::v1::OrderState;
use sqlx::PgPool;
use uuid::Uuid;

use super::Traced;
use crate::{
    evidence::step_key,
    shop::{GOOD_CARD, OF_AN_ORDER, SERVICES},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_customers_request_id_leads_to_every_line_span_event_and_row_that_it_caused() {
    let traced = Traced::open().await;
    let shop = &traced.shop;
    let sku = shop.stocked(10).await;
    // Somebody else's, which must not be mixed with it.
    let other = shop.simple_order().await;
    let request = shop.order_of(&sku, 1, GOOD_CARD).await;
    let request_id = request.request_id.clone();
    let order = shop.place(request).await.unwrap();
    for id in [&other.order_id, &order.order_id] {
        shop.comes_to(id, OrderState::Confirmed).await;
        shop.rests(id).await;
    }

    // The request's span names the order, and the trace.
    let place = traced.span("the request", |span| span.attribute("request_id") == request_id).await;
    assert!(place.name.ends_with("OrdersService/PlaceOrder"), "{place:?}");
    assert_eq!(place.attribute("order_id"), order.order_id);
    let trace = place.trace_id;

    spans(&traced, &request_id, &order.order_id, &trace).await;
    lines(&traced, &request_id, &order.order_id, &trace);
    let keys = events(&traced, &trace, &request_id, &order.order_id).await;
    let theirs = events_of(&traced, &trace, &request_id).await;
    assert!(!theirs.values().flatten().any(|(key, _)| key.to_string() == other.order_id));

    // Rows: what each service holds of the order goes by a key that those events name.
    let held = [
        ("orders", order.order_id.clone()),
        ("inventory", step_key(&order.order_id, "reserve")),
        ("payments", step_key(&order.order_id, "authorize")),
        ("shipping", step_key(&order.order_id, "create_shipment")),
    ];
    for (service, key) in held {
        assert!(keys[service].contains(&key.parse().unwrap()), "{service} {key}: {keys:?}");
    }
    assert!(shop.reservation(&order.order_id).await.is_some());
    assert!(shop.payment(&order.order_id).await.is_some());
    assert!(shop.charge(&order.order_id).await.is_some());
    traced.shop.platform.shutdown().await;
}

/// Asserts that all six services worked for the request, in one tree, and that no part of its story is
/// elsewhere.
async fn spans(traced: &Traced, request_id: &str, order_id: &str, trace: &str) {
    eventually("every span", async || {
        let story = traced.story(request_id);
        let services: BTreeSet<&str> = story.nodes.iter().map(|node| node.by.as_str()).collect();
        let whole = story.nodes.iter().all(|node| !node.missing);
        whole
            && services.len() == OF_AN_ORDER.len()
            && story.nodes.iter().any(|it| it.span.name == "saga")
    })
    .await;
    let story = traced.story(request_id);
    assert!(story.nodes.iter().all(|node| node.span.trace_id == trace), "one trace");
    assert_eq!(story.roots.len(), 1, "one tree");
    let all = traced.door.buffer().spans();
    let told = all.iter().filter(|span| span.attribute("saga_id") == order_id);
    let traces: BTreeSet<&str> = told.map(|span| span.trace_id.as_str()).collect();
    assert_eq!(traces, [trace].into(), "no part of its story is elsewhere");
}

/// Asserts that the request's line names it, and that every line about the order is in its trace.
fn lines(traced: &Traced, request_id: &str, order_id: &str, trace: &str) {
    let mut services = BTreeSet::new();
    let (mut named, mut about_order, mut of_story) = (0, 0, 0);
    for process in traced.shop.platform.services() {
        for line in process.log().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            if line["order_id"] == order_id || line["saga_id"] == order_id {
                assert_eq!(line["trace_id"], trace, "{line}");
                services.insert(process.name().to_owned());
            }
            let is_its = line["order_id"] == order_id || line["saga_id"] == order_id;
            about_order += usize::from(is_its);
            of_story += usize::from(is_its && line["correlation_id"] == request_id);
            if line["request_id"] == request_id {
                assert_eq!(line["order_id"], order_id, "{line}");
                named += 1;
            }
        }
    }
    assert!(named > 0, "no line names the request");
    assert_eq!(of_story, about_order, "every line about the order names its story");
    for service in ["orders", "inventory", "payments", "shipping"] {
        assert!(services.contains(service), "{service} says nothing in {services:?}");
    }
}

/// The keys of the events that were recorded in a trace, by service. Asserts that the order's own are
/// all of that trace.
async fn events(
    traced: &Traced,
    trace: &str,
    story: &str,
    order: &str,
) -> BTreeMap<String, BTreeSet<Uuid>> {
    let pool = PgPool::connect(traced.shop.platform.database_url("orders")).await.unwrap();
    let metas: Vec<(String, Vec<u8>)> =
        sqlx::query_as("SELECT type, meta FROM log WHERE key = $1::uuid ORDER BY version")
            .bind(order)
            .fetch_all(&pool)
            .await
            .unwrap();
    pool.close().await;
    assert!(metas.len() > 5, "{metas:?}");
    for (kind, meta) in metas {
        let meta = Meta::decode(&*meta).unwrap();
        assert!(meta.traceparent.contains(trace), "{kind}: {meta:?}");
    }
    let of = events_of(traced, trace, story).await;
    of.into_iter()
        .map(|(service, rows)| (service, rows.into_iter().map(|(key, _)| key).collect()))
        .collect()
}

async fn events_of(
    traced: &Traced,
    trace: &str,
    story: &str,
) -> BTreeMap<String, Vec<(Uuid, String)>> {
    let mut found = BTreeMap::new();
    for service in SERVICES {
        let pool = PgPool::connect(traced.shop.platform.database_url(service)).await.unwrap();
        let rows: Vec<(Uuid, String, Vec<u8>)> =
            sqlx::query_as("SELECT key, type, meta FROM log").fetch_all(&pool).await.unwrap();
        pool.close().await;
        let of_trace = rows.into_iter().filter(|(_, kind, meta)| {
            let meta = Meta::decode(meta.as_slice()).unwrap();
            let is_its = meta.traceparent.contains(trace);
            assert_eq!(is_its, meta.correlation_id == story, "{service} {kind}: {meta:?}");
            is_its
        });
        found.insert((*service).to_owned(), of_trace.map(|(key, kind, _)| (key, kind)).collect());
    }
    found
}
