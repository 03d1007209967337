//! One order, followed through metrics, logs and traces.

use mesh_testkit::eventually;
use serde_json::Value;
use shop::{
    orders::v1::OrderState,
    shipping::v1::{RecordCarrierUpdateRequest, ShipmentState},
};
use uuid::Uuid;

use super::collector::{Collector, Seen};
use crate::shop::{Shop, uuid};

/// What `/metrics` of a service must show with a count above zero, once an order was shipped.
const BASICS: &[(&str, &[&str])] = &[
    (
        "orders",
        &[
            "rpc_server_call_duration_seconds_count",
            "rpc_client_call_duration_seconds_count",
            "mesh_log_batch_size_count",
            "mesh_log_batch_duration_seconds_count",
            "mesh_relay_published_total",
            "mesh_consumer_handled_total",
            "mesh_saga_steps_total",
            "mesh_saga_step_duration_seconds_count",
        ],
    ),
    (
        "inventory",
        &[
            "rpc_server_call_duration_seconds_count",
            "mesh_log_batch_size_count",
            "mesh_relay_published_total",
            "mesh_consumer_handled_total",
        ],
    ),
    (
        "payments",
        &[
            "rpc_server_call_duration_seconds_count",
            "rpc_client_call_duration_seconds_count",
            "mesh_log_batch_size_count",
            "mesh_relay_published_total",
        ],
    ),
    (
        "shipping",
        &[
            "rpc_server_call_duration_seconds_count",
            "mesh_log_batch_size_count",
            "mesh_relay_published_total",
        ],
    ),
    ("processor", &["rpc_server_call_duration_seconds_count", "mesh_log_batch_size_count"]),
    ("catalog", &["rpc_server_call_duration_seconds_count"]),
];
/// What it must show at all: these are zero when all is well.
const GAUGES: &[(&str, &[&str])] = &[
    (
        "orders",
        &["mesh_relay_lag_rows", "mesh_consumer_lag", "mesh_dead_letters", "mesh_saga_driven"],
    ),
    ("inventory", &["mesh_relay_lag_rows", "mesh_consumer_lag", "mesh_dead_letters"]),
    ("catalog", &["mesh_relay_lag_rows"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_of_calls_log_relay_consumers_and_sagas() {
    let shop = Shop::open().await;
    let order = shop.simple_order().await;
    shop.comes_to(&order.order_id, OrderState::Confirmed).await;
    dispatch(&shop, &order.order_id).await;
    shop.comes_to(&order.order_id, OrderState::Shipped).await;

    for (service, names) in BASICS {
        for name in *names {
            eventually(&format!("{service} to count {name}"), async || {
                let metrics = shop.platform.service(service).metrics().await;
                sum(&metrics, service, name).is_some_and(|sum| sum > 0.0)
            })
            .await;
        }
    }
    for (service, names) in GAUGES {
        for name in *names {
            eventually(&format!("{service} to show {name}"), async || {
                let metrics = shop.platform.service(service).metrics().await;
                sum(&metrics, service, name).is_some()
            })
            .await;
        }
    }
    let metrics = shop.platform.service("orders").metrics().await;
    let place = metrics.lines().find(|line| {
        line.starts_with("rpc_server_call_duration_seconds_count{")
            && line.contains("rpc_method=\"shop.orders.v1.OrdersService/PlaceOrder\"")
    });
    assert!(place.is_some_and(|line| line.contains("status_code=\"OK\"")), "{place:?}");
    shop.platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_of_one_order_carry_its_id_and_one_trace_across_services() {
    let shop = Shop::open().await;
    let order = shop.simple_order().await;
    shop.comes_to(&order.order_id, OrderState::Confirmed).await;
    shop.rests(&order.order_id).await;

    let placed = lines_about(&shop, "orders", &order.order_id);
    let placed = placed.iter().find(|line| line["message"] == "order placed").unwrap();
    let trace = placed["trace_id"].as_str().unwrap();
    assert_eq!(trace.len(), 32, "{placed}");
    for service in ["inventory", "payments", "shipping"] {
        let lines = lines_about(&shop, service, &order.order_id);
        assert!(!lines.is_empty(), "{service} says nothing about the order");
        for line in lines {
            assert_eq!(line["trace_id"], trace, "{service}: {line}");
        }
    }
    for process in shop.platform.services() {
        for line in parsed(&process.log()) {
            for field in ["timestamp", "level", "target", "message"] {
                assert!(line[field].is_string(), "{}: no {field} in {line}", process.name());
            }
        }
    }
    shop.platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_of_one_order_reach_the_collector_as_one_trace() {
    let collector = Collector::start().await;
    let shop = Shop::open_with(|options| {
        options
            .env_of_all("OTLP_ENDPOINT", &collector.endpoint())
            .env_of_all("OTLP_SIGNALS", "traces")
            .env_of_all("OTEL_BSP_SCHEDULE_DELAY", "100")
    })
    .await;
    let order = shop.simple_order().await;
    shop.comes_to(&order.order_id, OrderState::Confirmed).await;

    let placed = found(&collector, "the order to be placed", |span| {
        span.service == "orders" && span.name.ends_with("OrdersService/PlaceOrder")
    })
    .await;
    for (service, rpc) in [
        ("catalog", "shop.catalog.v1.CatalogService/BatchGetProducts"),
        ("inventory", "shop.inventory.v1.InventoryService/ReserveStock"),
        ("payments", "shop.payments.v1.PaymentsService/CapturePayment"),
        ("processor", "shop.processor.v1.ProcessorService/CaptureCharge"),
        ("shipping", "shop.shipping.v1.ShippingService/ReleaseShipment"),
    ] {
        let callee = found(&collector, rpc, |span| {
            span.service == service && span.name == rpc && span.trace_id == placed.trace_id
        })
        .await;
        // Its caller's span is there, too, in the same trace.
        found(&collector, &format!("the caller of {rpc}"), |span| {
            span.span_id == callee.parent_id
                && span.trace_id == callee.trace_id
                && span.service != service
        })
        .await;
    }
    // The logs name the same trace.
    let lines = lines_about(&shop, "inventory", &order.order_id);
    assert!(lines.iter().any(|line| line["trace_id"] == placed.trace_id), "{lines:?}");
    shop.platform.shutdown().await;
}

/// A span that fits, once it has been sent.
async fn found(collector: &Collector, what: &str, fits: impl Fn(&Seen) -> bool) -> Seen {
    eventually(&format!("a span of {what}"), async || {
        collector.spans().into_iter().find(|span| fits(span))
    })
    .await
}

async fn dispatch(shop: &Shop, order_id: &str) {
    let id = Uuid::parse_str(order_id).unwrap();
    let shipment_id = Uuid::new_v5(&id, b"create_shipment").to_string();
    eventually("the parcel to be dispatched", async || {
        let update = RecordCarrierUpdateRequest {
            request_id: uuid(),
            shipment_id: shipment_id.clone(),
            state: ShipmentState::Dispatched.into(),
        };
        shop.shipping().record_carrier_update(update).await.is_ok()
    })
    .await;
}

/// The sum over all series of a metric of one service; none if there are none.
fn sum(metrics: &str, service: &str, name: &str) -> Option<f64> {
    let of_service = format!("service=\"{service}\"");
    let values = metrics.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let (metric, labels) = series.split_once('{')?;
        (metric == name && labels.contains(&of_service)).then(|| value.parse::<f64>().unwrap())
    });
    values.reduce(|a, b| a + b)
}

fn parsed(log: &str) -> Vec<Value> {
    let parse = |line: &str| {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON ({error}): {line}"))
    };
    log.lines().map(parse).collect()
}

/// A service's log lines that carry the order's id.
fn lines_about(shop: &Shop, service: &str, order_id: &str) -> Vec<Value> {
    let lines = parsed(&shop.platform.service(service).log());
    lines.into_iter().filter(|line| line["order_id"] == order_id).collect()
}
