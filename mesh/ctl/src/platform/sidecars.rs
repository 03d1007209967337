//! `up --istio`: every process behind a sidecar of its own, in the cluster of this home, by the manifests
//! as they are shipped.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mesh_local::cluster::{Cluster, Door, Network, Sidecar, Workload};
use mesh_local::{Declaration, Home, Identity, PidFile, Signal, Status, Supervised, http, tail};
use meshctl::caller;
use meshctl::generate::cluster::{CANARY, GRPC, NAMESPACE, Traffic, host, principal};
use meshctl::users::Terms;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::timeout;

use super::specs::Place;
use super::stand_in::{self, Member, PORT, PROCESS};
use crate::output;
use crate::services;

/// What is applied, from the root of the checkout.
const OVERLAY: &str = "k8s/overlays/local";
/// The first version of a service, unless a process is another's.
const FIRST: &str = "v1";
const READY: Duration = Duration::from_secs(60);
/// How long a sidecar may take to end.
const ENDING: Duration = Duration::from_secs(20);
/// The first number that is nobody's who joins: tests have callers of their own from there on.
const GUESTS_END: u8 = 100;
const ENTRIES: &str = "workloadentries.networking.istio.io";
const SIDECARS: &str = "sidecars.networking.istio.io";
const LOOK: Duration = Duration::from_millis(100);
const FILE: &str = "stand-in.yaml";
/// Where the world comes in, at an address of its own.
const HTTPS: u16 = 8443;

/// The shop as a part of a cluster.
#[derive(Debug)]
pub(super) struct Mesh {
    cluster: Cluster,
    /// One for each place, in their order, and the operator's at the end.
    members: Vec<Member>,
    traffic: Traffic,
}

impl Mesh {
    /// Finds the cluster, and gives each process its addresses.
    ///
    /// # Errors
    /// No cluster is up, or its network has too few addresses.
    pub(super) fn join(home: &Home, places: &[Place], all: &[Declaration]) -> Result<Mesh> {
        let program = output::program();
        let cluster = Cluster::find(home)?.filter(Cluster::is_up);
        let cluster =
            cluster.with_context(|| format!("no cluster is up: `{program} cluster up` first"))?;
        let network = cluster.network();
        let mut members = Vec::new();
        members.extend(
            (0_u8..).zip(places).map(|(number, place)| member(&network, number, place, all)),
        );
        let number = u8::try_from(places.len()).context("too many processes for one network")?;
        members.push(operator(&network, number));
        let traffic = Traffic::parse(services::TRAFFIC.1, all)?;
        Ok(Mesh { cluster, members, traffic })
    }

    /// Applies the manifests below `root` as they are shipped, and what stands in for pods. Whether they
    /// should be applied was asked before anything of the shop was started.
    ///
    /// # Errors
    /// The API server or istiod refuses something.
    pub(super) async fn apply(&self, root: &Path) -> Result<()> {
        let overlay = root.join(OVERLAY);
        let kubectl = self.cluster.kubectl();
        let before = stand_in::before(&self.traffic.ingress);
        kubectl.apply(&before).await?;
        kubectl.apply_from("--kustomize", &overlay).await?;
        let shipped = kubectl.get(&[SIDECARS, "--namespace", NAMESPACE]).await?;
        let mut sidecars = BTreeMap::new();
        for sidecar in shipped["items"].as_array().into_iter().flatten() {
            let name = sidecar["metadata"]["name"].as_str().unwrap_or_default();
            sidecars.insert(name.to_owned(), sidecar.clone());
        }
        let objects = [before, stand_in::after(&self.members, &sidecars)].concat();
        let file = self.cluster.dir().join(FILE);
        fs::write(&file, stand_in::file(&objects))?;
        self.prune(&objects).await?;
        kubectl.apply_from("--filename", &file).await
    }

    /// Removes the stand-ins of processes that there are no more.
    async fn prune(&self, objects: &[Value]) -> Result<()> {
        let kubectl = self.cluster.kubectl();
        for kind in [ENTRIES, SIDECARS] {
            let found = kubectl.get(&[kind, "--namespace", NAMESPACE]).await?;
            for object in found["items"].as_array().into_iter().flatten() {
                let known = objects.iter().any(|it| {
                    it["kind"] == object["kind"]
                        && it["metadata"]["name"] == object["metadata"]["name"]
                });
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                if !known {
                    kubectl.run(&["delete", kind, name, "--namespace", NAMESPACE]).await?;
                }
            }
        }
        Ok(())
    }

    /// Starts a sidecar for every process and one for the operator, and the door where the world comes
    /// in at the end; waits until they are ready.
    ///
    /// # Errors
    /// One does not start: with the end of its log.
    pub(super) async fn start(&self, home: &Home) -> Result<Vec<(Supervised, SocketAddr)>> {
        let prepare = self.members.iter().map(|member| self.prepare(member));
        let mut prepared = futures::future::try_join_all(prepare).await?;
        prepared.push(self.door()?);
        let mut running = Vec::new();
        for sidecar in prepared {
            running.push(launch(home, sidecar)?);
        }
        // The door is an Envoy itself.
        for (process, _) in running.iter().take(self.members.len()) {
            note_envoys(home, process)?;
        }
        for (process, admin) in &running {
            is_ready(process, *admin).await?;
        }
        Ok(running)
    }

    async fn prepare(&self, member: &Member) -> Result<Sidecar> {
        let dir = self.cluster.dir().join("sidecars").join(&member.workload.name);
        Sidecar::prepare(&self.cluster, &member.workload, &dir).await
    }

    /// A process that joins while the shop runs; each that has not left has a slot of its own.
    ///
    /// # Errors
    /// The network has no address for it.
    pub(super) fn guest(&self, slot: usize, place: &Place) -> Result<Member> {
        let number = u8::try_from(self.members.len() + slot).ok().filter(|it| *it < GUESTS_END);
        let number = number.context("too many processes for one network")?;
        Ok(member(&self.cluster.network(), number, place, &[]))
    }

    /// Whether a process of the shop was this version of a service from the start.
    pub(super) fn has(&self, service: &str, version: &str) -> bool {
        self.members.iter().any(|it| it.workload.account == service && it.version() == version)
    }

    /// Applies what stands in for a process that joins, and starts its sidecar.
    ///
    /// # Errors
    /// Something is refused, or the sidecar does not start: then all of it is taken back.
    pub(super) async fn admit(
        &self,
        home: &Home,
        member: &Member,
    ) -> Result<(Supervised, SocketAddr)> {
        let kubectl = self.cluster.kubectl();
        // That of its service's first process: whom the service calls is in it as it was shipped.
        let name = [SIDECARS, &member.workload.account, "--namespace", NAMESPACE];
        let sidecar = kubectl.get(&name).await?;
        kubectl.apply(&stand_in::one(member, Some(&sidecar))).await?;
        let (process, admin) = launch(home, self.prepare(member).await?)?;
        note_envoys(home, &process)?;
        if let Err(error) = is_ready(&process, admin).await {
            self.dismiss(member, &process).await?;
            return Err(error);
        }
        Ok((process, admin))
    }

    /// Ends the sidecar of a process that has left, and takes back what stood in for it.
    ///
    /// # Errors
    /// The API server does not answer.
    pub(super) async fn dismiss(&self, member: &Member, sidecar: &Supervised) -> Result<()> {
        let name = &member.workload.name;
        for kind in [ENTRIES, SIDECARS] {
            let all = ["delete", kind, name, "--namespace", NAMESPACE, "--ignore-not-found"];
            self.cluster.kubectl().run(&all).await?;
        }
        sidecar.stop(ENDING).await;
        Ok(())
    }

    /// Where the names of `istio/traffic.toml` lead: to the gateway, by the operator's sidecar, at an
    /// address that the operator, whom nobody calls, has to spare.
    fn door(&self) -> Result<Sidecar> {
        let authority = format!("{}:{GRPC}", host(services::GATEWAY));
        self.cluster.door(&Door {
            hosts: &self.traffic.ingress.hosts,
            address: SocketAddr::from((self.members[self.members.len() - 1].called.ip(), HTTPS)),
            sidecar: self.operator(),
            authority: &authority,
        })
    }

    /// What the shop's own tokens say, so that sidecars believe them.
    pub(super) fn terms(&self) -> Terms {
        let own = self.traffic.own_issuer();
        own.map_or_else(Terms::default, |own| Terms {
            issuer: own.issuer.clone(),
            audience: own.audience().to_owned(),
        })
    }

    /// A process, by the number of its place.
    pub(super) fn member(&self, number: usize) -> &Member {
        &self.members[number]
    }

    /// Where the operator's program makes its calls.
    pub(super) fn operator(&self) -> SocketAddr {
        self.members[self.members.len() - 1].calls
    }

    /// What a process is told besides: where those are that it calls, and who it is.
    pub(super) fn settings(
        &self,
        member: &Member,
        calls: &[String],
    ) -> Vec<(&'static str, String)> {
        let via =
            |service: &String| format!("{service}=mesh:{}:{GRPC}@{}", host(service), member.calls);
        let discovery: Vec<String> = calls.iter().map(via).collect();
        let (workload, terms) = (&member.workload, self.terms());
        vec![
            ("DISCOVERY", discovery.join(";")),
            // Its sidecar is a process of this machine like any other, and connects from here.
            ("SIDECAR_ADDR", "127.0.0.1".to_owned()),
            // Heeded by who is called by the world: who calls it says from where, and which version it wants.
            ("FORWARD_METADATA", CANARY.to_owned()),
            ("TRUSTED_HOPS", "127.0.0.1/32".to_owned()),
            ("SPIFFE_ID", format!("spiffe://{}", principal(NAMESPACE, &workload.account))),
            ("SERVICE_VERSION", member.version().to_owned()),
            ("USER_AUDIENCE", terms.audience),
            ("USER_ISSUER", terms.issuer),
        ]
    }
}

fn launch(home: &Home, sidecar: Sidecar) -> Result<(Supervised, SocketAddr)> {
    let Sidecar { mut spec, admin } = sidecar;
    spec.log = home.logs()?.join(format!("{}.log", spec.name));
    spec.pid_file = Some(home.run()?.join(format!("{}.pid", spec.name)));
    Ok((Supervised::start(spec), admin))
}

/// Waits until it is.
async fn is_ready(process: &Supervised, admin: SocketAddr) -> Result<()> {
    let begun = Instant::now();
    while !http::is_ok(admin, "/ready").await {
        if begun.elapsed() > READY {
            let (name, log) = (&process.spec().name, &process.spec().log);
            bail!("{name} is not ready; {} ends with\n{}", log.display(), tail(log, 12));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Keeps a note of an agent's Envoy as long as it runs.
fn note_envoys(home: &Home, agent: &Supervised) -> Result<()> {
    let file = home.run()?.join(format!("{}-envoy.pid", agent.spec().name));
    tokio::spawn(follow_envoy(agent.watch(), file));
    Ok(())
}

/// Notes which Envoy an agent keeps running, whenever one has started, for whoever cleans up. An agent
/// that is killed leaves its Envoy, with the ports that the next one needs: it is ended.
async fn follow_envoy(mut agent: watch::Receiver<Status>, file: PathBuf) {
    let keeper = Identity::of(std::process::id());
    let (mut parent, mut envoy) = (None, None::<Identity>);
    loop {
        let running = agent.borrow_and_update().process;
        if running != parent {
            envoy.take().inspect(|left| _ = left.signal(Signal::KILL));
            parent = running;
        }
        if envoy.is_none()
            && let Some(process) = running.and_then(Sidecar::envoy)
        {
            envoy = Some(process);
            if let Err(error) = (PidFile { process, keeper, interrupt: false }).write(&file) {
                eprintln!("cannot write {}: {error}", file.display());
            }
        }
        // It is there a moment after its agent is.
        let patience = if running.is_some() && envoy.is_none() { LOOK } else { Duration::MAX };
        if let Ok(Err(_)) = timeout(patience, agent.changed()).await {
            return;
        }
    }
}

fn member(network: &Network, number: u8, place: &Place, all: &[Declaration]) -> Member {
    let declared = all.iter().find(|it| it.service == place.service);
    let first = declared.and_then(|it| it.versions.first()).map_or(FIRST, String::as_str);
    let version = place.version.as_deref().unwrap_or(first);
    let labels = [
        ("app", place.service.clone()),
        ("version", version.to_owned()),
        (PROCESS, place.replica.to_string()),
    ];
    let workload = Workload {
        name: format!("{}-{version}-{}", place.service, place.replica),
        namespace: NAMESPACE.to_owned(),
        account: place.service.clone(),
        labels: labels.map(|(name, value)| (name.to_owned(), value)).into(),
        number,
    };
    Member {
        called: SocketAddr::from((network.called(number), PORT)),
        calls: SocketAddr::from((network.calls(number), PORT)),
        own: Some(place.grpc),
        workload,
    }
}

fn operator(network: &Network, number: u8) -> Member {
    let name = caller::NAME.to_owned();
    let labels = [("app", name.clone()), (PROCESS, "0".to_owned())];
    let workload = Workload {
        name: name.clone(),
        namespace: NAMESPACE.to_owned(),
        account: name,
        labels: labels.map(|(name, value)| (name.to_owned(), value)).into(),
        number,
    };
    Member {
        called: SocketAddr::from((network.called(number), PORT)),
        calls: SocketAddr::from((network.calls(number), PORT)),
        own: None,
        workload,
    }
}
