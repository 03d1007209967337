//! What an order asks of databases, as spans of OpenTelemetry's conventions.

use std::fmt::Write as _;

use futures::future::join_all;
use mesh_testkit::eventually;
use meshctl::traces::{Forest, Kind, Node, Span};
use shop::{
    orders::v1::OrderState,
    shipping::v1::{RecordCarrierUpdateRequest, ShipmentState},
};

use super::{
    Traced,
    tree::{comes_to, is_of_a_database},
};
use crate::{
    evidence::step_key,
    shop::{GOOD_CARD, uuid},
};

const BOUGHT: &str = "\
orders PlaceOrder
  INSERT streams rows=1 command=place
  SELECT carts rows=1 command=read_cart
  SELECT streams rows=0 command=load
catalog BatchGetProducts
  SELECT products rows=1 command=read_products
orders saga
  INSERT streams rows=1 command=reserve
  INSERT streams rows=1 command=authorize
  INSERT streams rows=1 command=create_shipment
  INSERT streams rows=1 command=commit
  INSERT streams rows=1 command=capture
  INSERT streams rows=1 command=release_shipment
inventory ReserveStock
  transaction command=reserve_stock
    BEGIN
    SELECT reservations rows=1
    SELECT stock rows=1
    UPDATE stock
    INSERT log
    COMMIT
payments AuthorizePayment
  transaction command=authorize_intent
    BEGIN
    SELECT payments rows=1
    UPDATE payments
    COMMIT
  transaction command=authorize
    BEGIN
    SELECT payments rows=1
    UPDATE payments
    INSERT log
    COMMIT
";

const DISPATCHED: &str = "\
orders consume
  BEGIN
  INSERT inbox rows=1
  SELECT streams rows=1
  INSERT streams rows=1
  COMMIT
";

#[tokio::test(flavor = "multi_thread")]
async fn every_round_trip_of_an_order_to_a_database_is_told_below_what_it_was_for() {
    let traced = Traced::open().await;
    let shop = &traced.shop;
    let sku = shop.stocked(5).await;

    let order = shop.place(shop.order_of(&sku, 1, GOOD_CARD).await).await.unwrap().order_id;
    shop.comes_to(&order, OrderState::Confirmed).await;
    shop.rests(&order).await;

    let places = [
        ("orders", "PlaceOrder"),
        ("catalog", "BatchGetProducts"),
        ("orders", "saga"),
        ("inventory", "ReserveStock"),
        ("payments", "AuthorizePayment"),
    ];
    comes_to(|| statements(&traced.story(&order), &places), BOUGHT).await;

    let update = RecordCarrierUpdateRequest {
        request_id: uuid(),
        shipment_id: step_key(&order, "create_shipment"),
        state: ShipmentState::Dispatched.into(),
    };
    shop.shipping().record_carrier_update(update.clone()).await.unwrap();
    shop.comes_to(&order, OrderState::Shipped).await;
    let consume = [("orders", "consume")];
    comes_to(|| statements(&traced.story(&update.request_id), &consume), DISPATCHED).await;

    let spans = traced.door.buffer().spans();
    let told = spans.iter().filter(|span| is_of_a_database(span));
    assert!(told.clone().count() > 40, "{}", told.count());
    told.for_each(conforms);
    traced.shop.platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_shown_in_the_trace_of_each_who_waits_for_it_and_leads_to_where_it_is_told() {
    let traced = Traced::open().await;
    let shop = &traced.shop;
    let sku = shop.stocked(1000).await;

    let [one, other] = eventually("two orders to be committed as one batch", async || {
        let requests = join_all((0..16).map(|_| shop.order_of(&sku, 1, GOOD_CARD))).await;
        join_all(requests.into_iter().map(|request| shop.place(request))).await;
        batch(&traced.door.buffer().spans())
    })
    .await;

    let size = |span: &Span| span.attribute("db.operation.batch.size").parse::<u64>().unwrap();
    assert!(size(&one) > 1 && size(&one) == size(&other), "{one:?} {other:?}");
    assert_ne!(one.trace_id, other.trace_id);
    assert!(one.links.is_empty(), "{one:?}");
    assert_eq!(
        one.attribute("db.response.returned_rows"),
        one.attribute("db.operation.batch.size")
    );
    traced.shop.platform.shutdown().await;
}

/// Two spans of one statement that has committed several orders: the one that tells of it, and one
/// that links to that.
fn batch(spans: &[Span]) -> Option<[Span; 2]> {
    let placed = |span: &&Span| span.attribute("mesh.command") == "place";
    spans.iter().filter(placed).find_map(|other| {
        let link = other.links.first()?;
        let one = spans.iter().filter(placed).find(|span| span.span_id == link.span_id)?;
        Some([one.clone(), other.clone()])
    })
}

/// The round trips below the first span of each of these places.
fn statements(forest: &Forest, places: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (by, name) in places {
        let is_there = |node: &&Node| {
            let short = node.span.name.rsplit('/').next().unwrap();
            node.by == *by && short == *name && node.span.kind != Kind::Client
        };
        writeln!(out, "{by} {name}").unwrap();
        let Some(place) = forest.nodes.iter().find(is_there) else { continue };
        let mut lines = below(forest, place, "  ");
        // These are asked for at the same time.
        if *name == "PlaceOrder" {
            lines.sort();
        }
        out.extend(lines);
    }
    out
}

fn below(forest: &Forest, place: &Node, indent: &str) -> Vec<String> {
    let children = place.children.iter().map(|child| &forest.nodes[*child]);
    let told = children.filter(|child| is_of_a_database(&child.span));
    told.flat_map(|child| {
        let mut lines = vec![format!("{indent}{}\n", line(&child.span))];
        lines.extend(below(forest, child, &format!("{indent}  ")));
        lines
    })
    .collect()
}

fn line(span: &Span) -> String {
    let told = [("db.response.returned_rows", "rows"), ("mesh.command", "command")];
    let mut line = span.name.clone();
    for (attribute, name) in told {
        match span.attribute(attribute) {
            "" => {}
            value => write!(line, " {name}={value}").unwrap(),
        }
    }
    line
}

/// Asserts that a span is as the conventions have it, and named by no value.
fn conforms(span: &Span) {
    assert_eq!(span.attribute("db.system.name"), "postgresql", "{span:?}");
    assert!(!span.failed, "{span:?}");
    if span.name == "transaction" {
        assert_eq!(span.kind, Kind::Internal, "{span:?}");
        return;
    }
    assert_eq!(span.kind, Kind::Client, "{span:?}");
    assert_eq!(span.attribute("db.query.summary"), span.name, "{span:?}");
    let (operation, table) = span.name.split_once(' ').unwrap_or((&span.name, "nothing"));
    assert!(operation.bytes().all(|it| it.is_ascii_uppercase()), "{span:?}");
    assert!(table.bytes().all(|it| it.is_ascii_lowercase() || it == b'_'), "{span:?}");
    assert_eq!(span.attribute("db.query.text"), "", "{span:?}");
}
