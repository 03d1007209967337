//! The caller's side: where services are, and channels to them, with every layer of a call.

mod body;
mod builder;
mod call;
mod discovery;
mod methods;
mod table;

use std::{
    fmt,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderValue, Request, Response};
use opentelemetry::StringValue;
use serde_json::Value;
use tokio_util::sync::DropGuard;
use tonic::{Status, body::Body};

use crate::{
    Deadline, Identity, balance::Balancer, bulkhead::Bulkhead, criticality, discovery::Endpoints,
    replay::Replay, resend::Resend, retry::Retries,
};
pub use body::ClientBody;
pub use builder::ChannelBuilder;
pub use discovery::Discovery;
use methods::Methods;

/// A channel to a service, for generated clients. Cheap to clone; clones share everything.
///
/// A call meets, in this order: telemetry, its deadline, the [`bulkhead`](crate::bulkhead) of its
/// target, [`retry`](crate::retry) or [`hedge`](crate::hedge) within the target's
/// [`budget`](crate::budget), [`resend`](crate::resend), and for each attempt the
/// [`balancer`](crate::balance) with its breakers. Facts about a method come from its contract,
/// values from the policy in force; a method that no contract names as safe to repeat is sent again
/// only while its callee has surely not seen it. Behind a sidecar no endpoint is taken
/// out, which is the sidecar's business, and nothing repeated that no contract names.
#[derive(Clone)]
pub struct Channel {
    shared: Arc<Shared>,
}

/// Says who the user is, in a header.
type UserToken = dyn Fn() -> Option<HeaderValue> + Send + Sync;

struct Shared {
    target: StringValue,
    endpoints: Endpoints,
    identity: Identity,
    user: Option<Arc<UserToken>>,
    balancer: Balancer,
    bulkhead: Bulkhead,
    retries: Retries,
    resend: Resend,
    replay: Replay,
    methods: Methods,
    /// Ends the task that follows the policy.
    _follow: DropGuard,
}

impl Channel {
    /// Returns a channel to fixed `addresses` of the service `target`, for the caller `caller`, that
    /// knows no contract. See [`builder`](Self::builder) for everything else.
    ///
    /// # Errors
    /// If there are no addresses.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(
        caller: &'static str,
        target: &str,
        addresses: &[SocketAddr],
    ) -> anyhow::Result<Self> {
        anyhow::ensure!(!addresses.is_empty(), "`{target}` has no endpoints");
        Ok(Self::builder(caller, target).follow(&Endpoints::fixed(addresses)))
    }

    /// Begins a channel to the service `target`, for the caller `caller`.
    pub fn builder(caller: &'static str, target: &str) -> ChannelBuilder {
        ChannelBuilder::new(caller, target)
    }

    /// Returns what the admin port shows of it: where its endpoints come from and how they are,
    /// bulkhead, budget, and how long its methods take.
    pub fn table(&self) -> Value {
        table::of(&self.shared)
    }
}

impl tower::Service<Request<Body>> for Channel {
    type Response = Response<ClientBody>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<ClientBody>, Status>> + Send>>;

    /// Always ready: a call waits for its endpoint itself, each time it is sent.
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        criticality::attach(request.headers_mut());
        // Read here, in the caller's task, wherever the future will be polled.
        let inherited = Deadline::current();
        Box::pin(call::run(Arc::clone(&self.shared), request, inherited))
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("target", &self.shared.target)
            .field("endpoints", &self.shared.endpoints)
            .finish()
    }
}
