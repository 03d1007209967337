//! PostgreSQL and the broker, with what services find there.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use mesh_local::{
    Declaration, Durability, Home, Nats, Ports, Postgres, Progress, Servers, Signal, Supervised,
    broker_users, derived_password, ensure_database, ensure_streams,
};
use meshctl::caller;

use super::identity::Identities;

const STARTING: Duration = Duration::from_secs(60);

/// What keeps the services' state, and runs.
pub(super) struct Stores {
    pub postgres: Postgres,
    pub postgres_process: Supervised,
    pub nats: Nats,
    pub nats_process: Supervised,
    /// The URL of every service's database.
    pub databases: BTreeMap<String, String>,
    /// The URL of the broker for every service that is a user of it.
    pub brokers: BTreeMap<String, String>,
}

impl Stores {
    /// Starts both, and makes databases, roles, streams and buckets.
    pub(super) async fn start(
        home: &Home,
        ports: &mut Ports,
        declarations: &[Declaration],
        identities: &mut Identities,
        progress: &mut Progress,
    ) -> Result<Stores> {
        let servers = Servers::find(home, progress).await?;
        progress.step("starting PostgreSQL");
        let (postgres, postgres_process) =
            start_postgres(home, &servers, ports.port("postgres")?, identities).await?;
        progress.step("starting nats-server");
        let port = ports.port("nats")?;
        let (nats, nats_process) =
            start_nats(home, &servers, port, declarations, identities).await?;
        let databases = databases(&postgres, declarations).await?;
        let brokers = brokers(&nats, declarations);
        Ok(Stores { postgres, postgres_process, nats, nats_process, databases, brokers })
    }
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

/// The broker's URL for every service that is a user of it.
fn brokers(nats: &Nats, declarations: &[Declaration]) -> BTreeMap<String, String> {
    let users = declarations.iter().filter(|it| it.uses_broker()).map(|it| it.service.clone());
    users.map(|service| (service.clone(), nats.url(&service))).collect()
}
