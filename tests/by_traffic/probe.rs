//! Callers of the test's own: any account of any namespace, with a sidecar that knows every service.

use std::net::SocketAddr;

use mesh_local::Signal;
use mesh_local::{
    Identity, PidFile,
    cluster::{Sidecar, Workload},
    http,
};
use mesh_testkit::eventually;
use meshctl::generate::cluster::{GRPC, NAMESPACE};
use serde_json::{Value, json};

use super::{calls::Line, lab::Lab};

/// The first of the addresses that no process of a shop has.
const FIRST: u8 = 100;
const ENTRIES: &str = "workloadentries.networking.istio.io";
const SIDECARS: &str = "sidecars.networking.istio.io";
/// By which a process is told from others of its service and version.
const PROCESS: &str = "shopmesh.dev/process";

/// Somebody with a certificate of the cluster's.
pub struct Probe {
    pub namespace: String,
    pub account: String,
    /// Where it makes its calls.
    pub calls: SocketAddr,
    /// Where its Envoy says how it is.
    pub admin: SocketAddr,
    agent: Identity,
    envoy: Option<Identity>,
}

impl Probe {
    /// Starts one; the account is made if it is not there.
    pub async fn start(lab: &Lab, number: u8, namespace: &str, account: &str) -> Self {
        Self::start_with(lab, number, namespace, account, &[]).await
    }

    /// The same, with these variables for its agent besides.
    pub async fn start_with(
        lab: &Lab,
        number: u8,
        namespace: &str,
        account: &str,
        more: &[(&str, &str)],
    ) -> Self {
        let name = format!("probe-{number}");
        let labels = [("app".to_owned(), name.clone())];
        let workload = Workload {
            name: name.clone(),
            namespace: namespace.to_owned(),
            account: account.to_owned(),
            labels: labels.clone().into(),
            number: FIRST + number,
        };
        let calls = SocketAddr::from((lab.cluster.network().calls(FIRST + number), GRPC));
        let meta = |name: &str| json!({ "name": name, "namespace": namespace });
        let listener = json!({
            "bind": calls.ip().to_string(),
            "captureMode": "NONE",
            "hosts": [format!("{NAMESPACE}/*")],
            "port": { "name": "grpc-out", "number": GRPC, "protocol": "GRPC" },
        });
        lab.apply(&[
            json!({
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": meta(account),
                // As every account is shipped: a service's own stays as it is.
                "automountServiceAccountToken": false,
            }),
            json!({
                "apiVersion": "networking.istio.io/v1",
                "kind": "Sidecar",
                "metadata": meta(&name),
                "spec": {
                    "egress": [listener],
                    "workloadSelector": { "labels": { "app": name } },
                },
            }),
        ])
        .await;
        Self::launch(lab, workload, more).await
    }

    /// Takes the place of a process of a service, which goes on: calls that would come to it come by this
    /// sidecar instead. `leave` undoes it.
    pub async fn in_place_of(
        lab: &Lab,
        number: u8,
        process: &str,
        more: &[(&str, &str)],
    ) -> (Self, InPlace) {
        let name = format!("probe-{number}");
        let kubectl = lab.kubectl();
        let get = async |kind: &str| {
            let mut known = kubectl.get(&[kind, process, "--namespace", NAMESPACE]).await.unwrap();
            known["metadata"] = json!({ "name": process, "namespace": NAMESPACE });
            known
        };
        let (was, mut sidecar) = (get(ENTRIES).await, get(SIDECARS).await);
        let mut entry = was.clone();
        let network = lab.cluster.network();
        let (called, calls) = (network.called(FIRST + number), network.calls(FIRST + number));
        entry["spec"]["address"] = json!(called.to_string());
        sidecar["spec"]["ingress"][0]["bind"] = json!(called.to_string());
        sidecar["spec"]["egress"][0]["bind"] = json!(calls.to_string());
        let mut labels = entry["spec"]["labels"].as_object().unwrap().clone();
        labels.insert(PROCESS.to_owned(), json!(name));
        entry["spec"]["labels"] = json!(labels);
        labels.remove("security.istio.io/tlsMode");
        sidecar["spec"]["workloadSelector"] = json!({ "labels": labels });
        for object in [&mut entry, &mut sidecar] {
            object["metadata"]["name"] = json!(name);
        }
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let labels = labels.iter().map(|(name, value)| (name.clone(), text(value))).collect();
        let workload = Workload {
            name: name.clone(),
            namespace: NAMESPACE.to_owned(),
            account: text(&entry["spec"]["serviceAccount"]),
            labels,
            number: FIRST + number,
        };
        lab.apply(&[sidecar]).await;
        let probe = Self::launch(lab, workload, more).await;
        lab.apply(&[entry]).await;
        kubectl.run(&["delete", ENTRIES, process, "--namespace", NAMESPACE]).await.unwrap();
        (probe, InPlace { name, was })
    }

    /// Starts a sidecar of which everything but itself is there.
    async fn launch(lab: &Lab, workload: Workload, more: &[(&str, &str)]) -> Self {
        let Workload { name, namespace, account, number, .. } = workload.clone();
        let calls = SocketAddr::from((lab.cluster.network().calls(number), GRPC));
        let dir = lab.cluster.dir().join("sidecars").join(&name);
        // istiod tells each namespace whom to trust a moment after it was made.
        let Sidecar { mut spec, admin } =
            eventually(&format!("a sidecar of {namespace}/{account}"), async || {
                Sidecar::prepare(&lab.cluster, &workload, &dir).await.ok()
            })
            .await;
        spec.env.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        // `down` ends it by this, whatever becomes of the test.
        let run = lab.home.run().unwrap();
        spec.pid_file = Some(run.join(format!("{name}.pid")));
        let child = tokio::process::Command::from(spec.command().unwrap()).spawn().unwrap();
        let agent = Identity::of(child.id().unwrap()).unwrap();
        spec.note(agent, None).unwrap();
        eventually(&format!("{name} to be ready"), async || http::is_ok(admin, "/ready").await)
            .await;
        let envoy = Sidecar::envoy(agent);
        if let Some(process) = envoy {
            let file = PidFile { process, keeper: None, interrupt: false };
            file.write(&run.join(format!("{name}-envoy.pid"))).unwrap();
        }
        Self { namespace, account, calls, admin, agent, envoy }
    }

    /// The serial number of its certificate; none while it has none.
    pub async fn certificate(&self) -> Option<String> {
        let (_, text) = http::request(self.admin, "GET", "/certs").await.ok()?;
        let known: Value = serde_json::from_str(&text).ok()?;
        let chain = &known["certificates"][0]["cert_chain"][0];
        Some(chain["serial_number"].as_str()?.to_owned())
    }

    /// A line to a service, as this one.
    pub fn line(&self, service: &str) -> Line {
        Line::to(service, self.calls)
    }
}

/// A process whose calls come by another sidecar.
pub struct InPlace {
    name: String,
    was: Value,
}

impl InPlace {
    /// Its own has them again.
    pub async fn leave(self, lab: &Lab) {
        lab.apply(&[self.was]).await;
        for kind in [ENTRIES, SIDECARS] {
            let gone = ["delete", kind, &self.name, "--namespace", NAMESPACE];
            lab.kubectl().run(&gone).await.unwrap();
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        for process in self.envoy.iter().chain([&self.agent]) {
            process.signal(Signal::KILL);
        }
    }
}
