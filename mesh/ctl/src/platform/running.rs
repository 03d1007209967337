//! Starts everything, keeps `state.json` true, and ends everything in order.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use mesh_local::{
    Declaration, Durability, Home, Nats, Ports, Postgres, Progress, Secret, Servers, Signal,
    Supervised, broker_users, derived_password, ensure_database, ensure_streams, leaves_first,
};
use meshctl::caller::{self, Evidence};
use meshctl::traces::{Door, Limits};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::identity::Identities;
use super::observe;
use super::specs::{Place, SHARED, Surroundings, places, specs};
use super::{Claim, Plan};
use crate::services;
use crate::state::{Instance, Server, State, TraceDoor, VERSION};

const STARTING: Duration = Duration::from_secs(60);
/// More than a service's own time for draining: 5 s, and its background tasks.
const STOPPING: Duration = Duration::from_secs(20);

/// Everything that runs, and who keeps it running: this process.
#[derive(Debug)]
pub struct Running {
    home: Home,
    postgres: Supervised,
    nats: Supervised,
    /// Callees before their callers.
    services: Vec<Supervised>,
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
        claim.clean_up().await?;
        claim.sign()?;
        set_aside_logs(&home.logs()?)?;
        let declarations = services::declarations()?;
        let servers = Servers::find(home, progress).await?;
        let mut ports = Ports::open(&home.path("ports.json"));
        let mut identities = Identities::make(home, &services::names()?, plan.mtls)?;

        progress.step("starting PostgreSQL");
        let (postgres, postgres_process) =
            start_postgres(home, &servers, ports.port("postgres")?, &mut identities).await?;
        progress.step("starting nats-server");
        let at = ports.port("nats")?;
        let (nats, nats_process) =
            start_nats(home, &servers, at, &declarations, &mut identities).await?;
        let databases = databases(&postgres, &declarations).await?;

        progress.step("starting services");
        let places = places(&mut ports, plan, &leaves_first(&declarations))?;
        let traces = open_traces(plan, &mut ports).await?;
        let around = Surroundings {
            home,
            plan,
            brokers: brokers(&nats, &declarations),
            postgres: &postgres,
            databases,
            identities: &identities,
            secrets: secrets(&declarations),
            traces: traces.as_ref().map(Door::endpoint),
        };
        let services: Vec<_> =
            specs(&around, &places)?.into_iter().map(Supervised::start).collect();
        let observer = observe::start(home, plan, &mut ports, &places, progress).await?;
        let (observed_at, prometheus) = observer.unzip();
        let stores = [&postgres_process, &nats_process];
        let watched = all_started(stores, &services, prometheus.as_ref()).await;
        let report = Report {
            home: home.clone(),
            watched,
            places,
            around: around.databases,
            prometheus: observed_at,
            caller: identities.caller(),
            users: identities.users().private(),
            traces: traces.as_ref().map(|door| TraceDoor { address: door.address() }),
        };
        let state = report.state(&postgres.url(), &nats.url(caller::NAME));
        state.save(home)?;
        let reporter = tokio::spawn(report.keep_true(state.clone()));
        Ok(Running {
            home: home.clone(),
            postgres: postgres_process,
            nats: nats_process,
            services,
            prometheus,
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
        for service in self.services.iter().rev() {
            progress.step(format!("draining {}", service.spec().name));
            service.stop(STOPPING).await;
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

/// The servers, the services, and Prometheus at the end, once each was started.
async fn all_started(
    servers: [&Supervised; 2],
    services: &[Supervised],
    prometheus: Option<&Supervised>,
) -> Vec<Supervised> {
    let all = servers.into_iter().chain(services).chain(prometheus);
    let watched: Vec<Supervised> = all.cloned().collect();
    for process in &watched {
        process.started(1).await;
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

async fn start_postgres(
    home: &Home,
    servers: &Servers,
    port: u16,
    identities: &mut Identities,
) -> Result<(Postgres, Supervised)> {
    let mut postgres =
        Postgres::prepare(home, "postgres", servers, port, Durability::Default).await?;
    if let Some(authority) = identities.authority() {
        postgres = postgres.with_tls(authority).await?;
    }
    let log = home.logs()?.join("postgres.0.log");
    let spec = postgres.spec(log.clone(), Some(home.run()?.join("postgres.pid")));
    let process = Supervised::start(spec);
    identities.keep(postgres.holder(), postgres.issued(), reload(&process));
    postgres.ready(STARTING, &log).await?;
    Ok((postgres, process))
}

/// Starts the broker, with the streams and buckets that services declare.
async fn start_nats(
    home: &Home,
    servers: &Servers,
    port: u16,
    declarations: &[Declaration],
    identities: &mut Identities,
) -> Result<(Nats, Supervised)> {
    let users = broker_users(declarations, caller::NAME);
    let mut nats = Nats::prepare(home, "nats", servers, port, users)?;
    if let Some(authority) = identities.authority() {
        nats = nats.with_tls(authority)?;
    }
    let log = home.logs()?.join("nats.0.log");
    let spec = nats.spec(log.clone(), Some(home.run()?.join("nats.pid")));
    let process = Supervised::start(spec);
    identities.keep(nats.holder(), nats.issued(), reload(&process));
    nats.ready(STARTING, &log).await?;
    ensure_streams(&nats.url(caller::NAME), declarations).await?;
    Ok((nats, process))
}

/// Makes a server read its certificate again.
fn reload(process: &Supervised) -> impl Fn() + Send + use<> {
    let process = process.clone();
    move || {
        process.signal(Signal::HUP);
    }
}

/// Makes the database and the role of every service that keeps state.
async fn databases(
    postgres: &Postgres,
    declarations: &[Declaration],
) -> Result<BTreeMap<String, String>> {
    let mut urls = BTreeMap::new();
    for declaration in declarations.iter().filter(|d| d.store.is_some()) {
        let service = &declaration.service;
        let password = derived_password(postgres.password(), service);
        let url = ensure_database(&postgres.url(), service, &password).await;
        let url = url.with_context(|| format!("cannot make the database of {service}"))?;
        urls.insert(service.clone(), url);
    }
    Ok(urls)
}

/// What services are to be given that nobody else may see.
fn secrets(declarations: &[Declaration]) -> BTreeMap<String, Vec<Secret>> {
    declarations.iter().map(|it| (it.service.clone(), it.secrets.clone())).collect()
}

/// The broker's URL for every service that is a user of it.
fn brokers(nats: &Nats, declarations: &[Declaration]) -> BTreeMap<String, String> {
    let users = declarations.iter().filter(|it| it.uses_broker()).map(|it| it.service.clone());
    users.map(|service| (service.clone(), nats.url(&service))).collect()
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

/// Writes the state anew whenever a process was started again.
struct Report {
    home: Home,
    /// PostgreSQL, the broker, the services, then Prometheus.
    watched: Vec<Supervised>,
    places: Vec<Place>,
    around: BTreeMap<String, String>,
    /// Where Prometheus answers, if it runs.
    prometheus: Option<String>,
    caller: Evidence,
    users: PathBuf,
    traces: Option<TraceDoor>,
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
            traces: self.traces.clone(),
        };
        for place in &self.places {
            let instance = Instance {
                grpc: place.grpc,
                http: services::speaks_http(&place.service).then_some(place.grpc),
                admin: place.admin,
                pid: self.process(place).and_then(Supervised::pid).unwrap_or_default(),
                database_url: self.around.get(&place.service).cloned().unwrap_or_default(),
            };
            state.services.entry(place.service.clone()).or_default().push(instance);
        }
        state
    }

    /// The process that a replica of a service runs in.
    fn process(&self, place: &Place) -> Option<&Supervised> {
        let own = self.watched.iter().skip(2).find(|process| {
            process.spec().name == place.service && process.spec().replica == place.replica
        });
        own.or_else(|| self.watched.iter().find(|process| process.spec().name == SHARED))
    }

    async fn keep_true(self, mut state: State) {
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
        }
    }
}
