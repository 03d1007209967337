//! A whole platform of service processes for one test.

mod options;
mod service;
mod start;

use std::net::SocketAddr;
use std::time::Duration;

use mesh_local::{Home, Secret, ServiceKeys, UserKeys, tail};

use crate::{Database, IsolatedNats, IsolatedPostgres};

pub use options::PlatformOptions;
pub use service::ServiceProcess;

/// How long a service may take to drain.
const DRAINING: Duration = Duration::from_secs(20);

/// Service processes as in production: own databases, a broker of their own, and a supervisor
/// that starts a dead process again after 100 ms. Everything ends with the value.
#[derive(Debug)]
pub struct Platform {
    /// Callees before their callers.
    services: Vec<ServiceProcess>,
    databases: Vec<(String, String)>,
    superuser: String,
    discovery: String,
    /// The services that are users of the broker.
    broker_users: Vec<String>,
    /// What a service needs that nobody else may see.
    secrets: Vec<(String, Secret)>,
    nats: IsolatedNats,
    postgres: Option<IsolatedPostgres>,
    home: Home,
    service_keys: ServiceKeys,
    user_keys: UserKeys,
    // Dropped last, after the processes that use them.
    _owned: Vec<Database>,
}

impl Platform {
    /// Builds the services if needed, starts everything and waits until all are ready and connected
    /// to each other, except where [`PlatformOptions::source`] says otherwise.
    ///
    /// # Panics
    /// If something does not start, with the end of its log.
    pub async fn start(options: PlatformOptions) -> Platform {
        match start::start(options).await {
            Ok(platform) => platform,
            Err(error) => panic!("the platform did not start: {error:?}"),
        }
    }

    /// The first replica of a service.
    pub fn service(&self, name: &str) -> &ServiceProcess {
        self.replica(name, 0)
    }

    /// One replica of a service, from 0.
    ///
    /// # Panics
    /// If the platform has no such replica.
    pub fn replica(&self, name: &str, replica: u32) -> &ServiceProcess {
        let found = self.replicas(name).find(|process| process.number() == replica);
        found.unwrap_or_else(|| panic!("this platform has no {name} {replica}"))
    }

    /// All replicas of a service, the first one first.
    pub fn replicas(&self, name: &str) -> impl Iterator<Item = &ServiceProcess> {
        self.services.iter().filter(move |process| process.name() == name)
    }

    /// All processes, callees before their callers.
    pub fn services(&self) -> &[ServiceProcess] {
        &self.services
    }

    /// Where the first replica of a service answers gRPC.
    pub fn grpc(&self, name: &str) -> SocketAddr {
        self.service(name).grpc()
    }

    /// The same as a URI, for a tonic endpoint.
    pub fn uri(&self, name: &str) -> String {
        format!("http://{}", self.grpc(name))
    }

    /// The keys with which services sign who they are, the operator's program (`meshctl`), and a
    /// `stranger` whom no service declares.
    pub fn service_keys(&self) -> &ServiceKeys {
        &self.service_keys
    }

    /// The key with which users' tokens are signed.
    pub fn user_keys(&self) -> &UserKeys {
        &self.user_keys
    }

    /// Every service's addresses, as the services themselves are given them (`DISCOVERY`).
    pub fn discovery(&self) -> &str {
        &self.discovery
    }

    /// The URL of a service's database, as its own role.
    ///
    /// # Panics
    /// If the service has none.
    pub fn database_url(&self, name: &str) -> &str {
        let mut databases = self.databases.iter();
        let found = databases.find(|(service, _)| service == name);
        found.map_or_else(|| panic!("{name} has no database"), |(_, url)| url)
    }

    /// The URL of a service's database, as superuser.
    pub fn superuser_url(&self, name: &str) -> String {
        let database = self.database_url(name).rsplit('/').next().unwrap_or_default();
        let server = self.superuser.rsplit_once('/').map_or("", |(server, _)| server);
        format!("{server}/{database}")
    }

    /// The platform's broker. Its users are those that `up` would make.
    pub fn nats(&self) -> &IsolatedNats {
        &self.nats
    }

    /// The broker's URL for the operator, who makes streams and reads all.
    pub fn operator_nats(&self) -> String {
        self.nats.url_of(start::OPERATOR)
    }

    /// The platform's own PostgreSQL server.
    ///
    /// # Panics
    /// If it was not asked for with [`PlatformOptions::isolated_postgres`].
    pub fn postgres(&self) -> &IsolatedPostgres {
        self.postgres.as_ref().expect("ask for it with PlatformOptions::isolated_postgres")
    }

    /// Waits until every process is ready.
    pub async fn ready(&self) {
        for service in &self.services {
            service.ready().await;
        }
    }

    /// Drains every service, callers before their callees.
    ///
    /// # Panics
    /// If one does not end in time, or not with exit code 0.
    pub async fn shutdown(self) {
        for service in self.services.iter().rev() {
            let process = service.process();
            process.stop(DRAINING).await;
            let end = process.status().last_end;
            assert_eq!(
                end.as_deref(),
                Some("exit status: 0"),
                "{} did not drain; its log ends with\n{}",
                service.name(),
                tail(&process.spec().log, 20)
            );
        }
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        for service in &self.services {
            service.process().abandon();
            if let Some(pid_file) = &service.process().spec().pid_file {
                let _ = std::fs::remove_file(pid_file);
            }
        }
        if std::thread::panicking() {
            for service in &self.services {
                let log = tail(&service.process().spec().log, 15);
                eprintln!("--- {} {}\n{log}", service.name(), service.number());
            }
        }
        let _ = self.home.remove();
    }
}
