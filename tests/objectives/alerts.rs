//! The real thing: a Prometheus scrapes a running shop while something breaks.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use futures::future::join_all;
use mesh_local::Prometheus;
use mesh_testkit::{eventually, skipped};
use meshctl::generate::observe::dashboards;
use meshctl::traces::{Door, Limits};
use shop::catalog::v1::ListProductsRequest;
use shop::orders::v1::OrderState;
use shop::shipping::v1::{RecordCarrierUpdateRequest, ShipmentState};
use shop::users::v1::{GetKeysRequest, sessions_service_client::SessionsServiceClient};
use sqlx::{Connection as _, PgConnection};

use super::prometheus::{Firing, Watch};
use crate::shop::{SERVICES, Shop, uuid};

const CUSTOMERS: usize = 4;
/// Breakers close as soon as the service is back, compared with the windows of a test.
const POLICY: &str = "[targets.shipping]\nconnection = { max_backoff = '500ms' }\n";
const PAUSE: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread")]
async fn the_right_alert_and_no_other_fires_and_resolves() {
    let program = match Prometheus::find() {
        Ok(program) => program,
        Err(missing) => return skipped("Prometheus", &missing.to_string()),
    };
    let policy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("observe.policy.toml");
    fs::write(&policy, POLICY).unwrap();
    let policy = policy.to_str().unwrap();
    let shop = Shop::open_with(|it| it.env("orders", "MESH_POLICY", policy)).await;
    let watch = Watch::start("alerts", program, &shop).await;
    watch.works().await;

    tokio::select! {
        () = buy(&shop) => (),
        () = every_panel_shows_something(&watch) => (),
    }
    shop.quiet().await;
    watch.silent().await;
    let healthy = SystemTime::now();

    let failures = AtomicUsize::new(0);
    tokio::select! {
        () = browse(&shop, &failures) => (),
        () = a_locked_table_fails_calls(&shop, &watch) => (),
    }
    assert!(failures.load(Ordering::Relaxed) > 0, "the lock was met");
    a_service_that_is_kept_away_is_gone(&shop, &watch).await;

    let fired = watch.fired(healthy).await;
    let about: BTreeSet<_> = fired.iter().map(|it| (it.0.as_str(), it.1.as_str())).collect();
    let expected = BTreeSet::from([("CallsFailing", "catalog"), ("ServiceGone", "shipping")]);
    assert_eq!(about, expected, "{fired:?}");
    shop.platform.shutdown().await;
}

/// From a bucket of a histogram in Prometheus to the trace that lies in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_leads_to_a_trace() {
    let program = match Prometheus::find() {
        Ok(program) => program,
        Err(missing) => return skipped("Prometheus", &missing.to_string()),
    };
    let door = Door::open(0, Limits::default()).await.unwrap();
    let endpoint = door.endpoint();
    let shop = Shop::open_with(|options| {
        let options = options.env_of_all("OTLP_ENDPOINT", &endpoint);
        options.env_of_all("OTEL_BSP_SCHEDULE_DELAY", "100")
    })
    .await;
    let watch = Watch::start("exemplars", program, &shop).await;
    watch.works().await;
    let order = shop.simple_order().await;
    shop.comes_to(&order.order_id, OrderState::Confirmed).await;

    for (histogram, service) in [
        ("rpc_server_call_duration_seconds_bucket", "orders"),
        ("rpc_client_call_duration_seconds_bucket", "orders"),
        ("mesh_saga_step_reached_seconds_bucket", "orders"),
        ("rpc_server_call_duration_seconds_bucket", "processor"),
    ] {
        let series = format!("{histogram}{{service=\"{service}\"}}");
        eventually(&format!("a trace behind {series}"), async || {
            let traces = watch.traces_behind(&series).await;
            door.buffer().spans().iter().any(|span| {
                span.attribute("order_id") == order.order_id && traces.contains(&span.trace_id)
            })
        })
        .await;
    }
    shop.platform.shutdown().await;
}

/// Nobody can read the products: the catalog's calls end at their deadline.
async fn a_locked_table_fails_calls(shop: &Shop, watch: &Watch) {
    let mut lock = PgConnection::connect(&shop.platform.superuser_url("catalog")).await.unwrap();
    let slow = "BEGIN; LOCK TABLE products IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(slow).execute(&mut lock).await.unwrap();

    let page = page("CallsFailing", "catalog");
    assert_eq!(watch.fires(&page).await, BTreeSet::from([page]));

    sqlx::query("ROLLBACK").execute(&mut lock).await.unwrap();
    watch.silent().await;
}

async fn a_service_that_is_kept_away_is_gone(shop: &Shop, watch: &Watch) {
    let shipping = shop.platform.service("shipping");
    shipping.down().await;

    let page = page("ServiceGone", "shipping");
    let firing = watch.fires(&page).await;
    assert_eq!(firing, BTreeSet::from([page]), "the breakers before it tell nothing new");

    shipping.up();
    shipping.ready().await;
    watch.silent().await;
}

fn page(name: &str, service: &str) -> Firing {
    (name.to_owned(), service.to_owned(), "page".to_owned())
}

/// Asserts that no picture of any dashboard stays empty.
async fn every_panel_shows_something(watch: &Watch) {
    let mut panels = 0;
    for dashboard in dashboards() {
        for panel in &dashboard.panels {
            panels += 1;
            for target in &panel.targets {
                let query = target.expr.replace("$__rate_interval", "1m");
                let queries: BTreeSet<String> =
                    SERVICES.iter().map(|name| query.replace("$service", name)).collect();
                for query in queries {
                    let (board, title) = (dashboard.title, panel.title);
                    eventually(&format!("\"{title}\" of \"{board}\": {query}"), async || {
                        watch.drawn(&query).await > 0
                    })
                    .await;
                }
            }
        }
    }
    println!("{panels} panels show something");
    assert!(panels > 40, "{panels} panels");
}

/// Customers order all the while, carriers take their parcels along, and whoever verifies tokens asks for
/// the keys.
async fn buy(shop: &Shop) {
    let mut sessions = SessionsServiceClient::new(shop.channel("users"));
    loop {
        sessions.get_keys(GetKeysRequest {}).await.unwrap();
        let order = shop.simple_order().await;
        let order = shop.comes_to(&order.order_id, OrderState::Confirmed).await;
        shop.rests(&order.order_id).await;
        let shipment = shop.shipment(&order.order_id).await.unwrap();
        let update = RecordCarrierUpdateRequest {
            request_id: uuid(),
            shipment_id: shipment.shipment_id,
            state: ShipmentState::Dispatched.into(),
        };
        shop.shipping().record_carrier_update(update).await.unwrap();
        shop.comes_to(&order.order_id, OrderState::Shipped).await;
    }
}

/// Customers look at what there is, all the while.
async fn browse(shop: &Shop, failures: &AtomicUsize) {
    join_all((0..CUSTOMERS).map(|_| customer(shop, failures))).await;
}

async fn customer(shop: &Shop, failures: &AtomicUsize) {
    let mut catalog = shop.catalog();
    loop {
        // Without a deadline of its own: the contract's ends it.
        if catalog.list_products(ListProductsRequest::default()).await.is_err() {
            failures.fetch_add(1, Ordering::Relaxed);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
