//! What one tells of revocations, all others hear, and they say when they cannot.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use mesh_auth::{Grant, LIFE, Refused, RevocationTeller, Signer, SigningKey, Verifier, WhenLost};
use mesh_events::Nats;
use mesh_runtime::{Secret, Service, ServiceConfig, State};
use mesh_testkit::{IsolatedNats, eventually, isolated_nats};
use tokio::time::Instant;
use uuid::Uuid;

const ISSUER: &str = "https://users.example";

/// The bound of the promise: a session that ended is refused everywhere.
const SOON: Duration = Duration::from_secs(1);

/// A service that verifies tokens.
struct Node {
    verifier: Verifier,
    service: Service,
    _nats: Nats,
}

impl Node {
    async fn start(broker: &IsolatedNats, signer: &Signer, when_lost: WhenLost) -> Self {
        let config = ServiceConfig {
            nats_url: Some(Secret::new(broker.url())),
            log_level: "off".to_owned(),
            ..ServiceConfig::default()
        };
        let name = if when_lost == WhenLost::Closed { "closed" } else { "open" };
        let service = Service::begin(name, &config).await.unwrap();
        let nats = mesh_events::connect(&service, &config).await.unwrap();
        let verifier = Verifier::new(ISSUER, "shop").when_lost(when_lost);
        verifier.replace_keys(&signer.jwks());
        verifier.revocations().follow(&service, nats.client(), nats.jetstream());
        Self { verifier, service, _nats: nats }
    }

    fn verify(&self, token: &Secret) -> Option<Refused> {
        self.verifier.verify(&format!("Bearer {}", token.expose())).err()
    }

    async fn knows(&self) {
        let revocations = Arc::clone(self.verifier.revocations());
        eventually("the bucket to be read", async || !revocations.is_lost()).await;
    }

    /// Why the condition `revocations` is degraded; nothing if it is not.
    fn degraded(&self) -> Option<String> {
        let conditions = self.service.health().readiness().conditions;
        let condition = conditions.into_iter().find(|it| it.name == "revocations").unwrap();
        (condition.state == State::Degraded).then_some(condition.why)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.service.stop();
    }
}

fn signer() -> Signer {
    Signer::new(ISSUER, "shop", SigningKey::generate().unwrap())
}

async fn teller(broker: &IsolatedNats) -> RevocationTeller {
    let nats = Nats::open(&broker.url(), "teller").await.unwrap();
    nats.connected().await;
    RevocationTeller::open(nats.jetstream(), 1).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ended_is_refused_by_every_watcher_within_a_second() {
    let (broker, signer) = (isolated_nats().await, signer());
    let teller = teller(&broker).await;
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(Node::start(&broker, &signer, WhenLost::Open).await);
    }
    let (user, session) = (Uuid::now_v7(), Uuid::now_v7());
    let token = signer.sign(&Grant::new(user, session)).unwrap();
    let other = signer.sign(&Grant::new(user, Uuid::now_v7())).unwrap();
    for node in &nodes {
        node.knows().await;
        assert_eq!((node.verify(&token), node.verify(&other)), (None, None));
    }

    let told = Instant::now();
    teller.tell_session(session, SystemTime::now() + LIFE).await.unwrap();
    for node in &nodes {
        eventually("the token to be refused", async || node.verify(&token).is_some()).await;
    }

    let took = told.elapsed();
    assert!(took < SOON, "{took:?}");
    for node in &nodes {
        assert_eq!((node.verify(&token), node.verify(&other)), (Some(Refused::Revoked), None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_later_reads_what_was_told_before() {
    let (broker, signer) = (isolated_nats().await, signer());
    let teller = teller(&broker).await;
    let (user, session) = (Uuid::now_v7(), Uuid::now_v7());
    let (now, until) = (SystemTime::now(), SystemTime::now() + LIFE);
    let token = signer.sign(&Grant::new(user, session)).unwrap();
    let later = now + Duration::from_secs(2);
    let renewed = signer.sign_at(&Grant::new(user, session), later).unwrap();
    teller.tell_subject(user, now, until).await.unwrap();
    for _ in 0..20 {
        teller.tell_session(Uuid::now_v7(), until).await.unwrap();
    }

    let node = Node::start(&broker, &signer, WhenLost::Open).await;
    assert!(node.degraded().is_some(), "not read yet");
    node.knows().await;

    assert_eq!(node.verify(&token), Some(Refused::Revoked));
    assert_eq!(node.verify(&renewed), None, "issued after it");
    assert_eq!(node.verifier.revocations().len(), 21);
    assert_eq!(node.degraded(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lost_the_broker_says_so_goes_by_the_rule_and_catches_up() {
    let (broker, signer) = (isolated_nats().await, signer());
    let before = teller(&broker).await;
    let open = Node::start(&broker, &signer, WhenLost::Open).await;
    let closed = Node::start(&broker, &signer, WhenLost::Closed).await;
    let token = signer.sign(&Grant::new(Uuid::now_v7(), Uuid::now_v7())).unwrap();
    let (ended, session) = (Uuid::now_v7(), Uuid::now_v7());
    let revoked = signer.sign(&Grant::new(Uuid::now_v7(), ended)).unwrap();
    let second = signer.sign(&Grant::new(Uuid::now_v7(), session)).unwrap();
    before.tell_session(ended, SystemTime::now() + LIFE).await.unwrap();
    for node in [&open, &closed] {
        node.knows().await;
        eventually("it to be heard", async || node.verify(&revoked).is_some()).await;
    }

    broker.down().await;
    for node in [&open, &closed] {
        eventually("it to be noticed", async || node.degraded()).await;
    }

    assert_eq!(open.verify(&token), None);
    assert_eq!(open.verify(&revoked), Some(Refused::Revoked), "what was heard stays");
    assert_eq!(closed.verify(&token), Some(Refused::RevocationsUnknown));
    assert!(open.degraded().unwrap().contains("taken until they expire"));
    assert!(closed.degraded().unwrap().contains("no token is taken"));
    assert_eq!(gauge("closed"), "1");

    broker.up().await;
    teller(&broker).await.tell_session(session, SystemTime::now() + LIFE).await.unwrap();
    for node in [&open, &closed] {
        node.knows().await;
        eventually("it to be heard", async || node.verify(&second).is_some()).await;
        assert_eq!((node.verify(&token), node.degraded()), (None, None));
    }
    assert_eq!(gauge("closed"), "0");
}

/// What `/metrics` says of whether `service` knows what is revoked.
fn gauge(service: &str) -> String {
    let text = mesh_runtime::metrics::render().unwrap();
    let service = format!("service=\"{service}\"");
    let mut lines = text.lines().filter(|line| line.starts_with("mesh_auth_revocations_unknown{"));
    let line = lines.find(|line| line.contains(&service)).unwrap();
    line.rsplit_once(' ').unwrap().1.to_owned()
}
