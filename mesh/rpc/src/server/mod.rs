//! The callee's side: a server that carries what every service answers besides its own contract.

mod accept;
mod body;
mod call;
mod health;
mod reflection;
mod socket;

use std::{collections::HashMap, convert::Infallible, net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use futures::future::BoxFuture;
use http::{Request, Response};
use mesh_policy::Table;
use mesh_runtime::Service;
use opentelemetry::StringValue;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{body::Body, server::NamedService};

/// A gRPC server for the services of one process.
///
/// Besides what is [added](Self::add) it answers health (`""` and each service name as
/// `readiness`, and `liveness`) and reflection v1 and v1alpha. Calls end at their deadline: the
/// caller's, at most the contract's maximum, or else the contract's default.
pub struct Server {
    service: Service,
    descriptors: Vec<&'static [u8]>,
    routes: Routes,
}

impl Server {
    /// A server for `service`, whose contracts `descriptors` are sets of.
    pub fn new(service: &Service, descriptors: &[&'static [u8]]) -> Self {
        let mut descriptors = descriptors.to_vec();
        // Operator services come with the platform, so their contract does too.
        descriptors.push(mesh_proto::DESCRIPTORS);
        Self { service: service.clone(), descriptors, routes: Routes::default() }
    }

    /// Adds a generated server.
    #[expect(clippy::should_implement_trait, reason = "it adds to a builder, it is no sum")]
    pub fn add<S>(mut self, server: S) -> Self
    where
        S: tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.routes.add(server);
        self
    }

    /// Binds `listen_addr`, begins to answer, and returns the address.
    ///
    /// Ends with the service: unready, no new connections, good-bye to the old ones, and what is
    /// still running after the drain's time is cut.
    pub async fn serve(mut self, listen_addr: SocketAddr) -> anyhow::Result<SocketAddr> {
        let table = Table::from_descriptors(&self.descriptors).context("a contract is at fault")?;
        let names: Vec<&'static str> = self.routes.names().collect();
        let health = health::server(&self.service, &names).await;
        self.routes.add(health);
        let (v1, v1alpha) = reflection::servers(&self.descriptors, &names)?;
        self.routes.add(v1);
        self.routes.add(v1alpha);

        let listener = TcpListener::bind(listen_addr)
            .await
            .with_context(|| format!("gRPC port {listen_addr} cannot be bound"))?;
        let address = listener.local_addr()?;
        let stack = Stack {
            name: self.service.name(),
            label: StringValue::from(self.service.name()),
            table,
            routes: self.routes,
            closing: CancellationToken::new(),
        };
        let hold = self.service.hold();
        tokio::spawn(accept::run(listener, Arc::new(stack), self.service.clone(), hold));
        self.service.health().condition("rpc").ready();
        Ok(address)
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.routes.names().collect();
        f.debug_struct("Server").field("services", &names).finish_non_exhaustive()
    }
}

/// What every call needs to know about its server.
struct Stack {
    name: &'static str,
    label: StringValue,
    table: Table,
    routes: Routes,
    /// Cancelled when connections are told good-bye.
    closing: CancellationToken,
}

type Route = Box<dyn Fn(Request<Body>) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// Generated servers by the name of their service.
#[derive(Default)]
struct Routes(HashMap<&'static str, Route>);

impl Routes {
    fn add<S>(&mut self, server: S)
    where
        S: tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        // Generated servers are always ready, so a clone may be called at once.
        let route = move |request| -> BoxFuture<'static, Response<Body>> {
            let answer = server.clone().call(request);
            Box::pin(async move { answer.await.unwrap_or_else(|never| match never {}) })
        };
        self.0.insert(S::NAME, Box::new(route));
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }

    /// Returns who answers `package.Service/Method`.
    fn find(&self, path: &str) -> Option<&Route> {
        self.0.get(path.split_once('/')?.0)
    }
}
