//! Processes that are replaced while calls go on, each with its sidecar, as pods are.

use std::{cell::Cell, net::SocketAddr, time::Duration};

use mesh_local::{Identity, PidFile, Signal, cluster::Sidecar, http};
use mesh_testkit::eventually;
use serde_json::Value;
use tonic::Code;

use super::{
    calls::{CHEAP, Line, ask_by, reached, stack},
    lab::Lab,
};

/// Between the end of an endpoint and that of its process, so that every caller has heard of it: what
/// `lifecycle.preStop` of the pods says.
const PRE_STOP: Duration = Duration::from_secs(5);
const ENTRY: &str = "workloadentries.networking.istio.io";

/// A process and its sidecar, as they are now.
struct Pair {
    process: Identity,
    sidecar: Identity,
    /// Where each says how it is.
    admins: [SocketAddr; 2],
}

impl Pair {
    /// The process of catalog with this number.
    fn now(lab: &Lab, number: usize) -> Option<Self> {
        let text = std::fs::read_to_string(lab.home.path("state.json")).ok()?;
        let state: Value = serde_json::from_str(&text).ok()?;
        let place = &state["services"]["catalog"][number];
        let at = |place: &Value| place["admin"].as_str()?.parse().ok();
        let pid = |place: &Value| u32::try_from(place["pid"].as_u64()?).ok();
        let sidecar = &place["sidecar"];
        Some(Self {
            process: Identity::of(pid(place)?)?,
            sidecar: Identity::of(pid(sidecar)?)?,
            admins: [at(place)?, at(sidecar)?],
        })
    }

    async fn is_ready(&self) -> bool {
        let [own, sidecar] = self.admins;
        http::is_ok(own, "/readyz").await && http::is_ok(sidecar, "/ready").await
    }
}

/// Replaces one process as a cluster does: it is no endpoint any more, then it ends in its own time,
/// and its sidecar after it; what comes in its place is an endpoint when it is ready.
async fn replaced(lab: &Lab, number: usize) {
    let name = format!("catalog-v1-{number}");
    let kubectl = lab.kubectl();
    let before = Pair::now(lab, number).unwrap();
    let mut entry = kubectl.get(&[ENTRY, &name, "--namespace", "shop"]).await.unwrap();
    entry["metadata"] = serde_json::json!({ "name": name, "namespace": "shop" });
    kubectl.run(&["delete", ENTRY, &name, "--namespace", "shop"]).await.unwrap();
    tokio::time::sleep(PRE_STOP).await;
    for process in [before.process, before.sidecar] {
        assert!(process.signal(Signal::TERM));
        eventually("the process to end", async || !process.alive()).await;
    }
    eventually("another in its place", async || match Pair::now(lab, number) {
        Some(now) => {
            now.process != before.process && now.sidecar != before.sidecar && now.is_ready().await
        }
        None => false,
    })
    .await;
    // Whoever cleans up has to know it, too.
    let file = lab.home.run().unwrap().join(format!("{name}-sidecar-envoy.pid"));
    let now = Pair::now(lab, number).unwrap();
    let envoy = Sidecar::envoy(now.sidecar);
    assert!(envoy.is_some());
    eventually("its Envoy to be noted", async || {
        PidFile::read(&file).map(|it| it.process) == envoy
    })
    .await;
    lab.apply(&[entry]).await;
    let process = &lab.processes("catalog")[number];
    eventually("calls to reach it", async || reached(process).await > 0).await;
}

pub async fn processes_are_replaced_and_no_call_fails(lab: &Lab) -> String {
    let processes = lab.processes("catalog");
    let first: Vec<_> = processes.iter().filter(|it| it.version == "v1").collect();
    assert_eq!(first.len(), 2, "one that answers while the other is replaced");
    let line = Line::to("catalog", lab.door());
    let stack = stack("catalog", lab.door());
    let enough = Cell::new(false);
    // What nobody repeats, what a stack repeats if it is safe, and orders, which take several calls.
    let plain = async {
        let (mut failed, mut shed, mut count) = (Vec::new(), 0, 0);
        while !enough.get() {
            let codes = line.many(50, &[]).await;
            count += codes.0.len();
            // What matters least is turned away by the one that is left if it has too much to do.
            shed += codes.of(Code::ResourceExhausted);
            let is_failed = |it: &Code| ![Code::Ok, Code::ResourceExhausted].contains(it);
            failed.extend(codes.0.into_iter().filter(is_failed));
        }
        (failed, shed, count)
    };
    let repeated = async {
        let mut count = 0;
        while !enough.get() {
            let answer = ask_by(stack.clone(), CHEAP, &[]).await;
            assert!(answer.is_ok(), "after {count} calls: {answer:?}");
            count += 1;
        }
        count
    };
    let orders = async {
        let mut count = 0;
        while !enough.get() {
            let said = lab.run(&["demo", "--orders", "20", "--json"]).await;
            let report: Value = serde_json::from_slice(&said.stdout).unwrap();
            assert_eq!(report["unfinished"], 0, "{report}");
            count += 20;
        }
        count
    };
    let replacing = async {
        for number in 0..first.len() {
            replaced(lab, number).await;
        }
        enough.set(true);
    };
    let ((failed, shed, plain), repeated, orders, ()) =
        tokio::join!(plain, repeated, orders, replacing);
    assert!(failed.is_empty(), "{} of {plain}: {failed:?}", failed.len());
    assert!(shed * 100 < plain, "{shed} of {plain} were turned away");
    assert!(plain > 500 && repeated > 100 && orders >= 20, "{plain}, {repeated}, {orders}");
    lab.run(&["audit", "--wait", "60s"]).await;
    format!("0 of {} calls failed, {orders} orders flowed", plain + repeated)
}
