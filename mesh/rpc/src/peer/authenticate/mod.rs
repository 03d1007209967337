//! From evidence to a peer, or to a refusal.

use std::{
    net::IpAddr,
    sync::{Arc, LazyLock},
    time::SystemTime,
};

use http::{HeaderMap, HeaderName, HeaderValue, header::Entry};
use opentelemetry::{KeyValue, metrics::Counter};
use tonic::Status;

use super::{
    AuthenticateLayer, Connection, Namespace, Peer, Source, SpiffeId,
    refusal::Refusal,
    token::{HEADER, Verifier},
    xfcc,
};
use crate::{
    Fault as _,
    fault::{STACK, status},
    tls::{Presented, Session},
};

/// What everybody may ask: health and reflection.
const OPEN: [&str; 2] = ["grpc.health.v1.Health/", "grpc.reflection."];

static REFUSED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    mesh_runtime::metrics::meter()
        .u64_counter("mesh.auth.refused")
        .with_description("Calls refused because it is not known who makes them")
        .build()
});
static XFCC_IGNORED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    mesh_runtime::metrics::meter()
        .u64_counter("mesh.auth.xfcc.ignored")
        .with_description("x-forwarded-client-cert headers that did not come from the sidecar")
        .build()
});

/// Whether a call needs a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Every call does, but health and reflection.
    Required,
    /// A call from this machine may do without; evidence that it brings must be good all the same.
    Local,
    /// Every call may do without; evidence that it brings must be good all the same.
    Optional,
}

/// Decides who makes a call. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Authenticator {
    shared: Arc<Shared>,
}

#[derive(Clone, Debug)]
struct Shared {
    service: &'static str,
    namespace: Namespace,
    mode: Mode,
    sidecar: Option<IpAddr>,
    tokens: Option<Arc<Verifier>>,
}

impl Authenticator {
    /// Decides for the calls that reach `service`. Peers are of `namespace`.
    pub fn new(service: &'static str, namespace: Namespace, mode: Mode) -> Self {
        let shared = Shared { service, namespace, mode, sidecar: None, tokens: None };
        Self { shared: Arc::new(shared) }
    }

    /// Believes the `x-forwarded-client-cert` header of connections in plaintext from this address,
    /// and of no others. Istio's sidecar connects from `127.0.0.6`.
    #[must_use]
    pub fn behind_sidecar(mut self, address: IpAddr) -> Self {
        Arc::make_mut(&mut self.shared).sidecar = Some(address);
        self
    }

    /// Believes service tokens in plaintext on loopback, and from the networks that the verifier
    /// [believes](Verifier::believing).
    #[must_use]
    pub fn with_tokens(mut self, verifier: impl Into<Arc<Verifier>>) -> Self {
        Arc::make_mut(&mut self.shared).tokens = Some(verifier.into());
        self
    }

    /// The layer that does it for a tower service.
    pub fn layer(&self) -> AuthenticateLayer {
        AuthenticateLayer::new(self.clone())
    }

    /// Says who makes the call to `path` (`package.Service/Method`), and takes the evidence out of
    /// its headers: nothing after this can mistake it for its own, or send it on.
    ///
    /// # Errors
    /// UNAUTHENTICATED, if the evidence is missing where it is required, or is no good.
    pub fn authenticate(
        &self,
        connection: &Connection,
        path: &str,
        headers: &mut HeaderMap,
    ) -> Result<Option<Peer>, Status> {
        let evidence = Evidence::take(headers);
        match self.shared.decide(connection, &evidence) {
            Ok(peer) => Ok(peer),
            Err(_) if is_open(path) => Ok(None),
            Err(refusal) => Err(self.refuse(&refusal)),
        }
    }

    /// The answer to a call of which the connection is not known.
    pub(crate) fn unknown(&self) -> Status {
        self.refuse(&Refusal::ConnectionUnknown)
    }

    fn refuse(&self, refusal: &Refusal) -> Status {
        let service = self.shared.service;
        let (service, reason) =
            (KeyValue::new("service", service), KeyValue::new("reason", refusal.reason()));
        REFUSED.add(1, &[service, reason]);
        let mut status = status(STACK, refusal);
        crate::refusal::vouch(&mut status, crate::Refusal::Unauthenticated);
        status
    }
}

/// What headers say about the caller.
struct Evidence {
    xfcc: Taken,
    token: Taken,
}

/// The values of a header.
#[derive(Default)]
struct Taken {
    last: Option<HeaderValue>,
    several: bool,
}

impl Evidence {
    fn take(headers: &mut HeaderMap) -> Self {
        Self { xfcc: Taken::from(headers, &xfcc::HEADER), token: Taken::from(headers, &HEADER) }
    }
}

impl Taken {
    /// A call without the header, which is most, costs one look-up.
    fn from(headers: &mut HeaderMap, name: &HeaderName) -> Self {
        let Entry::Occupied(entry) = headers.entry(name) else { return Self::default() };
        let (_, values) = entry.remove_entry_mult();
        values.fold(Self::default(), |before, value| Self {
            several: before.last.is_some(),
            last: Some(value),
        })
    }
}

impl Shared {
    fn decide(
        &self,
        connection: &Connection,
        evidence: &Evidence,
    ) -> Result<Option<Peer>, Refusal> {
        let from = connection.from().ip().to_canonical();
        let sidecar = connection.session().is_none() && self.sidecar == Some(from);
        if !sidecar && evidence.xfcc.last.is_some() {
            XFCC_IGNORED.add(1, &[KeyValue::new("service", self.service)]);
        }
        if let Some(session) = connection.session() {
            self.by_session(session)
        } else if sidecar {
            self.by_sidecar(&evidence.xfcc)
        } else if from.is_loopback() {
            self.by_token(&evidence.token, Some(Peer::loopback()))
        } else if self.tokens.as_ref().is_some_and(|tokens| tokens.listens_to(from)) {
            self.by_token(&evidence.token, None)
        } else {
            self.nobody(Refusal::NotLoopback, None)
        }
    }

    fn by_session(&self, session: &Session) -> Result<Option<Peer>, Refusal> {
        match session.presented() {
            Presented::Id(id) => self.peer(id.clone(), Source::MutualTls),
            Presented::Unnamed(why) => Err(Refusal::CertificateUnnamed(why)),
            Presented::Nothing => self.nobody(Refusal::CertificateMissing, None),
        }
    }

    fn by_sidecar(&self, xfcc: &Taken) -> Result<Option<Peer>, Refusal> {
        // Each proxy adds itself at the end; ours was the last.
        let Some(last) = &xfcc.last else { return self.nobody(Refusal::XfccMissing, None) };
        let id = last.to_str().ok().and_then(xfcc::nearest).ok_or(Refusal::XfccMalformed)?;
        self.peer(id, Source::Xfcc)
    }

    /// Who signed the token; `instead` calls if there is none.
    fn by_token(&self, taken: &Taken, instead: Option<Peer>) -> Result<Option<Peer>, Refusal> {
        let Some(token) = &taken.last else {
            return self.nobody(Refusal::TokenMissing, instead);
        };
        let Some(verifier) = &self.tokens else { return Err(Refusal::TokenIssuerUnknown) };
        if taken.several {
            return Err(Refusal::TokenMalformed);
        }
        let token = token.to_str().map_err(|_| Refusal::TokenMalformed)?;
        self.peer(verifier.verify(token, SystemTime::now())?, Source::Token)
    }

    fn peer(&self, id: SpiffeId, source: Source) -> Result<Option<Peer>, Refusal> {
        if id.is_in(&self.namespace) {
            return Ok(Some(Peer::new(id, source)));
        }
        Err(Refusal::Foreign { id, namespace: self.namespace.clone() })
    }

    fn nobody(&self, refusal: Refusal, instead: Option<Peer>) -> Result<Option<Peer>, Refusal> {
        match (self.mode, instead) {
            (Mode::Required, _) | (Mode::Local, None) => Err(refusal),
            (Mode::Local | Mode::Optional, instead) => Ok(instead),
        }
    }
}

fn is_open(path: &str) -> bool {
    OPEN.iter().any(|open| path.starts_with(open))
}

#[cfg(test)]
mod tests;
