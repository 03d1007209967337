//! Keeps `state.json` true.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use mesh_local::{Home, Supervised};
use meshctl::caller::Evidence;
use meshctl::users::Terms;
use tokio::sync::mpsc;

use super::sidecars::Mesh;
use super::specs::{Place, SHARED};
use crate::services;
use crate::state::{Instance, Server, Sidecar, State, TraceDoor, VERSION};

/// Writes the state anew whenever a process was started again.
pub(super) struct Report {
    pub home: Home,
    /// PostgreSQL, the broker, the services, their sidecars, then Prometheus.
    pub watched: Vec<Supervised>,
    pub places: Vec<Place>,
    pub mesh: Option<Mesh>,
    /// Where the sidecars say how they are, in the order of the places.
    pub admins: Vec<SocketAddr>,
    pub around: BTreeMap<String, String>,
    /// Where Prometheus answers, if it runs.
    pub prometheus: Option<String>,
    pub caller: Evidence,
    pub users: PathBuf,
    pub terms: Terms,
    pub traces: Option<TraceDoor>,
}

impl Report {
    pub(super) fn state(&self, postgres_url: &str, nats_url: &str) -> State {
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
            terms: self.terms.clone(),
            traces: self.traces.clone(),
        };
        for (number, place) in self.places.iter().enumerate() {
            let sidecar = self.sidecar(number);
            let http = sidecar.is_none() && services::speaks_http(&place.service);
            let instance = Instance {
                grpc: sidecar.as_ref().map_or(place.grpc, |it| it.called),
                http: http.then_some(place.grpc),
                admin: place.admin,
                pid: self.process(place).and_then(Supervised::pid).unwrap_or_default(),
                sidecar,
                database_url: self.around.get(&place.service).cloned().unwrap_or_default(),
            };
            state.services.entry(place.service.clone()).or_default().push(instance);
        }
        state
    }

    fn sidecar(&self, number: usize) -> Option<Sidecar> {
        let member = self.mesh.as_ref()?.member(number);
        let name = member.sidecar_process();
        let process = self.watched.iter().find(|process| process.spec().name == name);
        Some(Sidecar {
            called: member.called,
            calls: member.calls,
            admin: *self.admins.get(number)?,
            version: member.version().to_owned(),
            pid: process.and_then(Supervised::pid).unwrap_or_default(),
        })
    }

    /// The process that a replica of a service runs in.
    fn process(&self, place: &Place) -> Option<&Supervised> {
        let own = self.watched.iter().skip(2).find(|process| {
            process.spec().name == place.service && process.spec().replica == place.replica
        });
        own.or_else(|| self.watched.iter().find(|process| process.spec().name == SHARED))
    }

    pub(super) async fn keep_true(self, mut state: State) {
        let mut changes = self.follow();
        while changes.recv().await.is_some() {
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

    /// Tells of every start and end of a process, and says so on stderr.
    fn follow(&self) -> mpsc::Receiver<()> {
        let (changed, changes) = mpsc::channel(16);
        for process in &self.watched {
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
        changes
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
