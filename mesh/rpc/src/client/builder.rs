//! A channel in the making: what it calls by, and how it connects.

use std::sync::Arc;

use http::HeaderValue;
use mesh_policy::Effective;
use opentelemetry::StringValue;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio_util::sync::CancellationToken;

use super::{Channel, Shared, UserToken, methods::Methods};
use crate::{
    Identity,
    balance::{Balancer, Connect, Followed, Options, Tcp},
    bulkhead::Bulkhead,
    discovery::Endpoints,
    jitter::Jitter,
    policy::LivePolicy,
    replay::Replay,
    resend::Resend,
    retry::Retries,
};

/// Makes a [`Channel`].
///
/// ```no_run
/// use mesh_proto::operator::v1::sagas_service_client::SagasServiceClient;
/// use mesh_rpc::{Channel, discovery::{Endpoints, Source}, policy::LivePolicy};
///
/// # async fn example(policy: &LivePolicy) -> Result<(), Box<dyn std::error::Error>> {
/// let source: Source = "dns:orders.shop.svc.cluster.local:50051".parse()?;
/// let channel = Channel::builder("back-office", "orders")
///     .policy(policy)
///     .follow(&Endpoints::follow(&source));
/// let sagas = SagasServiceClient::new(channel);
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder makes a channel when it follows endpoints"]
pub struct ChannelBuilder {
    caller: &'static str,
    target: Arc<str>,
    policy: Option<LivePolicy>,
    identity: Identity,
    connect: Box<dyn Connect>,
    user: Option<Arc<UserToken>>,
    seed: u64,
}

impl ChannelBuilder {
    pub(super) fn new(caller: &'static str, target: &str) -> Self {
        let (target, identity) = (Arc::from(target), Identity::default());
        let connect = Box::new(Tcp);
        Self { caller, target, policy: None, identity, connect, user: None, seed: rand::random() }
    }

    /// Follows the policy in force: the contract's facts about each method, and the values for this
    /// target. Without it no contract is known, and values are the defaults.
    pub fn policy(mut self, policy: &LivePolicy) -> Self {
        self.policy = Some(policy.clone());
        self
    }

    /// Calls as `identity`: by mutual TLS with nobody but the target, or with a signed token. Without
    /// it calls are in plaintext, and do not say who makes them.
    ///
    /// # Errors
    /// If the target's name cannot be part of an id.
    pub fn identity(mut self, identity: &Identity) -> anyhow::Result<Self> {
        self.connect = identity.connect(&self.target)?;
        self.identity = identity.clone();
        Ok(self)
    }

    /// Calls as a user, in calls that show no user's token by themselves and are not made for the user
    /// of another call: each asks `token` for its `authorization` header.
    pub fn user(mut self, token: impl Fn() -> Option<HeaderValue> + Send + Sync + 'static) -> Self {
        self.user = Some(Arc::new(token));
        self
    }

    /// Connects this way, in place of the identity's.
    pub fn connect(mut self, connect: impl Connect) -> Self {
        self.connect = Box::new(connect);
        self
    }

    /// Draws what is random (picks, pauses) from `seed`, so that a run can be repeated.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Makes the channel, which begins to connect to all `endpoints` and follows them.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn follow(self, endpoints: &Endpoints) -> Channel {
        let policy = self.policy.unwrap_or_default();
        let effective = policy.current();
        let values = *effective.target(&self.target);
        let mut random = StdRng::seed_from_u64(self.seed);
        let jitter = Arc::new(Jitter::seeded(random.random()));
        let sidecar = endpoints.is_sidecar();
        let options = Options {
            values,
            seed: Some(random.random()),
            gated: !sidecar,
            authority: endpoints.authority().cloned(),
        };
        let follow = CancellationToken::new();
        let target = StringValue::from(Arc::clone(&self.target));
        let caller = StringValue::from(self.caller);
        let shared = Arc::new(Shared {
            target: target.clone(),
            endpoints: endpoints.clone(),
            identity: self.identity,
            user: self.user,
            balancer: Balancer::new(&self.target, Followed::from(endpoints), options, self.connect),
            bulkhead: Bulkhead::named(Arc::clone(&self.target), values.bulkhead),
            retries: Retries::new(values.budget, Arc::clone(&jitter)),
            resend: Resend::new(jitter),
            replay: Replay::default(),
            methods: Methods::new(caller, target, effective, sidecar),
            _follow: follow.clone().drop_guard(),
        });
        begin_to_follow(policy, &shared, self.target, follow);
        Channel { shared }
    }
}

/// Applies the policy as it changes, until the channel's last clone is dropped.
fn begin_to_follow(
    policy: LivePolicy,
    shared: &Arc<Shared>,
    target: Arc<str>,
    stop: CancellationToken,
) {
    let shared = Arc::downgrade(shared);
    let mut changes = policy.follow();
    tokio::spawn(stop.run_until_cancelled_owned(async move {
        while changes.changed().await.is_ok() {
            let effective = Arc::clone(&changes.borrow_and_update());
            let Some(shared) = shared.upgrade() else { return };
            shared.apply(effective, &target);
        }
    }));
}

impl Shared {
    fn apply(&self, effective: Arc<Effective>, target: &str) {
        let values = *effective.target(target);
        self.balancer.configure(values);
        self.bulkhead.set(values.bulkhead);
        self.retries.budget().set(values.budget);
        self.methods.apply(effective);
    }
}
