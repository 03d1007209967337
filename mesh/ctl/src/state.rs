//! `.mesh/state.json`: what runs now, for this program and for anybody's scripts.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use mesh_local::{Home, replace};
use meshctl::caller::{Caller, Evidence};
use meshctl::users::Terms;
use serde::{Deserialize, Serialize};

use crate::output;

/// The version of the file's format.
pub const VERSION: u32 = 1;
const FILE: &str = "state.json";

/// What runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// [`VERSION`].
    pub version: u32,
    /// The processes of every service.
    pub services: BTreeMap<String, Vec<Instance>>,
    /// The broker.
    pub nats: Server,
    /// The database server; the URL is the superuser's.
    pub postgres: Server,
    /// What `up --observe` has started; none otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<Server>,
    /// What this program shows to the services, and a script may.
    #[serde(default)]
    pub caller: Evidence,
    /// The private key with which users' tokens are signed, readable by its owner only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<PathBuf>,
    /// What those tokens say of who signs them and for whom, if it is not what services say by default.
    #[serde(default, skip_serializing_if = "Terms::are_usual")]
    pub terms: Terms,
    /// Where the Envoy of this program's own sidecar says how it is, with `up --istio`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<SocketAddr>,
    /// Who keeps the traces of everything that runs, unless they go elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traces: Option<TraceDoor>,
}

/// The supervisor's own trace buffer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceDoor {
    /// Where it takes spans in by OTLP, and answers questions about them.
    pub address: SocketAddr,
}

/// One process of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Where it answers gRPC.
    pub grpc: SocketAddr,
    /// Where it answers HTTP; none if it speaks nothing but gRPC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<SocketAddr>,
    /// Its admin port.
    pub admin: SocketAddr,
    /// The process itself.
    pub pid: u32,
    /// Its sidecar, with `up --istio`; what calls it comes to where that takes calls in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecar: Option<Sidecar>,
    /// Its database, as its own role; empty if it has none.
    pub database_url: String,
}

/// A process' sidecar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sidecar {
    /// Where others call the process, by mutual TLS.
    pub called: SocketAddr,
    /// Where the process makes its own calls.
    pub calls: SocketAddr,
    /// Where Envoy says how it is.
    pub admin: SocketAddr,
    /// The version of the service that the process is.
    pub version: String,
    /// The sidecar itself.
    pub pid: u32,
}

/// A server that services use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Where it is, with credentials.
    pub url: String,
    /// The process.
    pub pid: u32,
}

impl State {
    /// What runs; an error that says what to do if nothing does.
    pub fn load(home: &Home) -> Result<State> {
        match State::find(home)? {
            Some(state) => Ok(state),
            None => bail!(
                "nothing is up here ({} is missing): run `{} up --detach`",
                home.path(FILE).display(),
                output::program()
            ),
        }
    }

    /// What runs, if anything does.
    pub fn find(home: &Home) -> Result<Option<State>> {
        let path = home.path(FILE);
        match fs::read_to_string(&path) {
            Ok(text) => {
                let state = serde_json::from_str(&text);
                state.map(Some).with_context(|| format!("{} is damaged", path.display()))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Replaces the file; a reader sees the old one or the new one.
    pub fn save(&self, home: &Home) -> Result<()> {
        let path = home.path(FILE);
        let text = serde_json::to_string_pretty(self)?;
        replace(&path, &text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Says that nothing runs.
    pub fn remove(home: &Home) -> Result<()> {
        match fs::remove_file(home.path(FILE)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Who this program is to the services.
    pub fn caller(&self) -> Caller {
        let (shows, users) = (self.caller.clone(), self.users.clone());
        Caller { shows, users, terms: self.terms.clone() }
    }

    /// Every process with its service's name and its number.
    pub fn instances(&self) -> impl Iterator<Item = (&str, usize, &Instance)> {
        self.services.iter().flat_map(|(name, instances)| {
            instances.iter().enumerate().map(move |(number, instance)| (&**name, number, instance))
        })
    }

    /// Where the first process of a service answers gRPC.
    pub fn grpc(&self, service: &str) -> Result<SocketAddr> {
        let first = self.services.get(service).and_then(|instances| instances.first());
        Ok(first
            .with_context(|| {
                format!("{service} is not up: `{} status` says what is", output::program())
            })?
            .grpc)
    }
}
