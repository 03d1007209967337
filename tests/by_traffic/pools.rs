//! What becomes of calls that a pool has no place for.

use std::time::{Duration, Instant};

use futures::future::join_all;
use mesh_local::http;
use mesh_policy::values::Retry;
use mesh_testkit::eventually;
use meshctl::{
    generate::cluster::{HEALTH, host},
    services,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tonic::{Code, Status};

use super::{
    calls::{CHEAP, Line, ask_by, stack},
    double::{Does, Double},
    faults::lead,
    lab::Lab,
    probe::Probe,
};

/// What a caller's own stack lets out to a service, and so its sidecar's pool.
const PLACES: usize = 256;
/// So many more want one.
const MORE: usize = 44;
/// An RPC that no contract names, so that nobody knows whether it is safe to repeat.
const UNKNOWN: &str = "shop.catalog.v1.CatalogService/Unknown";
/// What Envoy counts of calls that a pool has no place for: beyond its bound, or beyond that of those who
/// wait for one. It is told to, since Istio has it keep few counts.
const COUNTED: (&str, &str) = (
    "ISTIO_METAJSON_ANNOTATIONS",
    r#"{"ANNOTATIONS":{"sidecar.istio.io/statsInclusionSuffixes":"upstream_rq_active_overflow,upstream_rq_pending_overflow"}}"#,
);

/// A caller, and a service whose only process keeps it waiting.
struct Ground<'a> {
    lab: &'a Lab,
    slow: Double,
    caller: Probe,
}

impl Ground<'_> {
    /// How many calls Envoy says it had no place for.
    async fn overflowed(&self) -> u64 {
        let at = "/stats?filter=upstream_rq_(active|pending)_overflow";
        let (_, text) = http::request(self.caller.admin, "GET", at).await.unwrap();
        let of_it = format!("|v2|{}", host("catalog"));
        let lines: Vec<_> = text.lines().filter(|line| line.contains(&of_it)).collect();
        assert!(!lines.is_empty(), "{text}");
        let counts = lines.iter().map(|line| line.rsplit_once(": ").unwrap().1);
        counts.map(|count| count.parse::<u64>().unwrap()).sum()
    }

    /// Waits until the pool has this bound.
    async fn bounded(&self, which: &str, places: usize) {
        let bound = format!("v2|{}::default_priority::{which}::{places}", host("catalog"));
        eventually(&format!("{which} to be {places}"), async || {
            let (_, text) = http::request(self.caller.admin, "GET", "/clusters").await.unwrap();
            text.lines().any(|line| line.ends_with(&bound))
        })
        .await;
    }

    /// Makes so many calls, which wait for their answers.
    async fn hold(&self, count: usize, arrive: usize) -> JoinSet<Result<bytes::Bytes, Status>> {
        let line = self.caller.line("catalog");
        let mut held = JoinSet::new();
        for _ in 0..count {
            let line = line.clone();
            held.spawn(async move { line.ask(CHEAP).await });
        }
        eventually("calls to wait for their answers", async || self.slow.under_way() == arrive)
            .await;
        held
    }

    /// Answers all that wait; how many of them were answered well.
    async fn answered(&self, mut held: JoinSet<Result<bytes::Bytes, Status>>) -> usize {
        self.slow.now(Does::Answer);
        let mut well = 0;
        while let Some(answer) = held.join_next().await {
            well += usize::from(answer.unwrap().is_ok());
        }
        eventually("nobody to wait", async || self.slow.under_way() == 0).await;
        self.slow.now(Does::Wait);
        well
    }

    /// Waits until one call has reached it, and was answered.
    async fn led(&self, line: &Line) {
        self.slow.now(Does::Answer);
        let before = self.slow.calls();
        eventually("calls to be led elsewhere", async || {
            line.ask(CHEAP).await.is_ok() && self.slow.calls() > before
        })
        .await;
        self.slow.now(Does::Wait);
    }

    async fn pool(&self, place: &str, value: Value) {
        let place = format!("/spec/trafficPolicy/connectionPool/{place}");
        let patch = json!([{ "op": "replace", "path": place, "value": value }]);
        self.lab.patch("destinationrules", "catalog", &patch).await;
    }
}

pub async fn calls_beyond_a_pool_are_refused_at_once_and_others_go_on(lab: &Lab) -> String {
    let slow = Double::start(Does::Wait).await;
    let caller = Probe::start_with(lab, 21, "shop", "gateway", &[COUNTED]).await;
    lab.route("catalog", "weights = { v2 = 100 }").await;
    let own = lead(lab, "catalog-v2-2", slow.address).await;
    let ground = Ground { lab, slow, caller };
    ground.bounded("max_requests", PLACES).await;
    let line = ground.caller.line("catalog");
    ground.led(&line).await;

    let (others, slowest) = without_a_stack(&ground, &line).await;
    by_the_stack(&ground).await;
    let (safe, unknown) = repeated(&ground).await;
    in_line(&ground, &line).await;
    told(&ground).await;

    lab.as_shipped("catalog").await;
    lead(lab, "catalog-v2-2", own).await;
    eventually("calls to be as before", async || line.many(20, &[]).await.failed() == 0).await;
    format!(
        "{MORE} of {} refused, {safe} attempts if it is safe and else {unknown}; {others} calls of \
         others answered in {} ms",
        PLACES + MORE,
        slowest.as_millis()
    )
}

/// Whoever has no stack of ours hears UNAVAILABLE from the sidecar, at once; meanwhile others are
/// answered, the slowest in the time that is returned.
async fn without_a_stack(ground: &Ground<'_>, line: &Line) -> (usize, Duration) {
    let before = ground.overflowed().await;
    let held = ground.hold(PLACES, PLACES).await;
    for status in join_all((0..MORE).map(|_| line.ask(CHEAP))).await {
        let status = status.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert!(status.message().ends_with("reset reason: overflow"), "{status:?}");
    }
    assert_eq!(ground.overflowed().await - before, MORE as u64);
    assert_eq!(ground.slow.under_way(), PLACES, "none of them went on");

    let (mut count, mut slowest) = (0, Duration::ZERO);
    let all = services::declarations().unwrap();
    let door = all.iter().find(|it| it.service == services::GATEWAY).unwrap();
    for call in door.calls.iter().filter(|call| call.service != "catalog") {
        let line = ground.caller.line(&call.service);
        for _ in 0..40 {
            let begun = Instant::now();
            line.ask(HEALTH.trim_start_matches('/')).await.unwrap();
            slowest = slowest.max(begun.elapsed());
            count += 1;
        }
    }
    assert!(count >= 200, "{count}");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    assert_eq!(ground.slow.under_way(), PLACES);
    assert_eq!(ground.answered(held).await, PLACES);
    (count, slowest)
}

/// Of a call that the pool had no place for Envoy writes a line, with the flag; of one that was answered
/// none.
async fn told(ground: &Ground<'_>) {
    let file = ground.lab.cluster.dir().join("sidecars/probe-21/log");
    let lines = |with: &str| {
        let text = std::fs::read_to_string(&file).unwrap();
        text.lines().filter(|line| line.contains(CHEAP) && line.contains(with)).count()
    };
    // Envoy writes them every ten seconds.
    eventually("lines of refused calls", async || lines(" UO ") >= MORE).await;
    assert_eq!(lines("via_upstream"), 0, "lines of calls that went well");
}

/// A service's own stack refuses before its sidecar would have to, and says so: RESOURCE_EXHAUSTED.
async fn by_the_stack(ground: &Ground<'_>) {
    let before = ground.overflowed().await;
    let channel = stack("catalog", ground.caller.calls);
    let mut calls = JoinSet::new();
    for _ in 0..PLACES + MORE {
        let channel = channel.clone();
        calls.spawn(async move { ask_by(channel, CHEAP, &[]).await });
    }
    for _ in 0..MORE {
        let status = calls.join_next().await.unwrap().unwrap().unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    }
    eventually("the others to wait", async || ground.slow.under_way() == PLACES).await;
    assert_eq!(ground.answered(calls).await, PLACES);
    assert_eq!(ground.overflowed().await, before);
}

/// How often a stack tries what the sidecar has no place for: if it is safe to repeat, and if nobody
/// knows. Of the latter the sidecar's word alone does not say that nobody has seen it.
async fn repeated(ground: &Ground<'_>) -> (u64, u64) {
    ground.pool("http/http2MaxRequests", json!(1)).await;
    ground.bounded("max_requests", 1).await;
    let held = ground.hold(1, 1).await;
    let channel = stack("catalog", ground.caller.calls);
    let attempts = async |path: &str| {
        let before = ground.overflowed().await;
        let status = ask_by(channel.clone(), path, &[]).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        ground.overflowed().await - before
    };
    let (safe, unknown) = (attempts(CHEAP).await, attempts(UNKNOWN).await);
    assert_eq!((safe, unknown), (u64::from(Retry::default().attempts), 1));
    assert_eq!(ground.answered(held).await, 1);
    (safe, unknown)
}

/// Where connections are bounded, so many more stand in line for a place on one, and no more.
async fn in_line(ground: &Ground<'_>, line: &Line) {
    const STREAMS: usize = 100;
    const IN_LINE: usize = 8;
    ground.pool("http/http2MaxRequests", json!(PLACES)).await;
    ground.pool("http/http1MaxPendingRequests", json!(IN_LINE)).await;
    ground.pool("tcp/maxConnections", json!(1)).await;
    ground.bounded("max_requests", PLACES).await;
    ground.bounded("max_connections", 1).await;
    // Whoever asks while it is opened stands in line, too.
    ground.led(line).await;
    let before = ground.overflowed().await;
    let held = ground.hold(STREAMS + IN_LINE + MORE, STREAMS).await;
    let refused = async || ground.overflowed().await - before == MORE as u64;
    eventually("the others to be refused", refused).await;
    assert_eq!(ground.answered(held).await, STREAMS + IN_LINE);
}
