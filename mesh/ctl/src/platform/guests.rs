//! Processes that join a running shop behind sidecars, and leave it again: versions of services that are
//! to take over. The supervisor keeps them running as it does all others.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mesh_local::{Declaration, Home, Ports, ProcessSpec, Supervised, http, tail};
use mesh_rpc::discovery::Endpoints;
use mesh_rpc::{Channel, timeout_request};
use meshctl::caller;
use tokio::sync::mpsc;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::report::tell;
use super::running::STOPPING;
use super::sidecars::Mesh;
use super::specs::{Place, calls, told};
use super::stand_in::Member;
use crate::services;

/// A program that ends so often before it was ready ends by itself.
const STARTS: u64 = 3;
/// How long an answer to whether it serves may take.
const ANSWER: Duration = Duration::from_secs(3);

/// Those that have joined, and how others can.
#[derive(Debug)]
pub(super) struct Guests {
    home: Home,
    mesh: Arc<Mesh>,
    /// Of each service: how its first process is run, how many there are, and whom they call.
    services: BTreeMap<String, Known>,
    inside: Mutex<Vec<Guest>>,
    /// Told when somebody has joined, left, or was started again.
    changed: mpsc::Sender<()>,
    /// One joins or leaves at a time.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Known {
    first: ProcessSpec,
    processes: u32,
    calls: Vec<String>,
}

/// One that has joined.
#[derive(Clone, Debug)]
pub(super) struct Guest {
    pub slot: usize,
    pub place: Place,
    pub member: Member,
    pub process: Supervised,
    pub sidecar: Supervised,
    /// Where its Envoy says how it is.
    pub admin: SocketAddr,
}

impl Guests {
    pub(super) fn new(
        home: &Home,
        mesh: Arc<Mesh>,
        processes: &[Supervised],
        declarations: &[Declaration],
        changed: mpsc::Sender<()>,
    ) -> Guests {
        let mut services: BTreeMap<String, Known> = BTreeMap::new();
        for process in processes {
            let spec = process.spec();
            let known = services.entry(spec.name.clone()).or_insert_with(|| Known {
                first: spec.clone(),
                processes: 0,
                calls: calls(declarations, &spec.name),
            });
            known.processes += 1;
        }
        let (inside, turn) = (Mutex::default(), tokio::sync::Mutex::default());
        Guests { home: home.clone(), mesh, services, inside, changed, turn }
    }

    /// Those that are here now.
    pub(super) fn inside(&self) -> Vec<Guest> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts a program as one process more of a service, of another version. It takes no calls before
    /// routes lead there; nothing is applied before it is well.
    ///
    /// # Errors
    /// There is one of that version, or it is not well in time: then nothing of it is left.
    pub(super) async fn join(
        &self,
        service: &str,
        version: &str,
        program: &Path,
        patience: Duration,
    ) -> Result<()> {
        let _turn = self.turn.lock().await;
        services::check_version(version)?;
        let inside = self.inside();
        let is_here = |it: &Guest| it.place.service == service && it.member.version() == version;
        ensure!(
            !self.mesh.has(service, version) && !inside.iter().any(is_here),
            "a process of {service} is {version} already"
        );
        let slot = (0..).find(|slot| inside.iter().all(|it| it.slot != *slot)).unwrap_or_default();
        let place = self.place(service, version, &inside)?;
        let member = self.mesh.guest(slot, &place)?;
        let process = Supervised::start(self.spec(&place, &member, program)?);
        let admitted = async {
            is_well(&place, &process, patience).await?;
            self.mesh.admit(&self.home, &member).await
        };
        let (sidecar, admin) = match admitted.await {
            Ok(admitted) => admitted,
            Err(error) => {
                process.stop(STOPPING).await;
                return Err(error);
            }
        };
        for process in [&process, &sidecar] {
            tell(process, &self.changed);
        }
        let guest = Guest { slot, place, member, process, sidecar, admin };
        self.change(|inside| inside.push(guest)).await;
        Ok(())
    }

    /// Drains and ends the process of a version that has joined; nothing if there is none.
    ///
    /// # Errors
    /// What stood in for it cannot be taken back.
    pub(super) async fn leave(&self, service: &str, version: &str) -> Result<()> {
        let _turn = self.turn.lock().await;
        let is_it = |it: &Guest| it.place.service == service && it.member.version() == version;
        let Some(guest) = self.inside().into_iter().find(is_it) else { return Ok(()) };
        guest.process.stop(STOPPING).await;
        self.mesh.dismiss(&guest.member, &guest.sidecar).await?;
        self.change(|inside| inside.retain(|it| it.slot != guest.slot)).await;
        Ok(())
    }

    /// Ends all of them, with the shop. Who is about to join ends with the supervisor.
    pub(super) async fn end(&self) {
        let inside = self.inside();
        let all = inside.iter().map(|guest| guest.process.stop(STOPPING));
        futures::future::join_all(all).await;
        let all = inside.iter().map(|guest| guest.sidecar.stop(STOPPING));
        futures::future::join_all(all).await;
    }

    async fn change(&self, change: impl FnOnce(&mut Vec<Guest>)) {
        change(&mut self.inside.lock().unwrap_or_else(PoisonError::into_inner));
        // Whoever keeps `state.json` true may have ended, with the shop.
        let _ = self.changed.send(()).await;
    }

    fn place(&self, service: &str, version: &str, inside: &[Guest]) -> Result<Place> {
        let mut ports = Ports::open(&self.home.path("ports.json"));
        let taken = |number: &u32| {
            inside.iter().any(|it| it.place.service == service && it.place.replica == *number)
        };
        let first = self.known(service)?.processes;
        let replica = (first..).find(|number| !taken(number)).unwrap_or(first);
        Place::of(&mut ports, service, replica, Some(version.to_owned()))
    }

    /// As its service's first process is run, but for what is its own.
    fn spec(&self, place: &Place, member: &Member, program: &Path) -> Result<ProcessSpec> {
        let known = self.known(&place.service)?;
        let mut env = known.first.env.clone();
        let own = [("LISTEN_ADDR", place.grpc), ("ADMIN_ADDR", place.admin)];
        told(&mut env, own.map(|(name, address)| (name, address.to_string())).to_vec());
        told(&mut env, self.mesh.settings(member, &known.calls));
        let file = |folder: PathBuf, kind: &str| {
            folder.join(format!("{}.{}.{kind}", place.service, place.replica))
        };
        Ok(ProcessSpec {
            replica: place.replica,
            program: program.to_owned(),
            args: Vec::new(),
            env,
            directory: None,
            log: file(self.home.logs()?, "log"),
            pid_file: Some(file(self.home.run()?, "pid")),
            ..known.first.clone()
        })
    }

    fn known(&self, service: &str) -> Result<&Known> {
        self.services.get(service).with_context(|| format!("no process of {service} runs"))
    }
}

/// Waits until a process is ready, and answers where it is called.
async fn is_well(place: &Place, process: &Supervised, patience: Duration) -> Result<()> {
    let begun = Instant::now();
    loop {
        let ready = http::is_ok(place.admin, "/readyz").await;
        if ready && (services::speaks_http(&place.service) || serves(place).await) {
            return Ok(());
        }
        let spec = process.spec();
        let ends = process.status().starts > STARTS;
        if ends || begun.elapsed() > patience {
            let what = match (ends, ready) {
                (true, _) => "ends by itself".to_owned(),
                (_, true) => format!("does not serve where LISTEN_ADDR says, at {}", place.grpc),
                _ => format!("is not well after {} s", patience.as_secs()),
            };
            let (program, log) = (spec.program.display(), spec.log.display());
            bail!("{program} {what}; {log} ends with\n{}", tail(&spec.log, 10));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn serves(place: &Place) -> bool {
    let channel = Channel::builder(caller::NAME, &place.service);
    let channel = channel.follow(&Endpoints::fixed(&[place.grpc]));
    let request = HealthCheckRequest { service: "readiness".to_owned() };
    let answer = HealthClient::new(channel).check(timeout_request(request, ANSWER)).await;
    answer.is_ok_and(|it| it.into_inner().status() == ServingStatus::Serving)
}
