//! Who calls: one [`Peer`] for every call, wherever the evidence comes from.
//!
//! | evidence | when | [`Source`] |
//! |---|---|---|
//! | the certificate of the TLS session | mutual TLS without a sidecar | `MutualTls` |
//! | the `x-forwarded-client-cert` header | the connection comes from the configured sidecar | `Xfcc` |
//! | a signed service token | plaintext on loopback | `Token` |
//! | the connection itself | plaintext on loopback, where identity is optional | `Loopback` |
//!
//! The [`Authenticator`] decides, takes the evidence out of the headers, and puts the [`Peer`] into
//! the request's extensions, where limits, access rules and audit find it. Used with tower:
//!
//! ```
//! use http::{Request, Response};
//! use mesh_rpc::peer::{Authenticator, Connection, Mode, Peer};
//! use tower::{Layer as _, Service as _, ServiceExt as _, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> anyhow::Result<()> {
//! let authenticator = Authenticator::new("orders", "spiffe://mesh.local".parse()?, Mode::Required);
//! let mut server = authenticator.layer().layer(service_fn(async |call: Request<()>| {
//!     let peer = call.extensions().get::<Peer>().expect("required");
//!     println!("{} calls", peer.key());
//!     anyhow::Ok(Response::new(()))
//! }));
//!
//! // The accept loop puts this into each request of the connection.
//! let mut call = Request::new(());
//! call.extensions_mut().insert(Connection::plaintext("127.0.0.1:40000".parse()?));
//! let response = server.ready().await?.call(call).await?;
//!
//! assert_eq!(response.headers()["grpc-status"], "16", "UNAUTHENTICATED: it showed no token");
//! # Ok(())
//! # }
//! ```
//!
//! **Cost per call.** With mutual TLS: two look-ups in the headers and a reference count. With
//! tokens also one hash of the token on either side; it is signed every 30 s and verified once
//! per token.

mod authenticate;
mod connection;
mod layer;
mod refusal;
mod spiffe;
pub mod token;
mod xfcc;

use std::{
    fmt,
    sync::{Arc, LazyLock},
};

pub use authenticate::{Authenticator, Mode};
pub use connection::Connection;
pub use layer::{Authenticate, AuthenticateLayer};
pub use spiffe::{Namespace, NotSpiffe, SpiffeId};

/// The key of everybody who has no id.
const LOOPBACK: &str = "loopback";

/// Who makes a call, as the stack has established it. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    id: Option<SpiffeId>,
    source: Source,
}

/// How it was established who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// By the certificate of the connection.
    MutualTls,
    /// By the sidecar, in the header that it sets.
    Xfcc,
    /// By a signed token, in plaintext on loopback.
    Token,
    /// By nothing but the connection: somebody on this machine.
    Loopback,
}

impl Peer {
    /// A service that `source` names.
    pub fn new(id: SpiffeId, source: Source) -> Self {
        Self { id: Some(id), source }
    }

    /// Somebody on this machine who did not say who.
    pub fn loopback() -> Self {
        Self { id: None, source: Source::Loopback }
    }

    /// The caller's id; none on mere [loopback](Source::Loopback).
    pub fn id(&self) -> Option<&SpiffeId> {
        self.id.as_ref()
    }

    /// The calling service's name, such as `orders`. Always of the server's own namespace, so the
    /// name says who it is.
    pub fn service(&self) -> Option<&str> {
        self.id.as_ref().map(SpiffeId::service)
    }

    /// How it was established.
    pub fn source(&self) -> Source {
        self.source
    }

    /// What limits count by: the id, or `loopback` for all who have none.
    pub fn key(&self) -> &str {
        self.id.as_ref().map_or(LOOPBACK, SpiffeId::as_str)
    }

    /// The [`key`](Self::key) for who keeps it. Allocates nothing.
    pub(crate) fn shared_key(&self) -> Arc<str> {
        static NOBODY: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from(LOOPBACK));
        self.id.as_ref().map_or_else(|| Arc::clone(&NOBODY), SpiffeId::shared)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}
