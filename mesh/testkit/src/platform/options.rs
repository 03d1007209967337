//! What a test's platform consists of.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use super::ServiceProcess;

/// The services of a platform, and how they run.
#[derive(Clone, Debug, Default)]
pub struct PlatformOptions {
    pub(super) services: Vec<String>,
    pub(super) replicas: BTreeMap<String, u32>,
    pub(super) env: Vec<(Option<String>, String, String)>,
    /// Caller, target, source.
    pub(super) sources: Vec<(String, String, String)>,
    /// Service, and where it finds the broker.
    pub(super) brokers: Vec<(String, SocketAddr)>,
    /// Service or replica, and its program.
    pub(super) programs: Vec<(String, PathBuf)>,
    pub(super) isolated_postgres: bool,
    pub(super) open: bool,
    pub(super) patient_start: bool,
}

impl PlatformOptions {
    /// These services: one process each, databases on the shared PostgreSQL, a broker of their own.
    pub fn new(services: &[&str]) -> PlatformOptions {
        PlatformOptions {
            services: services.iter().map(ToString::to_string).collect(),
            patient_start: true,
            ..PlatformOptions::default()
        }
    }

    /// Several processes of a service.
    pub fn replicas(mut self, service: &str, count: u32) -> PlatformOptions {
        self.replicas.insert(service.to_owned(), count);
        self
    }

    /// Two processes of each service: one answers while the other is replaced.
    pub fn two_of_each(self) -> PlatformOptions {
        let services = self.services.clone();
        services.iter().fold(self, |options, service| options.replicas(service, 2))
    }

    /// An environment variable for one service, or for one replica of it: `orders.1`. It is set
    /// again at every restart: arm crash points with
    /// [`ServiceProcess::arm`](super::ServiceProcess::arm) instead.
    pub fn env(mut self, service: &str, name: &str, value: &str) -> PlatformOptions {
        self.env.push((Some(service.to_owned()), name.to_owned(), value.to_owned()));
        self
    }

    /// An environment variable for all services.
    pub fn env_of_all(mut self, name: &str, value: &str) -> PlatformOptions {
        self.env.push((None, name.to_owned(), value.to_owned()));
        self
    }

    /// Where one service, or one replica of it, finds another: a source as in `DISCOVERY`, such as
    /// `static:` and the address of a [`TcpProxy`](crate::TcpProxy), instead of all its replicas.
    pub fn source(mut self, caller: &str, target: &str, source: &str) -> PlatformOptions {
        self.sources.push((caller.to_owned(), target.to_owned(), source.to_owned()));
        self
    }

    /// Where one service finds the broker, as the user that it is: something that stands before it.
    pub fn broker(mut self, service: &str, address: SocketAddr) -> PlatformOptions {
        self.brokers.push((service.to_owned(), address));
        self
    }

    /// The program that a service, or one replica of it, runs instead of its own. It is looked for at every
    /// start: what a link leads to may change meanwhile.
    pub fn program(mut self, service: &str, path: &Path) -> PlatformOptions {
        self.programs.push((service.to_owned(), path.to_owned()));
        self
    }

    /// Whether it was said where this process finds `target`.
    pub(super) fn has_source(&self, process: &ServiceProcess, target: &str) -> bool {
        let replica = format!("{}.{}", process.name(), process.number());
        let calls = |caller: &str| caller == process.name() || caller == replica;
        self.sources.iter().any(|(caller, to, _)| calls(caller) && to == target)
    }

    /// A PostgreSQL server that the test may stop and kill.
    pub fn isolated_postgres(mut self) -> PlatformOptions {
        self.isolated_postgres = true;
        self
    }

    /// Services that are told of nobody, so that everybody may call everything: for a service's own
    /// tests, which are not about who may.
    pub fn open(mut self) -> PlatformOptions {
        self.open = true;
        self
    }

    /// Returns as soon as the processes are started, ready or not.
    pub fn without_waiting(mut self) -> PlatformOptions {
        self.patient_start = false;
        self
    }
}
