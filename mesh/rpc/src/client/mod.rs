//! The caller's side: where services are, and channels to them.

mod body;
mod call;
mod endpoint;
mod payload;

use std::{
    fmt,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use anyhow::Context as _;
use http::{Request, Response};
use mesh_policy::Table;
use mesh_runtime::{ConfigError, Service, Target, parse_discovery};
use opentelemetry::StringValue;
use tonic::{Status, body::Body};

use crate::{Deadline, method::Names};
pub use body::ClientBody;
use endpoint::Endpoint;

/// Where the services are that this one calls.
///
/// Its text form is `payments=static:127.0.0.1:1,127.0.0.1:2;catalog=static:127.0.0.1:3`.
#[derive(Clone, Debug, Default)]
pub struct Discovery {
    targets: Vec<Target>,
    contracts: Option<Arc<Table>>,
}

impl Discovery {
    /// Gives calls without a deadline the default one of their contract.
    pub fn with_contracts(mut self, descriptors: &[&[u8]]) -> Result<Self, mesh_policy::Error> {
        self.contracts = Some(Arc::new(Table::from_descriptors(descriptors)?));
        Ok(self)
    }

    /// Returns a channel to `target`, which connects when it is first used.
    pub fn channel(&self, service: &Service, target: &str) -> anyhow::Result<Channel> {
        let found = self.targets.iter().find(|known| known.service == target);
        let found = found.with_context(|| ConfigError(format!("DISCOVERY lacks `{target}`")))?;
        let channel = Channel::new(service.name(), target, &found.endpoints)?;
        Ok(channel.with_contracts(self.contracts.clone()))
    }
}

impl FromStr for Discovery {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        Ok(Self { targets: parse_discovery(text)?, contracts: None })
    }
}

/// A channel to a service, for generated clients. Cheap to clone; clones share connections.
///
/// Calls go round the endpoints. A call that its endpoint has surely not seen is sent again, to
/// another one if there is one; everything else comes back to the caller.
#[derive(Clone)]
pub struct Channel {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    service: StringValue,
    target: StringValue,
    endpoints: Box<[Endpoint]>,
    next: AtomicUsize,
    names: Names,
    contracts: Option<Arc<Table>>,
}

impl Channel {
    /// Returns a channel to `endpoints` of the service `target`, for the caller `service`.
    ///
    /// Must be called inside a tokio runtime.
    pub fn new(
        service: &'static str,
        target: &str,
        endpoints: &[SocketAddr],
    ) -> anyhow::Result<Self> {
        anyhow::ensure!(!endpoints.is_empty(), "`{target}` has no endpoints");
        let endpoints = endpoints.iter().copied().map(Endpoint::new).collect::<Result<_, _>>()?;
        let shared = Shared {
            service: StringValue::from(service),
            target: StringValue::from(Arc::<str>::from(target)),
            endpoints,
            // Many processes start at once; they should not all begin with the same endpoint.
            next: AtomicUsize::new(rand::random_range(0..1 << 16)),
            names: Names::default(),
            contracts: None,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    fn with_contracts(mut self, contracts: Option<Arc<Table>>) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.contracts = contracts;
        }
        self
    }
}

impl tower::Service<Request<Body>> for Channel {
    type Response = Response<ClientBody>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<ClientBody>, Status>> + Send>>;

    /// Always ready: a call picks its endpoint itself, each time it is sent.
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // Read here, in the caller's task, wherever the future will be polled.
        let inherited = Deadline::current();
        Box::pin(call::run(Arc::clone(&self.shared), request, inherited))
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoints: Vec<_> = self.shared.endpoints.iter().map(Endpoint::address).collect();
        f.debug_struct("Channel")
            .field("target", &self.shared.target)
            .field("endpoints", &endpoints)
            .finish()
    }
}

impl Shared {
    /// The next endpoint in turn that did not fail a moment ago; if all did, the one for which
    /// that is longest ago.
    fn pick(&self) -> (usize, &Endpoint) {
        let count = self.endpoints.len();
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % count;
        let mut turns = (turn..count).chain(0..turn);
        let index = turns
            .clone()
            .find(|index| self.endpoints[*index].is_promising())
            .or_else(|| turns.by_ref().min_by_key(|index| self.endpoints[*index].paused_until()))
            .unwrap_or(turn);
        (index, &self.endpoints[index])
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    #[tokio::test]
    async fn an_unknown_target_is_a_matter_of_configuration() {
        let config = mesh_runtime::ServiceConfig::default();
        let service = Service::begin("test", &config).await.unwrap();
        let discovery: Discovery = "payments=static:127.0.0.1:1".parse().unwrap();

        let error = discovery.channel(&service, "catalog").unwrap_err();

        assert!(error.is::<ConfigError>());
        assert!(discovery.channel(&service, "payments").is_ok());
    }

    #[tokio::test]
    async fn an_endpoint_that_failed_is_passed_over_unless_all_did() {
        let addresses = [([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into()];
        let channel = Channel::new("test", "payments", &addresses).unwrap();
        let [first, second] = &*channel.shared.endpoints else { panic!("two endpoints") };

        first.failed();
        assert!((0..4).all(|_| channel.shared.pick().1.address() == second.address()));

        second.failed_at(Instant::now() + Duration::from_millis(5));
        assert_eq!(channel.shared.pick().1.address(), first.address(), "longest ago");
    }
}
