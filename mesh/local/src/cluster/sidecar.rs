//! A sidecar: Istio's agent, which keeps an Envoy running beside a process, fetches its certificates and
//! its configuration. The folder of each is what its pod's volumes would be.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::Cluster;
use crate::{Identity, ProcessSpec, free_port, private_dir, write_private};

/// How long a token of a workload is good: longer than anybody leaves a cluster of this kind up.
const TOKEN: &str = "720h";
/// Whom tokens are for: those who sign certificates.
const AUDIENCE: &str = "istio-ca";
/// What a pod would say of its sidecar: it counts what became of its calls, whoever they were made to,
/// since this Envoy has not what Istio's own counts by; and how long they took is on its page soon.
const ANNOTATIONS: [(&str, &str); 2] = [
    ("sidecar.istio.io/statsInclusionPrefixes", "cluster.outbound"),
    ("sidecar.istio.io/statsFlushInterval", "1s"),
];

/// A process beside which a sidecar runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its pod's name.
    pub name: String,
    /// Where it is.
    pub namespace: String,
    /// Its ServiceAccount, which is there.
    pub account: String,
    /// The labels of its pod.
    pub labels: BTreeMap<String, String>,
    /// Which of the network's addresses are its own.
    pub number: u8,
}

/// A sidecar that can be started.
#[derive(Clone, Debug)]
pub struct Sidecar {
    /// How it is run. It needs a log and a pid file, which are whoever's who runs it.
    pub spec: ProcessSpec,
    /// Where it says how it is: `/ready`.
    pub admin: SocketAddr,
}

impl Sidecar {
    /// Makes its folder in `dir`: who it is, whom it trusts, what it begins with.
    ///
    /// # Errors
    /// The account or the control plane is not there.
    pub async fn prepare(cluster: &Cluster, workload: &Workload, dir: &Path) -> Result<Sidecar> {
        let kubectl = cluster.kubectl();
        let (namespace, account) = (&*workload.namespace, &*workload.account);
        let token = [
            "create",
            "token",
            account,
            "--namespace",
            namespace,
            "--audience",
            AUDIENCE,
            "--duration",
            TOKEN,
        ];
        let token = kubectl.run(&token).await?;
        let root = ["configmap", "istio-ca-root-cert", "--namespace", namespace];
        let root = kubectl.get(&root).await?;
        let root = root["data"]["root-cert.pem"].as_str().context("istiod has no certificate")?;

        private_dir(dir, None).with_context(|| format!("cannot use {}", dir.display()))?;
        let file = |name: &str, text: &str| -> Result<PathBuf> {
            let path = dir.join(name);
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            write_private(&path, text)?;
            Ok(path)
        };
        file("var/run/secrets/tokens/istio-token", token.trim())?;
        file("var/run/secrets/istio/root-cert.pem", root)?;
        let labels = workload.labels.iter().map(|(name, value)| format!("{name}={value:?}\n"));
        file("etc/istio/pod/labels", &labels.collect::<String>())?;
        let said = ANNOTATIONS.map(|(name, value)| format!("{name}={value:?}\n"));
        file("etc/istio/pod/annotations", &said.concat())?;
        let bootstrap = fs::read_to_string(cluster.tools().bootstrap())?;
        let bootstrap = file("var/lib/istio/envoy/envoy_bootstrap_tmpl.json", &bootstrap)?;
        fs::create_dir_all(dir.join("etc/istio/proxy"))?;

        let ports = Ports::draw()?;
        let settings = settings(cluster, workload, dir, &ports);
        let spec = ProcessSpec {
            name: format!("{}-sidecar", workload.name),
            replica: 0,
            program: cluster.tools().program("pilot-agent"),
            args: arguments(workload, &bootstrap),
            env: variables(cluster, workload, &ports, &settings, &bootstrap),
            directory: Some(dir.to_owned()),
            log: dir.join("log"),
            pid_file: None,
            user: None,
            stop: Signal::TERM,
        };
        Ok(Sidecar { spec, admin: SocketAddr::from((Ipv4Addr::LOCALHOST, ports.admin)) })
    }
}

impl Sidecar {
    /// The Envoy that an agent keeps running: it outlives an agent that is killed.
    pub fn envoy(agent: Identity) -> Option<Identity> {
        // Each of its threads has its own children, and any of them may have started it.
        let threads = fs::read_dir(format!("/proc/{}/task", agent.pid)).ok()?;
        threads.flatten().find_map(|thread| {
            let children = fs::read_to_string(thread.path().join("children")).ok()?;
            Identity::of(children.split_whitespace().next()?.parse().ok()?)
        })
    }
}

/// What a sidecar answers its operators at; each its own, since all share one machine.
struct Ports {
    admin: u16,
    status: u16,
    metrics: u16,
    health: u16,
}

impl Ports {
    fn draw() -> std::io::Result<Ports> {
        let (admin, status) = (free_port()?, free_port()?);
        Ok(Ports { admin, status, metrics: free_port()?, health: free_port()? })
    }
}

fn settings(cluster: &Cluster, workload: &Workload, dir: &Path, ports: &Ports) -> Value {
    json!({
        "discoveryAddress": cluster.discovery().to_string(),
        "binaryPath": cluster.tools().envoy,
        "configPath": dir.join("etc/istio/proxy"),
        "proxyAdminPort": ports.admin,
        "statusPort": ports.status,
        "concurrency": 1,
        "controlPlaneAuthPolicy": "MUTUAL_TLS",
        "serviceCluster": workload.name,
        // Its port is wanted again soon.
        "drainDuration": "1s",
        "terminationDrainDuration": "1s",
        "proxyMetadata": {},
    })
}

fn arguments(workload: &Workload, bootstrap: &Path) -> Vec<std::ffi::OsString> {
    let domain = format!("{}.svc.cluster.local", workload.namespace);
    let words = ["proxy", "sidecar", "--domain", &domain, "--proxyLogLevel", "warning"];
    let mut all: Vec<std::ffi::OsString> = words.map(Into::into).to_vec();
    all.extend(["--log_output_level", "default:warn", "--outlierLogPath", ""].map(Into::into));
    all.extend(["--templateFile".into(), bootstrap.into()]);
    all
}

fn variables(
    cluster: &Cluster,
    workload: &Workload,
    ports: &Ports,
    settings: &Value,
    bootstrap: &Path,
) -> Vec<(String, String)> {
    let address = cluster.network().called(workload.number).to_string();
    let control = cluster.discovery().to_string();
    let labels = json!(workload.labels).to_string();
    let all = [
        ("POD_NAME", workload.name.clone()),
        ("POD_NAMESPACE", workload.namespace.clone()),
        ("INSTANCE_IP", address),
        ("SERVICE_ACCOUNT", workload.account.clone()),
        ("TRUST_DOMAIN", "cluster.local".to_owned()),
        ("ISTIO_META_CLUSTER_ID", "Kubernetes".to_owned()),
        // Nothing leads connections here: they are made to it.
        ("ISTIO_META_INTERCEPTION_MODE", "NONE".to_owned()),
        ("ISTIO_META_APP_CONTAINERS", "app".to_owned()),
        ("ISTIO_METAJSON_LABELS", labels),
        ("ISTIO_META_WORKLOAD_NAME", workload.name.clone()),
        ("ISTIO_META_MESH_ID", "cluster.local".to_owned()),
        ("CA_ADDR", control),
        ("PILOT_CERT_PROVIDER", "istiod".to_owned()),
        ("PROXY_CONFIG", settings.to_string()),
        ("ENVOY_PROMETHEUS_PORT", ports.metrics.to_string()),
        ("ENVOY_STATUS_PORT", ports.health.to_string()),
        ("BOOTSTRAP_XDS_AGENT", "false".to_owned()),
        ("ISTIO_BOOTSTRAP", bootstrap.display().to_string()),
        ("ENABLE_NATIVE_SIDECARS", "false".to_owned()),
        ("CREDENTIAL_FETCHER_TYPE", String::new()),
    ];
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
