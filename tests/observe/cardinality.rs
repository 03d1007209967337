//! Metrics grow with the contracts, never with the customers.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::{Request, header::AUTHORIZATION};
use mesh_local::Declaration;
use mesh_policy::Table;
use mesh_testkit::{browse, eventually, workspace};
use meshctl::demo::{self, Amount, Options, Tally};
use tonic::{Code, codegen::http::uri::PathAndQuery, transport::Endpoint};
use uuid::Uuid;

use super::exposition::{Family, families};
use crate::callers::{Callers, doors};
use crate::shop::{SERVICES, Shop, uuid};

const GATEWAY: &str = "gateway";
/// Codes that a call can end with.
const CODES: usize = Code::Unauthenticated as usize + 1;
/// Of health and reflection, and what is in no contract, which is counted as one.
const INFRASTRUCTURE: usize = 5;
/// Without a method there are only words of closed lists left: eleven steps with a handful of verdicts
/// are the longest.
const WORDS: usize = 64;
/// As the exporter spells the units that `mesh` measures in.
const UNITS: [&str; 2] = ["seconds", "bytes"];
/// Parts of names that would be other units than those, or a duration that does not say its own.
const NO_UNITS: [&str; 10] =
    ["ms", "millis", "milliseconds", "us", "micros", "nanos", "minutes", "kb", "mb", "mib"];
const DURATIONS: [&str; 6] = ["duration", "age", "delay", "wait", "latency", "reached"];

#[tokio::test(flavor = "multi_thread")]
async fn metrics_of_a_demo_name_no_customer_and_grow_only_with_the_contracts() {
    let shop = Shop::with_gateway(|options| options).await;
    let all = [SERVICES, &["storefront", GATEWAY]].concat();
    let doors = doors(&shop.platform);
    let options = Options { amount: Amount::Orders(40), ..Options::default() };
    let report = demo::run(&doors, options, Tally::default().into()).await.unwrap();
    assert!(report.confirmed > 0 && report.rejected > 0 && report.shipped > 0, "{report:?}");
    for service in &all {
        for _ in 0..3 {
            invent(&shop, service).await;
        }
    }
    pages_ask(&shop).await;
    let ids = ids(&shop).await;

    let mut faults = BTreeSet::new();
    let mut series = 0;
    for service in all {
        let text = shop.platform.service(service).metrics().await;
        let bound = (methods(service) + INFRASTRUCTURE) * CODES;
        for id in ids.iter().filter(|id| text.contains(id.as_str())) {
            faults.insert(format!("{service} tells {id}"));
        }
        for (name, family) in families(&text) {
            series += family.series.len();
            faults.extend(unnamed(&name, &family).map(|why| format!("{service}: {name} {why}")));
            let with_method = family.labels().any(|(label, _)| label.ends_with("method"));
            let bound = if with_method { bound } else { WORDS };
            if family.series.len() > bound {
                let count = family.series.len();
                faults.insert(format!("{service}: {name} has {count} series, more than {bound}"));
            }
            let odd = family.labels().filter(|(_, value)| looks_like_an_id(value));
            faults.extend(odd.map(|(label, value)| format!("{service}: {name} {label}={value}")));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(series > 150 && ids.len() > 100, "{series} series, {} ids", ids.len());
    shop.platform.shutdown().await;
}

/// Calls what is in no contract, under a name of its own each time.
async fn invent(shop: &Shop, service: &str) {
    let channel = Endpoint::from_shared(shop.platform.uri(service)).unwrap().connect_lazy();
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let path: PathAndQuery = format!("/invented.{}/Call", Uuid::now_v7().simple()).parse().unwrap();
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let refused = client.unary(tonic::Request::new(()), path, codec).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented, "{refused:?}");
}

/// Asks the door in JSON for orders and for what there is not, by methods that there are not either; returns
/// when it has counted them, by the names of the contracts.
async fn pages_ask(shop: &Shop) {
    let (door, token) = (shop.platform.grpc(GATEWAY), Callers::of(&shop.platform).administrator());
    let ask = async |method: &str, target: &str| {
        let request = Request::builder().method(method).uri(target);
        let request = request.header(AUTHORIZATION, &token).body(Bytes::new()).unwrap();
        let answer = browse(door, request).await.unwrap();
        let status = answer.status.as_u16();
        answer.bytes().await;
        status
    };
    let pool = shop.pool("orders").await;
    let orders: Vec<String> = sqlx::query_scalar("SELECT order_id::text FROM orders LIMIT 3")
        .fetch_all(&pool)
        .await
        .unwrap();
    pool.close().await;
    for order in &orders {
        assert_eq!(ask("GET", &format!("/v1/orders/{order}")).await, 200);
        assert_eq!(ask("GET", &format!("/v0/parcels/{order}?of={order}")).await, 404);
        assert!(ask(&format!("LOOK-{order}"), &format!("/v1/orders/{order}")).await >= 400);
    }

    for (label, value) in [
        ("http_request_method", "GET"),
        ("http_request_method", "_OTHER"),
        ("http_route", "/v1/orders/{order_id}"),
        ("http_route", "-"),
    ] {
        eventually(&format!("a request whose {label} is {value}"), async || {
            let text = shop.platform.service(GATEWAY).metrics().await;
            let families = families(&text);
            let requests = families.get("http_server_request_duration_seconds");
            requests.is_some_and(|family| family.labels().any(|it| it == (label, value)))
        })
        .await;
    }
}

/// What the shop knows customers, orders and payments by.
async fn ids(shop: &Shop) -> Vec<String> {
    let mut ids = Vec::new();
    for (service, sql) in [
        ("orders", "SELECT order_id::text FROM orders UNION SELECT customer_id::text FROM carts"),
        ("payments", "SELECT payment_id::text FROM payments"),
        ("processor", "SELECT token FROM cards"),
        ("users", "SELECT user_id::text FROM users UNION SELECT session_id::text FROM sessions"),
    ] {
        let pool = shop.pool(service).await;
        let found: Vec<String> = sqlx::query_scalar(sql).fetch_all(&pool).await.unwrap();
        assert!(!found.is_empty(), "{service} knows nobody");
        ids.extend(found);
        pool.close().await;
    }
    ids
}

/// How many RPCs a process can name: those that it serves and those that it calls.
fn methods(service: &str) -> usize {
    let table = Table::from_descriptors(&[shop::DESCRIPTORS, mesh_proto::DESCRIPTORS]).unwrap();
    let file = workspace().join("services").join(service).join("mesh.toml");
    let declared = Declaration::parse(&std::fs::read_to_string(file).unwrap()).unwrap();
    let is_served = |it: &str| declared.serves(it) || it.starts_with("mesh.operator.v1.");
    let served = table.methods().filter(|method| is_served(method.service()));
    // A name is that of an RPC in each version of the contract that has it.
    let called = table.methods().filter(|method| {
        declared.calls.iter().any(|call| {
            let is_its = method.path.starts_with(&format!("shop.{}.v", call.service));
            is_its && call.methods.include(method.path.rsplit('/').next().unwrap_or_default())
        })
    });
    served.count() + called.count()
}

/// A UUID, a token, an address: whatever there is another one of for the next customer.
fn looks_like_an_id(value: &str) -> bool {
    let words = value.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'));
    let is_random = |word: &str| {
        let digits = word.chars().filter(char::is_ascii_digit).count();
        Uuid::try_parse(word).is_ok() || (word.len() >= 16 && digits >= 4) || digits >= 8
    };
    value.contains('@')
        || value.parse::<std::net::SocketAddr>().is_ok()
        || words.into_iter().any(is_random)
}

/// What is wrong with a name, as OpenMetrics has it: the unit comes last, and counters are totals.
fn unnamed(name: &str, family: &Family) -> Option<String> {
    let is_total = name.ends_with("_total");
    if (family.kind == "counter") != is_total {
        return Some(format!("is a {} by its name", if is_total { "counter" } else { "gauge" }));
    }
    let parts: Vec<&str> = name.trim_end_matches("_total").split('_').collect();
    let (last, before) = parts.split_last()?;
    if let Some(part) = parts.iter().find(|part| NO_UNITS.contains(part)) {
        return Some(format!("measures in {part}"));
    }
    if let Some(unit) = before.iter().find(|part| UNITS.contains(part)) {
        return Some(format!("does not end with its unit, {unit}"));
    }
    let is_duration = parts.iter().any(|part| DURATIONS.contains(part));
    (is_duration && *last != "seconds").then(|| "does not say that it is seconds".to_owned())
}

#[test]
fn ids_are_told_from_words() {
    for id in [
        uuid().as_str(),
        &Uuid::now_v7().simple().to_string(),
        &format!("order-{}", uuid()),
        "ada@example.com",
        "127.0.0.1:50051",
        "tok_4fA81cQz93mL0x",
        "4242424242424242",
    ] {
        assert!(looks_like_an_id(id), "{id}");
    }
    for word in [
        "shop.orders.v1.OrdersService/PlaceOrder",
        "CANCELLED_BEFORE_ARRIVAL",
        "create_shipment",
        "0.0005",
        "+Inf",
        "EUR",
    ] {
        assert!(!looks_like_an_id(word), "{word}");
    }
}

#[test]
fn a_name_without_its_unit_is_noticed() {
    let family = |kind: &str| Family { kind: kind.to_owned(), series: BTreeSet::new() };
    for (name, kind) in [
        ("mesh_saga_steps", "counter"),
        ("mesh_saga_awake_total", "gauge"),
        ("mesh_call_duration", "histogram"),
        ("mesh_call_duration_ms", "histogram"),
        ("mesh_seconds_of_lag", "gauge"),
    ] {
        assert!(unnamed(name, &family(kind)).is_some(), "{name}");
    }
    assert_eq!(unnamed("mesh_call_duration_seconds", &family("histogram")), None);
    assert_eq!(unnamed("process_cpu_seconds_total", &family("counter")), None);
}
