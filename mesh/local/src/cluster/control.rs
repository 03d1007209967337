//! Starts and ends the control plane: etcd, the API server, its controllers and istiod. They run on their own, and are
//! known by their pid files: whoever has started them may end.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Kubectl, Network, Tools};
use crate::{
    Home, Identity, PidFile, ProcessSpec, Progress, free_port, http, private_dir, stop_leftovers,
    tail, write_private,
};

/// The folder of a home.
const FOLDER: &str = "cluster";
const STATE: &str = "state.json";
const STARTING: Duration = Duration::from_secs(180);
const STOPPING: Duration = Duration::from_secs(20);
/// Nobody renews it while the cluster is up.
pub(super) const CERTIFIED: Duration = Duration::from_secs(365 * 86_400);
/// Where Istio's own objects are.
pub(super) const SYSTEM: &str = "istio-system";

/// A cluster that was started in a home.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub(super) dir: PathBuf,
    pub(super) tools: Tools,
    pub(super) known: Known,
}

/// What has to be known to find it again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Known {
    /// Where the programs are kept.
    cache: PathBuf,
    envoy: PathBuf,
    network: Network,
    /// The administrator's.
    pub token: String,
    /// For clients, and for other members.
    pub etcd: [u16; 2],
    pub api: u16,
    /// Where controllers say how they are; none in a cluster from before there were any.
    #[serde(default)]
    pub controllers: u16,
    /// For sidecars, for the API server, for whoever asks how it is, and its metrics.
    pub istiod: [u16; 4],
    /// For whoever looks for a name of the world.
    pub names: u16,
}

/// One process of the control plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// What people call it.
    pub name: &'static str,
    /// Where it answers.
    pub address: SocketAddr,
    /// The process, if it runs.
    pub pid: Option<u32>,
}

const PARTS: [&str; 4] = ["etcd", "kube-apiserver", CONTROLLERS, "istiod"];
pub(super) const CONTROLLERS: &str = "kube-controller-manager";

impl Cluster {
    /// The cluster of a home, if one was started there: running or not, [`parts`](Self::parts) tell.
    ///
    /// # Errors
    /// What is known of it cannot be read.
    pub fn find(home: &Home) -> Result<Option<Cluster>> {
        let dir = home.path(FOLDER);
        let path = dir.join(STATE);
        let Ok(text) = fs::read_to_string(&path) else { return Ok(None) };
        let known: Known = serde_json::from_str(&text)
            .with_context(|| format!("{} is damaged: remove it", path.display()))?;
        let tools = Tools::at(&known.cache, &known.envoy);
        Ok(Some(Cluster { dir, tools, known }))
    }

    /// Starts what of it does not run, and waits until it is ready. Objects of a cluster that was up
    /// before are there again, until [`down`](Self::down).
    ///
    /// # Errors
    /// Something does not start: with the end of its log.
    pub async fn up(home: &Home, tools: Tools, progress: &mut Progress) -> Result<Cluster> {
        let dir = home.path(FOLDER);
        private_dir(&dir, None).with_context(|| format!("cannot use {}", dir.display()))?;
        let _alone = alone(&dir)?;
        let mut cluster = match Cluster::find(home)? {
            Some(found) => Cluster { tools, ..found },
            None => Cluster { dir, known: Known::draw(&tools)?, tools },
        };
        if cluster.known.controllers == 0 {
            cluster.known.controllers = free_port()?;
        }
        cluster.prepare()?;
        write_private(&cluster.dir.join(STATE), &serde_json::to_string_pretty(&cluster.known)?)?;

        progress.step("starting etcd and the API server");
        let started = [cluster.start(&cluster.etcd())?, cluster.start(&cluster.api())?];
        cluster.answers("kube-apiserver", &["get", "--raw", "/readyz"]).await?;
        if started.contains(&true) {
            progress.step("teaching the API server what Istio and others define");
            cluster.define().await?;
        }
        progress.step("starting controllers");
        cluster.start(&cluster.controllers())?;
        // Theirs, in every namespace.
        let made = ["get", "serviceaccount/default", "configmap/kube-root-ca.crt"];
        let made = [&made[..], &["--namespace", SYSTEM]].concat();
        cluster.answers(CONTROLLERS, &made).await?;
        progress.step("starting istiod");
        cluster.start(&cluster.istiod())?;
        cluster.told("istiod", async || http::is_ok(cluster.istiod_at(2), "/ready").await).await?;
        let root = ["get", "configmap", "istio-ca-root-cert", "--namespace", SYSTEM];
        cluster.answers("istiod", &root).await?;
        cluster.validate().await?;
        progress.finish();
        Ok(cluster)
    }

    /// Ends every process of a home's cluster, and forgets its objects. Returns how many ran.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub async fn down(home: &Home) -> Result<usize> {
        let dir = home.path(FOLDER);
        if !dir.is_dir() {
            return Ok(0);
        }
        let lock = alone(&dir)?;
        let run = dir.join("run");
        fs::create_dir_all(&run)?;
        let ended = stop_leftovers(&run, STOPPING).await?;
        drop(lock);
        let removed = fs::remove_dir_all(&dir);
        removed.with_context(|| format!("cannot remove {}", dir.display()))?;
        Ok(ended)
    }

    /// Ends istiod and starts it anew. What it knows is in the cluster's objects, but for the keys of
    /// tokens' issuers: those that it has fetched, or has not, are asked for again at once.
    ///
    /// # Errors
    /// It does not start: with the end of its log.
    pub async fn restart_istiod(&self) -> Result<()> {
        let _alone = alone(&self.dir)?;
        if let Some(process) = self.running("istiod") {
            process.signal(Signal::KILL);
            while process.alive() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        self.start(&self.istiod())?;
        self.told("istiod", async || http::is_ok(self.istiod_at(2), "/ready").await).await
    }

    /// Its processes.
    pub fn parts(&self) -> Vec<Part> {
        let Known { etcd, api, controllers, .. } = self.known;
        let addresses = [at(etcd[0]), at(api), at(controllers), self.istiod_at(0)];
        let parts = PARTS.into_iter().zip(addresses);
        parts
            .map(|(name, address)| Part { name, address, pid: self.running(name).map(|it| it.pid) })
            .collect()
    }

    /// Whether all of it runs.
    pub fn is_up(&self) -> bool {
        self.parts().iter().all(|part| part.pid.is_some())
    }

    /// Its programs.
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// Talks to its API server as its administrator.
    pub fn kubectl(&self) -> Kubectl {
        Kubectl {
            program: self.tools.program("kubectl"),
            kubeconfig: self.dir.join("kubeconfig.json"),
        }
    }

    /// Where its workloads are.
    pub fn network(&self) -> Network {
        self.known.network
    }

    /// Where its files are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where sidecars are told what to do.
    pub fn discovery(&self) -> SocketAddr {
        self.istiod_at(0)
    }

    pub(super) fn istiod_at(&self, which: usize) -> SocketAddr {
        at(self.known.istiod[which])
    }

    fn running(&self, name: &str) -> Option<Identity> {
        let file = PidFile::read(&self.dir.join("run").join(name).with_extension("pid"))?;
        Some(file.process).filter(Identity::alive)
    }

    /// Starts a process unless it runs; whether it did not.
    fn start(&self, spec: &ProcessSpec) -> Result<bool> {
        if self.running(&spec.name).is_some() {
            return Ok(false);
        }
        let child = spec.command().and_then(|mut command| command.spawn());
        let child = child.with_context(|| format!("cannot start {}", spec.program.display()))?;
        let process = Identity::of(child.id());
        let process = process.with_context(|| format!("{} ended at once", spec.name))?;
        spec.note(process, None)?;
        Ok(true)
    }

    async fn answers(&self, part: &str, question: &[&str]) -> Result<()> {
        let kubectl = self.kubectl();
        self.told(part, async || kubectl.run(question).await.is_ok()).await
    }

    async fn told(&self, part: &str, ready: impl AsyncFn() -> bool) -> Result<()> {
        let begun = Instant::now();
        while !ready().await {
            let gone = self.running(part).is_none();
            if gone || begun.elapsed() > STARTING {
                let log = self.log(part);
                let what = if gone { "has ended" } else { "is not ready" };
                bail!("{part} {what}; {} ends with\n{}", log.display(), tail(&log, 12));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.dir.join("logs").join(name).with_extension("log")
    }
}

impl Known {
    fn draw(tools: &Tools) -> Result<Known> {
        let port = || free_port();
        Ok(Known {
            cache: tools.cache().to_owned(),
            envoy: tools.envoy.clone(),
            network: Network::draw()?,
            token: Uuid::new_v4().simple().to_string(),
            etcd: [port()?, port()?],
            api: port()?,
            controllers: port()?,
            istiod: [port()?, port()?, port()?, port()?],
            names: port()?,
        })
    }
}

/// The right to start and end a home's cluster, until it is dropped.
fn alone(dir: &Path) -> Result<File> {
    let path = dir.join("lock");
    let lock = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    ensure!(lock.try_lock().is_ok(), "another process starts or ends this cluster: wait for it");
    Ok(lock)
}

pub(super) fn at(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
