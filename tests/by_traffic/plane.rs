//! Without the control plane.

use std::time::{Duration, Instant};

use mesh_local::{Identity, Signal, http};
use mesh_testkit::eventually;

use super::{
    calls::{CHEAP, Line, reached_version},
    lab::{HEARD, Lab},
    probe::Probe,
};

const AWAY: Duration = Duration::from_secs(60);

pub async fn calls_go_on_without_istiod_and_it_is_heeded_when_it_is_back(lab: &Lab) -> String {
    let line = Line::to("catalog", lab.door());
    let orders = Line::to("gateway", lab.door());
    // A claim before this one may have opened its callers' breakers.
    for line in [&line, &orders] {
        eventually("calls to be answered", async || line.many(20, &[]).await.failed() == 0).await;
    }
    let istiod = lab.cluster.parts().into_iter().find(|part| part.name == "istiod").unwrap();
    let process = Identity::of(istiod.pid.unwrap()).unwrap();
    assert!(process.signal(Signal::KILL));
    eventually("istiod to be gone", async || !process.alive()).await;

    let begun = Instant::now();
    let mut count = 0;
    while begun.elapsed() < AWAY {
        // Through one sidecar pair, and through two.
        for line in [&line, &orders] {
            let answer = line.ask(CHEAP).await;
            assert!(answer.is_ok(), "after {:?}: {answer:?}", begun.elapsed());
            count += 1;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!process.alive());

    lab.run(&["cluster", "up"]).await;
    let back = Instant::now();
    lab.route("catalog", "weights = { v2 = 100 }").await;
    let processes = lab.processes("catalog");
    let before = reached_version(&processes, "v2").await;
    while reached_version(&processes, "v2").await == before {
        _ = line.many(20, &[]).await;
        assert!(back.elapsed() < HEARD, "no new route is in force");
    }
    let heeded = back.elapsed().as_secs_f64();
    lab.as_shipped("catalog").await;
    format!(
        "0 of {count} calls failed in {} s without it; heeded {heeded:.0} s after it was back",
        AWAY.as_secs()
    )
}

/// Good for so long, and replaced at half of it.
const SHORT: [(&str, &str); 3] = [
    ("SECRET_TTL", "20s"),
    ("SECRET_GRACE_PERIOD_RATIO", "0.5"),
    ("SECRET_GRACE_PERIOD_RATIO_JITTER", "0"),
];

/// What Envoy counts of the calls that it takes in; Istio has it keep few counts.
const COUNTED: (&str, &str) = (
    "ISTIO_METAJSON_ANNOTATIONS",
    r#"{"ANNOTATIONS":{"sidecar.istio.io/statsInclusionSuffixes":"upstream_rq_total"}}"#,
);

pub async fn a_callers_certificate_is_replaced_and_no_call_fails(lab: &Lab) -> String {
    let probe = Probe::start_with(lab, 20, "shop", "gateway", &SHORT).await;
    replaced_under_load(&probe, &probe.line("catalog")).await
}

pub async fn a_callees_certificate_is_replaced_and_no_call_fails(lab: &Lab) -> String {
    lab.route("catalog", "weights = { v2 = 100 }").await;
    let more = [&SHORT[..], &[COUNTED]].concat();
    let (probe, place) = Probe::in_place_of(lab, 23, "catalog-v2-2", &more).await;
    let line = Line::to("catalog", lab.door());
    let processes = lab.processes("catalog");
    eventually("calls to come by the other sidecar", async || {
        let before = arrived(&probe).await;
        line.many(20, &[]).await.failed() == 0 && arrived(&probe).await - before == 20
    })
    .await;
    let told = replaced_under_load(&probe, &line).await;
    place.leave(lab).await;
    lab.as_shipped("catalog").await;
    eventually("calls to be as before", async || {
        let before = reached_version(&processes, "v1").await;
        line.many(20, &[]).await.failed() == 0
            && reached_version(&processes, "v1").await - before == 20
    })
    .await;
    told
}

/// How many calls an Envoy has taken in.
async fn arrived(probe: &Probe) -> u64 {
    let at = "/stats?filter=cluster.inbound.*upstream_rq_total";
    let (_, text) = http::request(probe.admin, "GET", at).await.unwrap();
    text.lines().filter_map(|line| line.rsplit_once(": ")?.1.parse::<u64>().ok()).sum()
}

/// Calls go on until this one's certificate has been replaced twice; none of them fails.
async fn replaced_under_load(probe: &Probe, line: &Line) -> String {
    let mut seen = std::collections::BTreeSet::new();
    let (begun, mut count) = (Instant::now(), 0);
    while seen.len() < 3 {
        let codes = line.many(20, &[]).await;
        assert_eq!(codes.failed(), 0, "after {:?}: {codes:?}: {:?}", begun.elapsed(), codes.1);
        count += codes.0.len();
        seen.extend(probe.certificate().await);
        assert!(begun.elapsed() < Duration::from_secs(90), "{} certificates", seen.len());
    }
    format!("3 certificates in {:.0} s, 0 of {count} calls failed", begun.elapsed().as_secs_f64())
}
