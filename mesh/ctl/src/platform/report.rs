//! Keeps `state.json` true.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use mesh_local::{Home, Supervised};
use meshctl::caller::Evidence;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::guests::Guests;
use super::sidecars::Mesh;
use super::specs::{Place, SHARED};
use super::stand_in::Member;
use crate::services;
use crate::state::{Instance, Server, Sidecar, State, TraceDoor, VERSION};

/// By which it is told that something has changed.
pub(super) type Channel = (mpsc::Sender<()>, mpsc::Receiver<()>);

/// Writes the state anew whenever a process was started again.
pub(super) struct Report {
    pub home: Home,
    /// PostgreSQL, the broker, the services, their sidecars, then Prometheus.
    pub watched: Vec<Supervised>,
    pub places: Vec<Place>,
    pub mesh: Option<Arc<Mesh>>,
    /// Where the sidecars say how they are, in the order of the places; then the operator's.
    pub admins: Vec<SocketAddr>,
    /// Those that have joined since.
    pub guests: Option<Arc<Guests>>,
    pub around: BTreeMap<String, String>,
    /// Where Prometheus answers, if it runs.
    pub prometheus: Option<String>,
    pub caller: Evidence,
    pub users: PathBuf,
    pub traces: Option<TraceDoor>,
}

impl Report {
    fn state(&self, postgres_url: &str, nats_url: &str) -> State {
        let pid = |index: usize| self.watched[index].pid().unwrap_or_default();
        let mut state = State {
            version: VERSION,
            services: BTreeMap::new(),
            postgres: Server { url: postgres_url.to_owned(), pid: pid(0) },
            nats: Server { url: nats_url.to_owned(), pid: pid(1) },
            prometheus: self
                .prometheus
                .as_ref()
                .map(|url| Server { url: url.clone(), pid: pid(self.watched.len() - 1) }),
            caller: self.caller.clone(),
            users: Some(self.users.clone()),
            terms: self.mesh.as_deref().map(Mesh::terms).unwrap_or_default(),
            operator: self.admins.get(self.places.len()).copied(),
            traces: self.traces.clone(),
        };
        let mut put = |place: &Place, process: Option<&Supervised>, sidecar: Option<Sidecar>| {
            let instance = self.instance(place, process, sidecar);
            state.services.entry(place.service.clone()).or_default().push(instance);
        };
        for (number, place) in self.places.iter().enumerate() {
            put(place, self.process(place), self.sidecar(number));
        }
        for guest in self.guests.iter().flat_map(|guests| guests.inside()) {
            let sidecar = sidecar(&guest.member, guest.admin, Some(&guest.sidecar));
            put(&guest.place, Some(&guest.process), Some(sidecar));
        }
        state
    }

    fn instance(
        &self,
        place: &Place,
        process: Option<&Supervised>,
        sidecar: Option<Sidecar>,
    ) -> Instance {
        let http = sidecar.is_none() && services::speaks_http(&place.service);
        Instance {
            grpc: sidecar.as_ref().map_or(place.grpc, |it| it.called),
            http: http.then_some(place.grpc),
            admin: place.admin,
            pid: process.and_then(Supervised::pid).unwrap_or_default(),
            sidecar,
            database_url: self.around.get(&place.service).cloned().unwrap_or_default(),
        }
    }

    fn sidecar(&self, number: usize) -> Option<Sidecar> {
        let member = self.mesh.as_ref()?.member(number);
        let name = member.sidecar_process();
        let process = self.watched.iter().find(|process| process.spec().name == name);
        Some(sidecar(member, *self.admins.get(number)?, process))
    }

    /// The process that a replica of a service runs in.
    fn process(&self, place: &Place) -> Option<&Supervised> {
        let own = self.watched.iter().skip(2).find(|process| {
            process.spec().name == place.service && process.spec().replica == place.replica
        });
        own.or_else(|| self.watched.iter().find(|process| process.spec().name == SHARED))
    }

    /// Writes the state for the first time, and keeps it true from now on: whenever something is told by
    /// the channel, also by others.
    pub(super) fn begin(
        self,
        postgres_url: &str,
        nats_url: &str,
        (changed, changes): Channel,
    ) -> Result<(State, JoinHandle<()>)> {
        self.watched.iter().for_each(|process| tell(process, &changed));
        let state = self.state(postgres_url, nats_url);
        state.save(&self.home)?;
        let keeper = tokio::spawn(self.keep_true(state.clone(), changes));
        Ok((state, keeper))
    }

    /// Writes it whenever something has `changed`: a process was started again, somebody joined or left.
    async fn keep_true(self, mut state: State, mut changed: mpsc::Receiver<()>) {
        while changed.recv().await.is_some() {
            let mut next = self.state(&state.postgres.url, &state.nats.url);
            keep_last_pids(&mut next, &state);
            if next == state {
                continue;
            }
            match next.save(&self.home) {
                Ok(()) => state = next,
                Err(error) => eprintln!("{error:#}"),
            }
        }
    }
}

/// Tells of every start and end of a process from now on, and says so on stderr.
pub(super) fn tell(process: &Supervised, changed: &mpsc::Sender<()>) {
    let (changed, process) = (changed.clone(), process.clone());
    tokio::spawn(async move {
        let mut status = process.watch();
        while status.changed().await.is_ok() {
            let now = status.borrow_and_update().clone();
            if changed.is_closed() {
                // Everything is being ended.
                return;
            }
            let (name, replica) = (&process.spec().name, process.spec().replica);
            match (now.process, now.last_end) {
                (Some(running), _) => {
                    eprintln!("  {name} {replica} started again, pid {}", running.pid);
                }
                (None, Some(end)) => eprintln!("  {name} {replica} ended: {end}"),
                _ => {}
            }
            if changed.send(()).await.is_err() {
                return;
            }
        }
    });
}

fn sidecar(member: &Member, admin: SocketAddr, process: Option<&Supervised>) -> Sidecar {
    Sidecar {
        called: member.called,
        calls: member.calls,
        admin,
        version: member.version().to_owned(),
        pid: process.and_then(Supervised::pid).unwrap_or_default(),
    }
}

/// A process between two runs keeps its last id: 0 would mean something else to `kill`.
fn keep_last_pids(next: &mut State, last: &State) {
    let keep = |next: &mut u32, last: u32| {
        if *next == 0 {
            *next = last;
        }
    };
    keep(&mut next.postgres.pid, last.postgres.pid);
    keep(&mut next.nats.pid, last.nats.pid);
    if let (Some(next), Some(last)) = (&mut next.prometheus, &last.prometheus) {
        keep(&mut next.pid, last.pid);
    }
    for (name, instances) in &mut next.services {
        let before = last.services.get(name).into_iter().flatten();
        for (instance, before) in instances.iter_mut().zip(before) {
            keep(&mut instance.pid, before.pid);
            if let (Some(next), Some(last)) = (&mut instance.sidecar, &before.sidecar) {
                keep(&mut next.pid, last.pid);
            }
        }
    }
}
