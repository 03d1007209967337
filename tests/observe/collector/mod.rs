//! A real Collector with the configuration that is shipped: what arrives, and what is kept.

mod process;
mod signals;
mod stores;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mesh_testkit::eventually;
use shop::orders::v1::OrderState;

use crate::shop::{GOOD_CARD, OF_AN_ORDER, SERVICES, Shop, address};
use process::Collector;
use signals::Kept;

/// What every service sends.
const SENT: [&str; 3] = ["resourceSpans", "resourceMetrics", "resourceLogs"];
/// Far more than an order takes that nothing holds up, and less than any call's deadline.
const SLOW: Duration = Duration::from_millis(3000);
/// By then an order's trace is whole.
const DECISION_WAIT: &str = "10s";
/// Nobody delivers there: the order is refused after five services have worked for it.
const NOWHERE: &str = "AQ";

#[tokio::test(flavor = "multi_thread")]
async fn the_collector_keeps_whole_what_failed_or_was_slow_and_complains_of_nothing() {
    let slow = SLOW.as_millis().to_string();
    let settings = [
        ("COLLECTOR_DECISION_WAIT", DECISION_WAIT),
        ("COLLECTOR_SLOW_MS", slow.as_str()),
        // Chance keeps nothing, so that what is kept was kept for a reason.
        ("COLLECTOR_SHARE_PERCENT", "0"),
    ];
    let Some(collector) = Collector::start("sampled", &["config.yaml"], &settings).await else {
        return;
    };
    let endpoint = collector.endpoint();
    let shop = Shop::open_with(|options| {
        let options = options.env_of_all("OTLP_ENDPOINT", &endpoint);
        options.env_of_all("OTEL_BSP_SCHEDULE_DELAY", "100")
    })
    .await;

    let fine = bought(&shop, "DE", OrderState::Confirmed).await;
    let failed = bought(&shop, NOWHERE, OrderState::Rejected).await;
    let slow = bought_slowly(&shop).await;
    shop.platform.shutdown().await;

    for order in [&failed, &slow] {
        eventually("the decision about an order's trace", async || {
            is_whole(&collector.kept().trace_of(order))
        })
        .await;
    }
    collector.ends().await;
    let kept = collector.kept();
    let all: BTreeSet<String> = SERVICES.iter().map(ToString::to_string).collect();
    for kind in SENT {
        assert_eq!(kept.services(kind), all, "{kind}");
    }
    for order in [&failed, &slow] {
        let trace = kept.trace_of(order);
        let services: BTreeSet<String> = trace.iter().map(|span| span.service.clone()).collect();
        let of_an_order: BTreeSet<_> = OF_AN_ORDER.iter().map(ToString::to_string).collect();
        assert_eq!(services, of_an_order, "{trace:#?}");
        assert!(trace.iter().any(|span| span.name == "saga"), "{trace:#?}");
    }
    assert!(kept.trace_of(&failed).iter().any(|span| span.failed));
    assert!(!kept.trace_of(&slow).iter().any(|span| span.failed), "it is kept for its time alone");
    assert_eq!(kept.trace_of(&fine).len(), 0, "nothing is remarkable about it");
    let complaints = collector.complaints();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

/// An order to a country, once it has come to this end.
async fn bought(shop: &Shop, country: &str, end: OrderState) -> String {
    let sku = shop.stocked(5).await;
    let mut request = shop.order_of(&sku, 1, GOOD_CARD).await;
    request.address = Some(address(country));
    let order = shop.place(request).await.unwrap().order_id;
    shop.comes_to(&order, end).await;
    shop.rests(&order).await;
    order
}

/// An order that waits for shipping longer than an order should.
async fn bought_slowly(shop: &Shop) -> String {
    let sku = shop.stocked(5).await;
    let request = shop.order_of(&sku, 1, GOOD_CARD).await;
    let shipping = shop.platform.service("shipping");
    shipping.stop();
    let placed = Instant::now();
    let order = shop.place(request).await.unwrap().order_id;
    eventually("the order to be slow", async || placed.elapsed() > SLOW).await;
    shipping.cont();
    shop.comes_to(&order, OrderState::Confirmed).await;
    shop.rests(&order).await;
    order
}

/// Whether there is one root, and every other span's parent.
fn is_whole(trace: &[Kept]) -> bool {
    let ids: BTreeSet<&str> = trace.iter().map(|span| span.span_id.as_str()).collect();
    let (roots, others): (Vec<_>, Vec<_>) = trace.iter().partition(|it| it.parent_id.is_empty());
    roots.len() == 1 && others.iter().all(|span| ids.contains(span.parent_id.as_str()))
}
