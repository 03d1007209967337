//! Who this program is to the services, and its channels to them.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use mesh_local::NAMESPACE;
use mesh_rpc::discovery::Endpoints;
use mesh_rpc::peer::token::ServiceKey;
use mesh_rpc::tls::{Credentials, TlsFiles};
use mesh_rpc::{Channel, Identity};
use serde::{Deserialize, Serialize};

/// The name that this program calls under.
pub const NAME: &str = "meshctl";

/// What this program shows to the services: files that `up` makes, readable by their owner only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Caller {
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
}

impl Caller {
    /// Whether it has a certificate: then so do the services.
    pub fn is_certified(&self) -> bool {
        matches!(self, Caller::Certificate { .. })
    }

    /// Reads the files. Certificates are read again when they change. Must be called inside a tokio
    /// runtime.
    pub fn identity(&self) -> Result<Identity> {
        Ok(match self {
            Caller::Nobody => Identity::default(),
            Caller::Key(path) => {
                ServiceKey::read(format!("{NAMESPACE}/{NAME}").parse()?, path)?.into()
            }
            Caller::Certificate { certificate, key, ca } => Credentials::follow(TlsFiles {
                certificate: certificate.clone(),
                key: key.clone(),
                trust: ca.clone(),
            })?
            .into(),
        })
    }
}

/// A channel to the replicas of a service; it connects by itself.
pub fn channel(identity: &Identity, service: &str, replicas: &[SocketAddr]) -> Result<Channel> {
    anyhow::ensure!(!replicas.is_empty(), "`{service}` has no endpoints");
    let channel = Channel::builder(NAME, service).identity(identity)?;
    Ok(channel.follow(&Endpoints::fixed(replicas)))
}
