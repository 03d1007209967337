//! Which version of a service calls go to.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use mesh_testkit::eventually;
use tonic::Code;

use super::{
    calls::{Line, reached_by, reached_version},
    lab::Lab,
};

const CALLS: u64 = 5_000;
/// Until a changed weight is in force everywhere.
const SOON: Duration = Duration::from_secs(2);

/// So many calls reach each version while these are made.
async fn spread(lab: &Lab, count: u64, headers: &[(&'static str, &str)]) -> (u64, u64) {
    let processes = lab.processes("catalog");
    let line = Line::to("catalog", lab.door());
    let before = (reached_version(&processes, "v1").await, reached_version(&processes, "v2").await);
    let codes = line.many(count, headers).await;
    assert_eq!(codes.failed(), 0, "{:?}", codes.0.iter().find(|it| **it != Code::Ok));
    let after = (reached_version(&processes, "v1").await, reached_version(&processes, "v2").await);
    (after.0 - before.0, after.1 - before.1)
}

/// Sends a few calls until so many percent of them reach the second version, as soon as it is in force.
async fn in_force(lab: &Lab, fits: impl Fn(u64) -> bool) {
    eventually("the routes to be in force", async || fits(spread(lab, 50, &[]).await.1)).await;
}

pub async fn weights_and_the_header_choose_the_version(lab: &Lab) -> String {
    lab.route("catalog", "weights = { v1 = 80, v2 = 20 }\ncanary = \"v2\"").await;
    in_force(lab, |second| second > 0).await;

    let (first, second) = spread(lab, CALLS, &[]).await;
    assert_eq!(first + second, CALLS);
    let share = second as f64 * 100.0 / CALLS as f64;
    assert!((17.0..=23.0).contains(&share), "{share:.1} % reached v2");
    let chosen = spread(lab, 500, &[("x-canary", "true")]).await;
    assert_eq!(chosen, (0, 500), "the header");

    lab.as_shipped("catalog").await;
    format!("{share:.1} % of {CALLS} to v2, 100 % with the header")
}

/// How a change of routes went.
struct Switched {
    /// From the answer of the API server until no call reached the old version any more.
    took: Duration,
    calls: usize,
    failed: usize,
}

/// Leads all calls from one version to another while callers go on.
async fn switched(lab: &Lab, from: &str, to: &str) -> Switched {
    let processes = lab.processes("catalog");
    let (line, enough) = (Line::to("catalog", lab.door()), Cell::new(false));
    let callers = async {
        let (mut failed, mut calls) = (0, 0);
        while !enough.get() {
            let codes = line.many(50, &[]).await;
            failed += codes.failed();
            calls += codes.0.len();
        }
        (failed, calls)
    };
    let change = async {
        // Under load already.
        let before = reached_version(&processes, from).await;
        eventually("calls to be under way", async || {
            reached_version(&processes, from).await > before + 50
        })
        .await;
        lab.route("catalog", &format!("weights = {{ {to} = 100 }}")).await;
        let applied = Instant::now();
        // The last moment at which a call reached the old version.
        let (mut last, mut seen) = (applied, reached_version(&processes, from).await);
        while applied.elapsed() < SOON * 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let now = reached_version(&processes, from).await;
            if now != seen {
                (last, seen) = (Instant::now(), now);
            }
        }
        enough.set(true);
        last - applied
    };
    let ((failed, calls), took) = tokio::join!(callers, change);
    Switched { took, calls, failed }
}

pub async fn a_changed_weight_is_in_force_at_once_and_no_call_fails(lab: &Lab) -> String {
    lab.route("catalog", "weights = { v1 = 100 }").await;
    in_force(lab, |second| second == 0).await;
    let Switched { took, calls, failed } = switched(lab, "v1", "v2").await;
    assert_eq!(failed, 0, "of {calls} calls");
    assert!(calls > 100 && took < SOON, "{took:?}, {calls} calls");

    lab.as_shipped("catalog").await;
    format!("{} ms, 0 of {calls} calls failed", took.as_millis())
}

pub async fn all_calls_are_led_to_another_version_and_back_and_none_fails(lab: &Lab) -> String {
    lab.route("catalog", "weights = { v1 = 100 }").await;
    in_force(lab, |second| second == 0).await;
    let there = switched(lab, "v1", "v2").await;
    assert_eq!(spread(lab, 200, &[]).await, (0, 200));
    let back = switched(lab, "v2", "v1").await;
    assert_eq!(spread(lab, 200, &[]).await, (200, 0));

    let calls = there.calls + back.calls;
    assert_eq!(there.failed + back.failed, 0, "of {calls} calls");
    assert!(there.took < SOON && back.took < SOON, "{:?}, {:?}", there.took, back.took);
    assert!(there.calls > 100 && back.calls > 100, "{calls} calls");
    lab.as_shipped("catalog").await;
    let (there, back) = (there.took.as_millis(), back.took.as_millis());
    format!("there in {there} ms, back in {back} ms, 0 of {calls} calls failed")
}

pub async fn what_is_copied_changes_nothing_twice(lab: &Lab) -> String {
    const PLACE: &str = "shop.orders.v1.OrdersService/PlaceOrder";
    let processes = lab.processes("orders");
    let second = processes.iter().find(|it| it.version == "v2").unwrap();
    assert_eq!(reached_by(second, PLACE).await, 0);
    lab.route("orders", "mirror = { version = \"v2\", percent = 100 }").await;
    let line = Line::to("orders", lab.door());
    eventually("copies to be made", async || {
        // It is refused, by both of them.
        _ = line.ask(PLACE).await;
        reached_by(second, PLACE).await > 0
    })
    .await;

    let before = reached_by(second, PLACE).await;
    lab.run(&["demo", "--orders", "30"]).await;
    lab.run(&["audit", "--wait", "60s"]).await;
    let copies = reached_by(second, PLACE).await - before;
    assert!(copies >= 30, "{copies} copies");

    lab.as_shipped("orders").await;
    format!("{copies} orders placed twice, the audit is clean")
}
