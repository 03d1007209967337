//! Who this process is: to the services that it calls, and to those that call it.
//!
//! One [`Identity`] is made when a service begins, and given to its [`Server`](crate::Server) and to
//! its channels. What it consists of decides what connections are:
//!
//! | made of | connections | who calls is said by |
//! |---|---|---|
//! | a certificate | mutual TLS; the files are followed, so it rotates | the certificate |
//! | a signing key | plaintext on loopback | a token, valid for a minute, for one target |
//! | a sidecar | plaintext to the sidecar, which makes them mutual TLS | the sidecar's header |
//! | nothing | plaintext | nobody |
//!
//! For somebody else's client, on this crate's [`Balancer`](crate::balance::Balancer):
//!
//! ```no_run
//! use http::HeaderMap;
//! use mesh_policy::values;
//! use mesh_rpc::{
//!     Identity,
//!     balance::Balancer,
//!     tls::{Credentials, TlsFiles},
//! };
//!
//! fn orders(files: TlsFiles) -> anyhow::Result<Balancer> {
//!     let identity = Identity::from(Credentials::follow(files)?);
//!     let addresses = vec!["127.0.0.1:7001".parse()?];
//!     let connect = identity.connect("orders")?;
//!     // Before each attempt; with a certificate there is nothing to add.
//!     identity.attach("orders", &mut HeaderMap::new());
//!     Ok(Balancer::new("orders", addresses, values::Target::default(), connect))
//! }
//! ```

mod accept;
mod connect;
mod keyring;

use std::{fmt, net::IpAddr, sync::Arc};

use http::HeaderMap;
use mesh_runtime::{ConfigError, Service, ServiceConfig};

use crate::{
    balance::{Connect, Tcp},
    peer::{
        Authenticator, Mode, SpiffeId,
        token::{ServiceKey, Verifier},
    },
    tls::{Credentials, TlsFiles},
};
pub(crate) use accept::Secure as SecureAcceptor;
use keyring::Keyring;

/// Who this process is. Cheap to clone; clones change together when a certificate is replaced.
///
/// The default is nobody: calls are in plaintext, and say nothing of their caller.
#[derive(Clone, Default)]
pub struct Identity {
    evidence: Evidence,
}

#[derive(Clone, Default)]
enum Evidence {
    #[default]
    Nothing,
    Certificate(Credentials),
    Key(Arc<Keyring>),
    Sidecar {
        id: SpiffeId,
        address: IpAddr,
    },
}

impl Identity {
    /// The identity that a service is configured with: `TLS_CERT`, `TLS_KEY` and `TLS_CA`, else
    /// `SERVICE_KEY` and `SERVICE_KEYS`, else `SIDECAR_ADDR` and `SPIFFE_ID`, else none.
    ///
    /// Must be called inside a tokio runtime: certificates are read again when they change, for as
    /// long as a clone lives.
    ///
    /// # Errors
    /// A [`ConfigError`] if only a part of one is set, if files cannot be used now, or if they are
    /// another service's.
    pub fn of_service(service: &Service, config: &ServiceConfig) -> anyhow::Result<Self> {
        Ok(Self::configured(service.name(), config)?)
    }

    fn configured(service: &str, config: &ServiceConfig) -> Result<Self, ConfigError> {
        if let Some(files) = TlsFiles::configured(config)? {
            let credentials = Credentials::follow(files).map_err(|error| wrong("TLS", &error))?;
            let id = credentials.id();
            if id.service() != service {
                return Err(ConfigError(format!(
                    "TLS_CERT is that of {id}, and nobody who calls `{service}` would accept it"
                )));
            }
            return Ok(Self::from(credentials));
        }
        match (&config.service_key, &config.service_keys) {
            (None, None) => Self::beside_sidecar(service, config),
            (Some(own), Some(all)) => {
                let key = ServiceKey::named(service, own, all);
                let key = key.map_err(|error| wrong("SERVICE_KEY", &error))?;
                let verifier = Verifier::read(key.id().clone(), all);
                let verifier = verifier.map_err(|error| wrong("SERVICE_KEYS", &error))?;
                let verifier = verifier.believing(&config.service_tokens_from);
                Ok(Self::from(key).with_verifier(verifier))
            }
            _ => Err(ConfigError(
                "SERVICE_KEY and SERVICE_KEYS go together: set both, or neither for calls that do \
                 not say who makes them"
                    .to_owned(),
            )),
        }
    }

    fn beside_sidecar(service: &str, config: &ServiceConfig) -> Result<Self, ConfigError> {
        let (address, id) = match (config.sidecar_addr, &config.spiffe_id) {
            (None, None) => return Ok(Self::default()),
            (Some(address), Some(id)) => (address, id),
            _ => {
                return Err(ConfigError(
                    "SIDECAR_ADDR and SPIFFE_ID go together: set both, or neither where there is \
                     no sidecar"
                        .to_owned(),
                ));
            }
        };
        let id: SpiffeId = id.parse().map_err(|error| wrong("SPIFFE_ID", &error))?;
        if id.service() != service {
            let error = format!("SPIFFE_ID is {id}, and nobody who calls `{service}` means that");
            return Err(ConfigError(error));
        }
        Ok(Self { evidence: Evidence::Sidecar { id, address } })
    }

    /// Believes the tokens that `verifier` does in calls to a server of this identity. Only an
    /// identity that is a signing key has a use for it.
    #[must_use]
    pub fn with_verifier(self, verifier: Verifier) -> Self {
        match self.evidence {
            Evidence::Key(keyring) => {
                let keyring = Keyring::new(keyring.key().clone(), Some(verifier));
                Self { evidence: Evidence::Key(Arc::new(keyring)) }
            }
            evidence => Self { evidence },
        }
    }

    /// Who it is; none if it is nobody.
    pub fn id(&self) -> Option<SpiffeId> {
        match &self.evidence {
            Evidence::Nothing => None,
            Evidence::Certificate(credentials) => Some(credentials.id()),
            Evidence::Key(keyring) => Some(keyring.key().id().clone()),
            Evidence::Sidecar { id, .. } => Some(id.clone()),
        }
    }

    /// How connections to the service `target` are made: by mutual TLS with nobody but `target` if
    /// there is a certificate, else in plaintext.
    ///
    /// # Errors
    /// If the name cannot be part of an id.
    pub fn connect(&self, target: &str) -> anyhow::Result<Box<dyn Connect>> {
        match &self.evidence {
            Evidence::Nothing | Evidence::Sidecar { .. } => Ok(Box::new(Tcp)),
            Evidence::Certificate(credentials) => {
                Ok(Box::new(connect::Secure::new(credentials.client(), target)?))
            }
            Evidence::Key(keyring) => {
                keyring.learn(target)?;
                Ok(Box::new(Tcp))
            }
        }
    }

    /// Adds to the headers of one attempt of a call to `target` what says who makes it, in place of
    /// anything that is there: a token that is good for a minute, or nothing where the connection
    /// says it.
    ///
    /// Costs a look-up and two locks that are not held for long, and every 30 s a signature.
    pub fn attach(&self, target: &str, headers: &mut HeaderMap) {
        if let Evidence::Key(keyring) = &self.evidence {
            keyring.attach(target, headers);
        }
    }

    /// Who decides who calls a server of this identity; nobody does if it is nobody.
    pub(crate) fn authenticator(&self, service: &'static str) -> Option<Authenticator> {
        let namespace = self.id()?.namespace();
        match &self.evidence {
            Evidence::Nothing => None,
            Evidence::Certificate(_) => {
                Some(Authenticator::new(service, namespace, Mode::Required))
            }
            Evidence::Sidecar { address, .. } => {
                let authenticator = Authenticator::new(service, namespace, Mode::Required);
                Some(authenticator.behind_sidecar(*address))
            }
            Evidence::Key(keyring) => {
                let authenticator = Authenticator::new(service, namespace, Mode::Local);
                Some(match keyring.verifier() {
                    Some(verifier) => authenticator.with_tokens(verifier),
                    None => authenticator,
                })
            }
        }
    }

    /// What makes connections of a server of this identity secure, if they are.
    pub(crate) fn acceptor(&self, service: &'static str) -> Option<SecureAcceptor> {
        match &self.evidence {
            Evidence::Certificate(credentials) => {
                Some(SecureAcceptor::new(credentials.server(service)))
            }
            Evidence::Nothing | Evidence::Key(_) | Evidence::Sidecar { .. } => None,
        }
    }
}

impl From<Credentials> for Identity {
    fn from(credentials: Credentials) -> Self {
        Self { evidence: Evidence::Certificate(credentials) }
    }
}

impl From<ServiceKey> for Identity {
    /// One that signs its calls, and as a server believes no tokens before it has a
    /// [verifier](Identity::with_verifier).
    fn from(key: ServiceKey) -> Self {
        Self { evidence: Evidence::Key(Arc::new(Keyring::new(key, None))) }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = match &self.evidence {
            Evidence::Nothing => "nothing",
            Evidence::Certificate(_) => "certificate",
            Evidence::Key(_) => "key",
            Evidence::Sidecar { .. } => "sidecar",
        };
        f.debug_struct("Identity").field("id", &self.id()).field("by", &by).finish()
    }
}

fn wrong(setting: &str, why: &dyn fmt::Display) -> ConfigError {
    ConfigError(format!("{setting}: {why}"))
}

#[cfg(test)]
mod tests;
