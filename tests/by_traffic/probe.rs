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
use serde_json::json;

use super::{calls::Line, lab::Lab};

/// The first of the addresses that no process of a shop has.
const FIRST: u8 = 100;

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
            json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta(account) }),
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
        Self {
            namespace: namespace.to_owned(),
            account: account.to_owned(),
            calls,
            admin,
            agent,
            envoy,
        }
    }

    /// A line to a service, as this one.
    pub fn line(&self, service: &str) -> Line {
        Line::to(service, self.calls)
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        for process in self.envoy.iter().chain([&self.agent]) {
            process.signal(Signal::KILL);
        }
    }
}
