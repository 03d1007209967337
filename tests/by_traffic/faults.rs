//! What Istio does to calls on purpose, and what it does about processes that fail.

use std::time::{Duration, Instant};

use mesh_local::http;
use mesh_policy::values::Retry;
use mesh_rpc::timeout_request;
use mesh_testkit::eventually;
use serde_json::json;
use shop::catalog::v1::{
    ListCategoriesRequest, catalog_service_client::CatalogServiceClient,
    catalog_service_server::CatalogServiceServer,
};
use tonic::Code;

use super::{
    calls::{CHEAP, Line, ask_by, reached, reached_version, stack},
    lab::Lab,
    probe::Probe,
};
use crate::network::stand_in::StandIn;

/// What Envoy counts of calls that it has aborted on purpose; Istio has it keep few counts.
const COUNTED: (&str, &str) = (
    "ISTIO_METAJSON_ANNOTATIONS",
    r#"{"ANNOTATIONS":{"sidecar.istio.io/statsInclusionSuffixes":"aborts_injected"}}"#,
);

/// How late calls come that are delayed on purpose.
const LATE: Duration = Duration::from_secs(1);

/// Whatever is behind it: only its name is of interest.
type Contract = CatalogServiceServer<()>;

pub async fn faults_reach_the_application_with_the_codes_that_it_knows(lab: &Lab) -> String {
    let processes = lab.processes("catalog");
    let line = Line::to("catalog", lab.door());
    lab.route("catalog", "fault = { abort_percent = 100 }").await;
    eventually("calls to be aborted", async || line.ask(CHEAP).await.is_err()).await;
    let before = reached_version(&processes, "v1").await;
    let codes = line.many(200, &[]).await;
    assert_eq!(codes.of(Code::Unavailable), 200, "{codes:?}");
    assert_eq!(reached_version(&processes, "v1").await, before, "no call went on");
    let (failed, count) = repeated(lab).await;

    let delay = format!("milliseconds = {}, percent = 100", LATE.as_millis());
    lab.route("catalog", &format!("fault = {{ delay = {{ {delay} }} }}")).await;
    eventually("calls to come late, and well", async || {
        let begun = Instant::now();
        // Half of them went well before, but none of those late.
        line.ask(CHEAP).await.is_ok() && begun.elapsed() >= LATE
    })
    .await;
    let channel = lab.operator().channels().unwrap().to("catalog", &[lab.door()]).unwrap();
    let mut catalog = CatalogServiceClient::new(channel);
    let begun = Instant::now();
    let limit = Duration::from_millis(300);
    let late = catalog
        .list_categories(timeout_request(ListCategoriesRequest::default(), limit))
        .await
        .unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded, "{late:?}");
    assert!(begun.elapsed() < LATE, "the caller's own deadline ends it");

    lab.as_shipped("catalog").await;
    eventually("calls to be as before", async || line.many(20, &[]).await.failed() == 0).await;
    format!(
        "abort is UNAVAILABLE, after {} attempts; of half of all attempts {failed} of {count} calls \
         fail; delay is DEADLINE_EXCEEDED",
        Retry::default().attempts
    )
}

/// Aborts of all calls and of half of them, met by our own stack: it has as many attempts as it is told,
/// and what it repeats goes well. How many calls failed of the latter.
async fn repeated(lab: &Lab) -> (u64, u64) {
    const STACKS: u64 = 4;
    /// No more than a stack's budget is for.
    const CALLS: u64 = 50;
    let caller = Probe::start_with(lab, 22, "shop", "gateway", &[COUNTED]).await;
    let aborted = async || {
        let (_, text) = http::request(caller.admin, "GET", "/stats?filter=aborts_injected").await?;
        let counts = text.lines().filter_map(|line| line.rsplit_once(": ")?.1.parse::<u64>().ok());
        std::io::Result::Ok(counts.sum::<u64>())
    };
    let plain = caller.line("catalog");
    eventually("aborts of its calls", async || plain.ask(CHEAP).await.is_err()).await;
    let (before, always) = (aborted().await.unwrap(), stack("catalog", caller.calls));
    for _ in 0..5 {
        let status = ask_by(always.clone(), CHEAP, &[]).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    }
    let attempts = aborted().await.unwrap() - before;
    assert_eq!(attempts, 5 * u64::from(Retry::default().attempts));

    lab.route("catalog", "fault = { abort_percent = 50 }").await;
    eventually("some calls to go well", async || plain.ask(CHEAP).await.is_ok()).await;
    let alone = plain.many(200, &[]).await.failed();
    assert!((60..140).contains(&alone), "{alone} of 200 calls fail that nobody repeats");
    let mut failed = 0;
    for _ in 0..STACKS {
        // Each has a budget of its own.
        let channel = stack("catalog", caller.calls);
        for _ in 0..CALLS {
            failed += u64::from(ask_by(channel.clone(), CHEAP, &[]).await.is_err());
        }
    }
    // An eighth of them: three attempts in a row. A half, if nothing were repeated.
    assert!(failed * 10 < STACKS * CALLS * 3, "{failed} of {} calls", STACKS * CALLS);
    (failed, STACKS * CALLS)
}

/// Lets a process' sidecar lead calls elsewhere.
pub(super) async fn lead(
    lab: &Lab,
    sidecar: &str,
    to: std::net::SocketAddr,
) -> std::net::SocketAddr {
    let kubectl = lab.kubectl();
    let kind = "sidecars.networking.istio.io";
    let known = kubectl.get(&[kind, sidecar, "--namespace", "shop"]).await.unwrap();
    let was = known["spec"]["ingress"][0]["defaultEndpoint"].as_str().unwrap();
    let place = "/spec/ingress/0/defaultEndpoint";
    let patch = json!([{ "op": "replace", "path": place, "value": to.to_string() }]);
    lab.patch("sidecars", sidecar, &patch).await;
    was.parse().unwrap()
}

pub async fn a_process_that_fails_is_left_alone_until_it_is_well(lab: &Lab) -> String {
    let processes = lab.processes("catalog");
    let line = Line::to("catalog", lab.door());
    assert_eq!(processes.iter().filter(|it| it.version == "v1").count(), 2);
    let bad = StandIn::start::<Contract>().await;
    let own = lead(lab, "catalog-v1-1", bad.address).await;
    eventually("the bad one to be found", async || {
        _ = line.ask(CHEAP).await;
        bad.calls() >= 5
    })
    .await;

    // It is tried again every time that its ejection ends: 5 s, then 10 s.
    let (before, mut count, mut failed) = (bad.calls(), 0, 0);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(8) {
        let codes = line.many(50, &[]).await;
        failed += codes.failed();
        count += codes.0.len();
    }
    let hurt = bad.calls() - before;
    assert_eq!(failed as u64, hurt, "whatever fails, fails there");
    // A half of them would, if it were not left alone.
    assert!(count > 500 && hurt * 4 < count as u64, "{hurt} of {count} calls reached it");

    // With both of them bad one goes on being asked: never more than half are left alone.
    let other = lead(lab, "catalog", bad.address).await;
    let before = bad.calls();
    eventually("the last one to be asked all the same", async || {
        _ = line.many(50, &[]).await;
        bad.calls() > before + 200
    })
    .await;

    lead(lab, "catalog", other).await;
    lead(lab, "catalog-v1-1", own).await;
    let well = processes.iter().rfind(|it| it.version == "v1").unwrap();
    let before = reached(well).await;
    eventually("the healed one to be asked again", async || {
        _ = line.many(20, &[]).await;
        reached(well).await > before
    })
    .await;
    eventually("nothing to fail any more", async || line.many(50, &[]).await.failed() == 0).await;
    format!("{hurt} of {count} calls reached it in 8 s")
}

/// How many calls reach the leaf for each that is made of the door, while nothing answers well.
async fn amplified(lab: &Lab, leaf: &StandIn, count: u64) -> f64 {
    let line = Line::to("gateway", lab.door());
    let before = leaf.calls();
    let codes = line.many(count, &[]).await;
    assert_eq!(codes.failed() as u64, count, "nobody is well");
    (leaf.calls() - before) as f64 / count as f64
}

pub async fn one_of_the_two_repeats_and_not_the_other(lab: &Lab) -> String {
    let leaf = StandIn::start::<Contract>().await;
    let own = lead(lab, "catalog", leaf.address).await;
    let other = lead(lab, "catalog-v1-1", leaf.address).await;
    // The leaf has to see every attempt: one that is left alone sees none.
    let gone = json!([{ "op": "remove", "path": "/spec/trafficPolicy/outlierDetection" }]);
    lab.patch("destinationrules", "catalog", &gone).await;
    let line = Line::to("gateway", lab.door());
    eventually("all to fail", async || line.many(20, &[]).await.failed() == 20).await;

    let once = amplified(lab, &leaf, 1_000).await;
    assert!((0.9..=1.1).contains(&once), "×{once:.2}");

    let default = json!([{ "op": "remove", "path": "/spec/http/0/retries" }]);
    lab.patch("virtualservices", "catalog", &default).await;
    eventually("the sidecar to repeat, too", async || amplified(lab, &leaf, 50).await > 2.0).await;
    let both = amplified(lab, &leaf, 200).await;

    lab.as_shipped("catalog").await;
    lead(lab, "catalog", own).await;
    lead(lab, "catalog-v1-1", other).await;
    eventually("all to be well", async || line.many(20, &[]).await.failed() == 0).await;
    format!("×{once:.2} in a total outage; ×{both:.2} without `attempts: 0`")
}
