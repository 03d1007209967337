//! The callee's side: a server that carries what every service answers besides its own contract,
//! and its layers, each of which fits in front of any tonic service.
//!
//! A call meets them in this order, each for its reason: telemetry sees every end, also that of a
//! call which is dropped; [`CatchPanicLayer`] is inside it, so that panics are counted;
//! [`DrainGate`] costs least; [`DeadlineLayer`] turns dead calls away before they cost anything,
//! and bounds all that follows, queues too; [`Shed`] protects what comes next, which is work;
//! [`RateLimit`] needs to know who calls; [`Access`] turns away whom the
//! contract does not let in; [`Bulkhead`] is held by what is really worked on. What must not be dropped in the middle runs under a [`shield()`].

mod accept;
mod body;
mod bulkhead;
mod call;
mod connection;
mod deadline;
mod drain;
mod gate;
mod health;
mod limits;
mod methods;
mod panic;
mod rate;
mod reflection;
mod refusal;
mod routes;
mod shed;
mod shield;
mod socket;
mod transport;

use std::{
    convert::Infallible,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
};

use anyhow::Context as _;
use futures::FutureExt as _;
use http::{Extensions, Request, Response};
use mesh_policy::{Table, values};
use mesh_runtime::Service;
use opentelemetry::StringValue;
use rand::{Rng as _, SeedableRng as _, rngs::SmallRng};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{body::Body, server::NamedService};

pub use bulkhead::{Bulkhead, BulkheadNumbers, BulkheadPermit, Bulkheads};
pub use deadline::{DeadlineLayer, Limits, WithDeadline};
pub use drain::DrainGate;
pub use gate::{Gate, GateLayer, Gated};
pub use health::health;
pub use limits::{LimitRow, ServerLimits};
pub use panic::{CatchPanic, CatchPanicLayer};
pub use rate::{Limited, RateLimit, RateNumbers, Recent};
pub use refusal::Refused;
pub(crate) use refusal::refused;
pub use shed::{Permit, Shed, ShedNumbers};
pub use shield::{Overran, shield, shield_for};
pub use socket::Socket;
pub use transport::{Accepted, Acceptor, Io, Plaintext};

pub use crate::criticality::Criticality;

use crate::{
    Access, Identity,
    peer::{Authenticator, Peer},
    policy::LivePolicy,
};
use methods::Methods;
use routes::Routes;

/// A gRPC server for the services of one process.
///
/// Besides what is [added](Self::add) it answers health (`""` and each service name as
/// `readiness`, and `liveness`) and reflection v1 and v1alpha. Calls end at their deadline: the
/// caller's, at most the contract's maximum, or else the contract's default. Health is answered
/// whatever the limits say.
pub struct Server {
    service: Service,
    descriptors: Vec<&'static [u8]>,
    routes: Routes,
    policy: Option<LivePolicy>,
    values: watch::Receiver<values::Server>,
    criticality: Arc<Classify>,
    bounds: Vec<(&'static str, usize)>,
    rate: RateLimit,
    authenticator: Option<Authenticator>,
    access: Access,
    acceptor: Arc<dyn Acceptor>,
    seed: u64,
    limits: Option<ServerLimits>,
}

type Classify = dyn Fn(&str) -> Criticality + Send + Sync;

impl Server {
    /// A server for `service`, whose contracts `descriptors` are sets of.
    pub fn new(service: &Service, descriptors: &[&'static [u8]]) -> Self {
        let mut descriptors = descriptors.to_vec();
        // Operator services come with the platform, so their contract does too.
        descriptors.push(mesh_proto::DESCRIPTORS);
        Self {
            service: service.clone(),
            descriptors,
            routes: Routes::default(),
            policy: None,
            values: watch::Sender::new(values::Server::default()).subscribe(),
            criticality: Arc::new(|_| Criticality::default()),
            bounds: Vec::new(),
            rate: RateLimit::new(|extensions| extensions.get().map(Peer::shared_key)),
            authenticator: None,
            access: Access::default(),
            acceptor: Arc::new(Plaintext),
            seed: rand::random(),
            limits: None,
        }
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

    /// Follows the policy in force: all of [`values`](Self::values), how critical a method is and how
    /// long its calls may take; how many calls of a service may be under way is read once, when it
    /// begins to serve. Without it the contracts' deadlines hold, and nothing else of theirs.
    pub fn policy(mut self, policy: &LivePolicy) -> Self {
        let (values, asked) = (watch::Sender::new(*policy.current().server()), policy.clone());
        self.values = values.subscribe();
        let mut changes = policy.follow();
        self.service.spawn(
            "server policy",
            self.service
                .stopped()
                .run_until_cancelled_owned(async move {
                    while changes.changed().await.is_ok() {
                        values.send_replace(*changes.borrow_and_update().server());
                    }
                })
                .map(|_| ()),
        );
        self.policy = Some(policy.clone());
        self.criticality(move |path| {
            let current = asked.current();
            current.contracts().method(path).map_or_else(Criticality::default, |it| it.criticality)
        })
    }

    /// Follows operational values: bounds and rates change for the next call, ages and pings for
    /// the next connection. Without it they have their defaults.
    pub fn values(mut self, values: watch::Receiver<values::Server>) -> Self {
        self.values = values;
        self
    }

    /// Asks `contract` how critical each `package.Service/Method` is, once and again after a change of
    /// the policy; a caller may only say less. Without it all calls are [`Criticality::Default`].
    pub fn criticality(
        mut self,
        contract: impl Fn(&str) -> Criticality + Send + Sync + 'static,
    ) -> Self {
        self.criticality = Arc::new(contract);
        self
    }

    /// Bounds the calls of `package.Service` that are under way at once.
    pub fn bound(mut self, service: &'static str, calls: usize) -> Self {
        self.bounds.push((service, calls));
        self
    }

    /// Asks of every call who makes it, as `identity` can tell, and puts the [`Peer`] into the
    /// request's extensions.
    ///
    /// With a certificate, connections are by mutual TLS, each call needs a caller's certificate,
    /// and a connection is told good-bye before one of the two ends. With a signing key, a call
    /// needs a token, or to come from this machine: it is [`Peer::loopback`]'s then, so that tools
    /// work; a token that is shown has to be good all the same. Without either nothing is asked.
    ///
    /// Health is answered whoever asks. So is reflection, which tells what the contracts do and
    /// nothing of what is stored: tools ask it before they can call anything.
    pub fn identity(mut self, identity: &Identity) -> Self {
        let name = self.service.name();
        self.authenticator = identity.authenticator(name);
        match identity.acceptor(name) {
            Some(acceptor) => self.acceptor(acceptor),
            None => self,
        }
    }

    /// Checks the contracts' access rules. Without it, or with one that knows nobody, everybody may do
    /// everything.
    ///
    /// What is public is answered whoever asks, and so are health and reflection.
    pub fn access(mut self, access: &Access) -> Self {
        self.access = access.clone();
        self
    }

    /// Finds the authenticated caller in a request's extensions, for rates. Without it, that is the
    /// [`Peer`]; callers without one share one rate.
    pub fn callers(
        mut self,
        key: impl Fn(&Extensions) -> Option<Arc<str>> + Send + Sync + 'static,
    ) -> Self {
        self.rate = RateLimit::new(key);
        self
    }

    /// Turns accepted TCP streams into connections. Without it they are plaintext.
    pub fn acceptor(mut self, acceptor: impl Acceptor) -> Self {
        self.acceptor = Arc::new(acceptor);
        self
    }

    /// Draws what is random (ages, pushbacks) from `seed`, so that a run can be repeated.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Returns the limits as they are, also while the server runs. Asked before
    /// [`serve`](Self::serve), and after everything that sets limits.
    pub fn limits(&mut self) -> ServerLimits {
        let limits = self.limits.take().unwrap_or_else(|| {
            self.bounds.extend(self.contracts_bounds());
            let limits = ServerLimits {
                shed: Shed::seeded(self.values.borrow().bulkhead, self.seed),
                rate: self.rate.clone(),
                bulkheads: Bulkheads::new(self.bounds.iter().copied()),
                connections: TaskTracker::new(),
                turned_away: Arc::new(AtomicU64::new(0)),
                values: self.values.clone(),
            };
            limits.apply(&self.values.borrow());
            limits
        });
        self.limits.insert(limits).clone()
    }

    /// How many calls of each added service may be under way, as the policy says.
    fn contracts_bounds(&self) -> Vec<(&'static str, usize)> {
        let Some(policy) = self.policy.as_ref().map(LivePolicy::current) else { return Vec::new() };
        self.routes.names().filter_map(|name| Some((name, policy.concurrency(name)?))).collect()
    }

    /// Binds `listen_addr`, begins to answer, and returns the address.
    ///
    /// Ends with the service: unready, no new connections, good-bye to the old ones, and what is
    /// still running after the drain's time is ended with UNAVAILABLE, then cut.
    pub async fn serve(mut self, listen_addr: SocketAddr) -> anyhow::Result<SocketAddr> {
        let table = Table::from_descriptors(&self.descriptors).context("a contract is at fault")?;
        let names: Vec<&'static str> = self.routes.names().collect();
        let shown = self.limits();
        self.service.admin_table("limits", move || serde_json::json!(shown.table()));
        let asked = names.iter().map(|name| (*name).to_owned()).collect();
        self.routes.add(health::health(&self.service, asked, self.service.stopped()));
        let (v1, v1alpha) = reflection::servers(&self.descriptors, &names)?;
        self.routes.add(v1);
        self.routes.add(v1alpha);

        let listener = TcpListener::bind(listen_addr)
            .await
            .with_context(|| format!("gRPC port {listen_addr} cannot be bound"))?;
        let address = listener.local_addr()?;
        let (service, stack) = self.stack(table);
        let hold = service.hold();
        tokio::spawn(accept::run(listener, stack, service.clone(), hold));
        service.health().condition("rpc").ready();
        Ok(address)
    }

    fn stack(mut self, table: Table) -> (Service, Arc<Stack>) {
        let limits = self.limits();
        self.service.spawn("limits", follow(limits.clone(), self.service.stopped()));
        let methods = Methods::new(
            StringValue::from(self.service.name()),
            table,
            self.routes,
            limits.bulkheads,
            self.criticality,
            self.access.clone(),
            self.policy.as_ref(),
        );
        let stack = Stack {
            name: self.service.name(),
            baggage: self.service.baggage().to_vec(),
            methods,
            authenticator: self.authenticator,
            access: self.access,
            acceptor: self.acceptor,
            random: Mutex::new(SmallRng::seed_from_u64(self.seed)),
            gate: DrainGate::new(),
            shed: limits.shed,
            rate: limits.rate,
            connections: limits.connections,
            turned_away: limits.turned_away,
            values: limits.values,
            closing: CancellationToken::new(),
            stop: CancellationToken::new(),
        };
        (self.service, Arc::new(stack))
    }
}

/// Applies values as they change.
async fn follow(limits: ServerLimits, stopped: CancellationToken) {
    let mut values = limits.values.clone();
    let follow = async {
        while values.changed().await.is_ok() {
            let now = *values.borrow_and_update();
            limits.apply(&now);
        }
    };
    stopped.run_until_cancelled(follow).await;
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.routes.names().collect();
        f.debug_struct("Server").field("services", &names).finish_non_exhaustive()
    }
}

/// What every call needs to know about its server.
struct Stack {
    name: &'static str,
    /// Keys of what goes on to the calls of handlers.
    baggage: Vec<String>,
    methods: Methods,
    authenticator: Option<Authenticator>,
    access: Access,
    acceptor: Arc<dyn Acceptor>,
    random: Mutex<SmallRng>,
    gate: DrainGate,
    shed: Shed,
    rate: RateLimit,
    connections: TaskTracker,
    turned_away: Arc<AtomicU64>,
    values: watch::Receiver<values::Server>,
    /// Cancelled when connections are told good-bye.
    closing: CancellationToken,
    /// Cancelled when the calls that are left have to end.
    stop: CancellationToken,
}

impl Stack {
    /// What a connection's age is multiplied with.
    fn jitter(&self) -> f64 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).random_range(0.9..1.1)
    }
}
