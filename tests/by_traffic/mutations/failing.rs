//! Services whose calls are led elsewhere: to whoever refuses, or lets callers wait.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Mutex,
    time::{Duration, Instant},
};

use futures::future::join_all;
use mesh_testkit::{eventually, workspace};
use serde_json::{Value, json};
use tonic::Code;

use super::seen::Seen;
use crate::{
    by_traffic::{
        calls::{CHEAP, Line},
        double::{Does, Double},
        faults::lead,
        lab::Lab,
    },
    manifests::world::documents,
};

/// Failures in a row after which a process is left alone.
const IN_A_ROW: usize = 5;
/// More than those, so that one of them is not made any more.
const SEVERAL: usize = IN_A_ROW * 2 + 2;
/// More calls than one connection takes.
const MANY: usize = 150;
/// Until one that was left alone once is asked again: its time, which may have doubled, and more.
const AGAIN: Duration = Duration::from_secs(25);
/// Shorter than any time-out that is shipped.
const LONG: Duration = Duration::from_secs(2);

/// One for each service.
pub struct Doubles {
    all: BTreeMap<String, Double>,
    /// Where the services themselves are, while their calls are led elsewhere.
    own: Mutex<BTreeMap<String, SocketAddr>>,
}

impl Doubles {
    pub async fn start(names: &[String]) -> Self {
        let mut all = BTreeMap::new();
        for name in names {
            all.insert(name.clone(), Double::start(Does::Refuse).await);
        }
        Self { all, own: Mutex::default() }
    }

    /// Leads all calls of all services to them.
    pub async fn lead(&self, lab: &Lab, seen: Seen) {
        let does = match seen {
            Seen::Full | Seen::Narrow | Seen::Crowded | Seen::Timed => Does::Wait,
            Seen::Broken => Does::Fail,
            _ => Does::Refuse,
        };
        for (name, double) in &self.all {
            double.now(does);
            let own = lead(lab, name, double.address).await;
            self.own.lock().unwrap().insert(name.clone(), own);
            let mut rules = shipped(name, "DestinationRule");
            let policy = &mut rules[0]["spec"]["trafficPolicy"];
            match seen {
                // Whoever is left alone shows nothing else.
                Seen::Repeated => _ = policy.as_object_mut().unwrap().remove("outlierDetection"),
                Seen::Ejected | Seen::Broken | Seen::Long => {
                    rules.iter_mut().for_each(all_may_be_ejected)
                }
                _ => {}
            }
            lab.apply(&rules).await;
        }
        for (name, double) in &self.all {
            let (line, before) = (Line::to(name, lab.door()), double.calls());
            eventually(&format!("calls of {name} to be led elsewhere"), async || {
                _ = tokio::time::timeout(Duration::from_millis(100), line.ask(CHEAP)).await;
                double.calls() > before
            })
            .await;
        }
    }

    /// Leads them back, and what was changed for it.
    pub async fn leave(&self, lab: &Lab) {
        let own = std::mem::take(&mut *self.own.lock().unwrap());
        for (name, own) in own {
            lead(lab, &name, own).await;
            lab.apply(&shipped(&name, "DestinationRule")).await;
        }
    }

    /// Whether calls to a service show something that should not be.
    pub async fn show(&self, seen: Seen, service: &str, line: &Line) -> bool {
        let double = &self.all[service];
        let before = double.calls();
        match seen {
            Seen::Repeated => {
                _ = line.ask(CHEAP).await;
                double.calls() - before > 1
            }
            Seen::Ejected => double.reached(line).await > IN_A_ROW,
            Seen::Broken | Seen::Spared => double.reached(line).await < SEVERAL,
            Seen::Long => {
                // Left alone once more, if it is not already.
                double.reached(line).await;
                let (begun, before) = (Instant::now(), double.calls());
                while begun.elapsed() < AGAIN && double.calls() == before {
                    _ = line.ask(CHEAP).await;
                    tokio::time::sleep(LONG / 8).await;
                }
                double.calls() == before
            }
            Seen::Full => double.held(line, 8).await.refused > 0,
            Seen::Narrow => double.held(line, MANY).await.arrived < MANY,
            Seen::Crowded => double.held(line, MANY).await.refused > 0,
            _ => tokio::time::timeout(LONG, line.ask(CHEAP)).await.is_ok(),
        }
    }
}

/// What became of calls that were made at the same time.
struct Held {
    /// So many waited for their answers together.
    arrived: usize,
    refused: usize,
}

impl Double {
    /// How many of several calls reach it.
    async fn reached(&self, line: &Line) -> usize {
        let before = self.calls();
        for _ in 0..SEVERAL {
            _ = line.ask(CHEAP).await;
        }
        self.calls() - before
    }

    /// Makes so many calls at the same time; they are answered when all have arrived, or some have not
    /// for a while.
    async fn held(&self, line: &Line, count: usize) -> Held {
        let calls = tokio::spawn(join_all((0..count).map({
            let line = line.clone();
            move |_| {
                let line = line.clone();
                async move { line.ask(CHEAP).await }
            }
        })));
        let (begun, mut arrived) = (Instant::now(), 0);
        while begun.elapsed() < LONG && arrived < count {
            tokio::time::sleep(LONG / 40).await;
            arrived = self.under_way();
        }
        self.now(Does::Answer);
        let is_refused = |it: &Result<_, tonic::Status>| {
            it.as_ref().is_err_and(|it| it.code() == Code::Unavailable)
        };
        let refused = calls.await.unwrap().iter().filter(|it| is_refused(it)).count();
        self.now(Does::Wait);
        Held { arrived, refused }
    }
}

/// Lets the only process of a service be ejected: of one, the shipped share is none.
pub fn all_may_be_ejected(rule: &mut Value) {
    let share = "/spec/trafficPolicy/outlierDetection/maxEjectionPercent";
    rule.pointer_mut(share).into_iter().for_each(|share| *share = json!(100));
}

/// The objects of a service of this kind, as they lie in the tree.
pub fn shipped(service: &str, kind: &str) -> Vec<Value> {
    let file = workspace().join(format!("istio/generated/{service}.yaml"));
    let mut all = documents(&std::fs::read_to_string(file).unwrap());
    all.retain(|it| it["kind"] == kind);
    all
}

/// An object of the cluster, as it can be applied again.
pub async fn live(lab: &Lab, shipped: &Value) -> Value {
    let name = shipped["metadata"]["name"].as_str().unwrap();
    let kind = "sidecars.networking.istio.io";
    let mut live = lab.kubectl().get(&[kind, name, "--namespace", "shop"]).await.unwrap();
    live["metadata"] = json!({ "name": name, "namespace": "shop" });
    live.as_object_mut().unwrap().remove("status");
    live
}

/// The Sidecar that stands in for the shipped one, changed as that one is.
pub fn standing_in(live: &Value, changed: &Value) -> Value {
    let mut now = live.clone();
    now["spec"]["egress"][0]["hosts"] = changed["spec"]["egress"][0]["hosts"].clone();
    let app = &changed["spec"]["workloadSelector"]["labels"]["app"];
    now["spec"]["workloadSelector"]["labels"]["app"] = app.clone();
    now
}
