//! Who this program is to the services, and its channels to them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use mesh_local::NAMESPACE;
use mesh_rpc::discovery::Endpoints;
use mesh_rpc::peer::token::ServiceKey;
use mesh_rpc::tls::{Credentials, TlsFiles};
use mesh_rpc::{Channel, Identity};
use serde::{Deserialize, Serialize};
use tonic::Request;

use crate::generate::cluster::{GRPC, host};
use crate::users::{Terms, Users, Who};

/// The name that this program calls under.
pub const NAME: &str = "meshctl";

/// Who this program is to the services: what it shows as a program, and the key that it signs users'
/// tokens with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// What it shows.
    pub shows: Evidence,
    /// The private key for users' tokens; without it calls are nobody's.
    pub users: Option<PathBuf>,
    /// What those tokens say of who signs them.
    pub terms: Terms,
}

/// What this program shows to the services: files that `up` makes, readable by their owner only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// Nothing: services in plaintext know it as somebody on this machine.
    #[default]
    Nobody,
    /// The key that signs tokens for calls in plaintext.
    Key(PathBuf),
    /// A certificate; with `up --mtls` nobody calls without one.
    Certificate {
        /// The certificate.
        certificate: PathBuf,
        /// Its private key.
        key: PathBuf,
        /// The certificate of the authority that the services are trusted by.
        ca: PathBuf,
    },
    /// Nothing by itself: its sidecar, which takes its calls in here, shows its certificate.
    Sidecar(SocketAddr),
}

impl Caller {
    /// Reads the files. Certificates are read again when they change. Must be called inside a tokio
    /// runtime.
    pub fn channels(&self) -> Result<Channels> {
        let users = self.users.as_deref().map(|key| Users::read(key, &self.terms)).transpose()?;
        let sidecar = match self.shows {
            Evidence::Sidecar(sidecar) => Some(sidecar),
            _ => None,
        };
        Ok(Channels { identity: self.shows.identity()?, users: users.map(Arc::new), sidecar })
    }
}

impl Evidence {
    /// Whether it is a certificate: then the services have some, too.
    pub fn is_certified(&self) -> bool {
        matches!(self, Evidence::Certificate { .. })
    }

    /// Whether a sidecar shows one: then the services have some before them, too.
    pub fn is_behind_sidecar(&self) -> bool {
        matches!(self, Evidence::Sidecar(_))
    }

    fn identity(&self) -> Result<Identity> {
        Ok(match self {
            Evidence::Nobody | Evidence::Sidecar(_) => Identity::default(),
            Evidence::Key(path) => {
                ServiceKey::read(format!("{NAMESPACE}/{NAME}").parse()?, path)?.into()
            }
            Evidence::Certificate { certificate, key, ca } => Credentials::follow(TlsFiles {
                certificate: certificate.clone(),
                key: key.clone(),
                trust: ca.clone(),
            })?
            .into(),
        })
    }
}

/// Channels to the services; cheap to clone.
#[derive(Clone, Debug)]
pub struct Channels {
    identity: Identity,
    users: Option<Arc<Users>>,
    sidecar: Option<SocketAddr>,
}

impl Channels {
    /// A channel to the replicas of a service, which connects by itself. Its calls are the
    /// administrator's, but those that are made [as somebody else](Channels::as_customer).
    pub fn to(&self, service: &str, replicas: &[SocketAddr]) -> Result<Channel> {
        anyhow::ensure!(!replicas.is_empty(), "`{service}` has no endpoints");
        let mut channel = Channel::builder(NAME, service).identity(&self.identity)?;
        if let Some(users) = self.users.clone() {
            channel = channel.user(move || users.header(Who::Administrator).ok());
        }
        Ok(channel.follow(&self.endpoints(service, replicas)?))
    }

    /// A channel to a door that anybody may knock at: it shows nothing.
    pub fn to_door(&self, service: &str, replicas: &[SocketAddr]) -> Result<Channel> {
        anyhow::ensure!(!replicas.is_empty(), "`{service}` has no endpoints");
        Ok(Channel::builder(NAME, service).follow(&self.endpoints(service, replicas)?))
    }

    fn endpoints(&self, service: &str, replicas: &[SocketAddr]) -> Result<Endpoints> {
        let Some(sidecar) = self.sidecar else { return Ok(Endpoints::fixed(replicas)) };
        // It knows the replicas, and routes by the name.
        let place = format!("mesh:{}:{GRPC}@{sidecar}", host(service));
        Ok(Endpoints::follow(&place.parse()?))
    }

    /// Makes a call a customer's; nobody's if no tokens can be signed.
    pub fn as_customer<T>(&self, customer: &str, mut request: Request<T>) -> Request<T> {
        let token = self.users.as_ref().zip(customer.parse().ok());
        let token = token.and_then(|(users, id)| users.header(Who::Customer(id)).ok());
        if let Some(token) = token.as_ref().and_then(|it| it.to_str().ok()?.parse().ok()) {
            request.metadata_mut().insert("authorization", token);
        }
        request
    }
}
