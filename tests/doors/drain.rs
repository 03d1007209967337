//! The end of a process: first it says so, then it goes.

use std::time::Duration;

use mesh_local::http;
use mesh_testkit::eventually;
use serde_json::Value;
use shop::orders::v1::{OrderState, WatchOrderRequest};
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;

use super::health::{check, client};
use crate::shop::Shop;

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_asked_to_end_is_unready_first_and_ends_without_error() {
    let shop = Shop::open_with(|options| options.env("orders", "PRE_STOP", "2s")).await;
    let order = shop.simple_order().await;
    shop.comes_to(&order.order_id, OrderState::Confirmed).await;
    let version = shop.order(&order.order_id).await.version;
    let orders = shop.platform.service("orders");
    let health = client(shop.platform.uri("orders"));
    // A stream that would go on for minutes: the order can still change.
    let watch = WatchOrderRequest { order_id: order.order_id.clone(), after_version: version };
    let mut watch = shop.orders().watch_order(watch).await.unwrap().into_inner();

    let ended = orders.process().stop(PATIENCE);
    let seen = async {
        eventually("orders to say that it drains", async || {
            let answer = http::request(orders.admin(), "GET", "/readyz").await;
            let Ok((503, report)) = answer else { return false };
            let report: Value = serde_json::from_str(&report).unwrap();
            report["draining"] == true && report["ready"] == false
        })
        .await;
        // Whoever has not heard of it yet is still served, over an old connection or a new one.
        assert_eq!(check(&health, "readiness").await, Ok(ServingStatus::NotServing));
        assert_eq!(check(&health, "liveness").await, Ok(ServingStatus::Serving));
        assert!(http::is_ok(orders.admin(), "/healthz").await);
        assert_eq!(shop.order(&order.order_id).await.state(), OrderState::Confirmed);
        // The stream ends by itself, so that its reader goes elsewhere.
        let last = watch.message().await;
        assert!(
            matches!(&last, Ok(None)) || matches!(&last, Err(s) if s.code() == Code::Unavailable),
            "{last:?}"
        );
    };
    tokio::join!(ended, seen);

    let status = orders.process().status();
    assert_eq!(status.last_end.as_deref(), Some("exit status: 0"));
    let log = orders.log();
    let (draining, stopped) = (log.find("\"draining\""), log.find("\"stopped\""));
    assert!(draining.is_some() && draining < stopped, "says both, in order:\n{log}");
    shop.platform.shutdown().await;
}
