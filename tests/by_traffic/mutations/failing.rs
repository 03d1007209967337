//! Services whose calls are led elsewhere: to whoever refuses, or lets callers wait.

use std::{collections::BTreeMap, net::SocketAddr, sync::Mutex, time::Duration};

use futures::future::join_all;
use mesh_testkit::{eventually, workspace};
use serde_json::{Value, json};
use tonic::Code;

use super::notice::Seen;
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
            Seen::Full | Seen::Timed => Does::Wait,
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
                Seen::Ejected => rules.iter_mut().for_each(all_may_be_ejected),
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
            Seen::Ejected => {
                for _ in 0..IN_A_ROW * 2 + 2 {
                    _ = line.ask(CHEAP).await;
                }
                double.calls() - before > IN_A_ROW
            }
            Seen::Full => {
                let calls = tokio::spawn(join_all((0..8).map({
                    let line = line.clone();
                    move |_| {
                        let line = line.clone();
                        async move { line.ask(CHEAP).await }
                    }
                })));
                tokio::time::sleep(LONG / 8).await;
                double.now(Does::Answer);
                let refused = |it: &Result<_, tonic::Status>| {
                    it.as_ref().is_err_and(|it| it.code() == Code::Unavailable)
                };
                let is_full = calls.await.unwrap().iter().any(refused);
                double.now(Does::Wait);
                is_full
            }
            _ => tokio::time::timeout(LONG, line.ask(CHEAP)).await.is_ok(),
        }
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
