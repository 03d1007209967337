//! Starts everything, keeps `state.json` true, and ends everything in order.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use mesh_local::{Declaration, Home, Ports, Progress, Supervised, leaves_first};
use meshctl::caller;
use meshctl::traces::{Door, Limits};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::desk::Desk;
use super::guests::Guests;
use super::identity::Identities;
use super::observe;
use super::report::{Channel, Report};
use super::sidecars::Mesh;
use super::specs::{Place, Surroundings, places, specs};
use super::stores::Stores;
use super::{Claim, Plan};
use crate::services;
use crate::state::{State, TraceDoor};

/// More than a service's own time for draining: 5 s, and its background tasks.
pub(super) const STOPPING: Duration = Duration::from_secs(20);

/// Everything that runs, and who keeps it running: this process.
#[derive(Debug)]
pub struct Running {
    home: Home,
    postgres: Supervised,
    nats: Supervised,
    /// Callees before their callers.
    services: Vec<Supervised>,
    /// Those before the services, and ours.
    sidecars: Vec<Supervised>,
    /// Where one asks for processes that join; behind sidecars only.
    desk: Option<Desk>,
    prometheus: Option<Supervised>,
    state: State,
    reporter: JoinHandle<()>,
    _identities: Identities,
    /// Open until the last service has ended.
    _traces: Option<Door>,
    _claim: Claim,
}

impl Running {
    /// Starts PostgreSQL, the broker and every service; writes `state.json`. Does not wait for the
    /// services to be ready.
    pub async fn start(
        home: &Home,
        claim: Claim,
        plan: &Plan,
        progress: &mut Progress,
    ) -> Result<Running> {
        take_over(home, &claim).await?;
        let declarations = services::declarations()?;
        let mut ports = Ports::open(&home.path("ports.json"));
        let places = places(&mut ports, plan, &leaves_first(&declarations))?;
        let mesh = join(home, plan, &places, &declarations)?;
        let here = mesh.as_deref();
        let mut identities = Identities::make(home, &services::names()?, plan.mtls, here)?;
        let stores =
            Stores::start(home, &mut ports, &declarations, &mut identities, progress).await?;
        let (sidecars, admins) = start_sidecars(home, plan, here, progress).await?;

        progress.step("starting services");
        let traces = open_traces(plan, &mut ports).await?;
        let around = Surroundings {
            home,
            plan,
            brokers: stores.brokers,
            postgres: &stores.postgres,
            databases: stores.databases,
            identities: &identities,
            mesh: here,
            declarations: &declarations,
            traces: traces.as_ref().map(Door::endpoint),
        };
        let services: Vec<_> =
            specs(&around, &places)?.into_iter().map(Supervised::start).collect();
        let observed = observe::start(home, plan, &mut ports, &places, progress).await?.unzip();
        let servers = [&stores.postgres_process, &stores.nats_process];
        let watched = all_started(servers, &services, &sidecars, observed.1.as_ref()).await;
        let (guests, channel) = expect(home, mesh.as_ref(), &services, &declarations);
        let report = Report {
            home: home.clone(),
            around: around.databases,
            watched,
            places,
            mesh,
            admins,
            guests: guests.clone(),
            prometheus: observed.0,
            caller: identities.caller(),
            users: identities.users().private(),
            traces: traces.as_ref().map(|door| TraceDoor { address: door.address() }),
        };
        let (state, reporter) =
            report.begin(&stores.postgres.url(), &stores.nats.url(caller::NAME), channel)?;
        Ok(Running {
            home: home.clone(),
            postgres: stores.postgres_process,
            nats: stores.nats_process,
            services,
            sidecars,
            desk: guests.and_then(|guests| open_desk(home, guests)),
            prometheus: observed.1,
            state,
            reporter,
            _identities: identities,
            _traces: traces,
            _claim: claim,
        })
    }

    /// What was started. Process ids may have changed since.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Drains the services, callers before their callees, then ends the broker and PostgreSQL.
    pub async fn shut_down(self, progress: &mut Progress) -> Result<()> {
        self.reporter.abort();
        if let Some(prometheus) = &self.prometheus {
            progress.step("stopping Prometheus");
            prometheus.stop(STOPPING).await;
        }
        if let Some(desk) = self.desk {
            progress.step("draining those that have joined");
            desk.close().end().await;
        }
        for service in self.services.iter().rev() {
            progress.step(format!("draining {}", service.spec().name));
            service.stop(STOPPING).await;
        }
        if !self.sidecars.is_empty() {
            progress.step("stopping sidecars");
            let stops = self.sidecars.iter().map(|sidecar| sidecar.stop(STOPPING));
            futures::future::join_all(stops).await;
        }
        progress.step("stopping nats-server");
        self.nats.stop(STOPPING).await;
        progress.step("stopping PostgreSQL");
        self.postgres.stop(STOPPING).await;
        State::remove(&self.home)?;
        let _ = fs::remove_file(self.home.path("supervisor.pid"));
        progress.finish();
        Ok(())
    }
}

/// Finds the cluster that the shop is to be a part of, if it is.
fn join(
    home: &Home,
    plan: &Plan,
    places: &[Place],
    declarations: &[Declaration],
) -> Result<Option<Arc<Mesh>>> {
    let mesh = plan.istio.as_ref().map(|_| Mesh::join(home, places, declarations)).transpose()?;
    Ok(mesh.map(Arc::new))
}

/// Who may join, where a cluster's routes can lead calls to them; and how it is told.
fn expect(
    home: &Home,
    mesh: Option<&Arc<Mesh>>,
    services: &[Supervised],
    declarations: &[Declaration],
) -> (Option<Arc<Guests>>, Channel) {
    let channel = mpsc::channel(16);
    let guests = mesh.map(|mesh| {
        let (mesh, changed) = (Arc::clone(mesh), channel.0.clone());
        Arc::new(Guests::new(home, mesh, services, declarations, changed))
    });
    (guests, channel)
}

/// The shop is of use without it, and `canary` says that nobody answers.
fn open_desk(home: &Home, guests: Arc<Guests>) -> Option<Desk> {
    let opened = Desk::open(home, guests);
    opened.inspect_err(|error| eprintln!("  no version can join: {error:#}")).ok()
}

/// Applies the manifests and starts a sidecar for each process, with where Envoy says how it is.
async fn start_sidecars(
    home: &Home,
    plan: &Plan,
    mesh: Option<&Mesh>,
    progress: &mut Progress,
) -> Result<(Vec<Supervised>, Vec<SocketAddr>)> {
    let (Some(mesh), Some(root)) = (mesh, &plan.istio) else { return Ok(Default::default()) };
    progress.step("applying the manifests");
    mesh.apply(root).await?;
    progress.step("starting sidecars");
    Ok(mesh.start(home).await?.into_iter().unzip())
}

/// The servers, the services, their sidecars, and Prometheus at the end, once each was started. One
/// that cannot be is told of by whoever waits until it is ready.
async fn all_started(
    servers: [&Supervised; 2],
    services: &[Supervised],
    sidecars: &[Supervised],
    prometheus: Option<&Supervised>,
) -> Vec<Supervised> {
    let all = servers.into_iter().chain(services).chain(sidecars).chain(prometheus);
    let watched: Vec<Supervised> = all.cloned().collect();
    for process in &watched {
        let mut status = process.watch();
        let _ = status.wait_for(|now| now.process.is_some() || now.last_end.is_some()).await;
    }
    watched
}

/// Keeps traces, unless nobody wants them or they have another place to go to.
async fn open_traces(plan: &Plan, ports: &mut Ports) -> Result<Option<Door>> {
    if plan.untraced || std::env::var_os("OTLP_ENDPOINT").is_some() {
        return Ok(None);
    }
    Ok(Some(Door::open(ports.port("traces")?, Limits::default()).await?))
}

/// Ends what an earlier run has left, and takes its place.
async fn take_over(home: &Home, claim: &Claim) -> Result<()> {
    claim.clean_up().await?;
    claim.sign()?;
    set_aside_logs(&home.logs()?)
}

/// Renames the logs of the last time; `up` begins with empty ones.
fn set_aside_logs(logs: &Path) -> Result<()> {
    for entry in fs::read_dir(logs)?.flatten() {
        let path = entry.path();
        let is_log = path.extension().is_some_and(|extension| extension == "log");
        if is_log && !path.ends_with("supervisor.log") {
            fs::rename(&path, path.with_extension("log.old"))?;
        }
    }
    Ok(())
}
