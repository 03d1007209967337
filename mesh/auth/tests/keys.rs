//! By which keys tokens are signed, one tells and all others hear; and what holds while nobody hears.

use std::{sync::Arc, time::Duration};

use mesh_auth::{Grant, Jwks, KEYS_BUCKET, KeyTeller, Refused, Signer, SigningKey, Told, Verifier};
use mesh_events::Nats;
use mesh_runtime::{Secret, Service, ServiceConfig};
use mesh_testkit::{IsolatedNats, eventually, isolated_nats};
use tokio::time::Instant;
use uuid::Uuid;

const ISSUER: &str = "https://users.example";

/// A service that verifies tokens.
struct Node {
    verifier: Arc<Verifier>,
    service: Service,
    _nats: Nats,
}

impl Node {
    /// One that was given these keys.
    async fn start(broker: &IsolatedNats, given: &Jwks) -> Self {
        let config = ServiceConfig {
            nats_url: Some(Secret::new(broker.url())),
            log_level: "off".to_owned(),
            ..ServiceConfig::default()
        };
        let service = Service::begin("verifier", &config).await.unwrap();
        let nats = mesh_events::connect(&service, &config).await.unwrap();
        let verifier = Arc::new(Verifier::new(ISSUER, "shop"));
        verifier.replace_keys(given);
        verifier.follow_keys(&service, nats.client(), nats.jetstream());
        Self { verifier, service, _nats: nats }
    }

    fn refuses(&self, key: &SigningKey) -> Option<Refused> {
        let token = signer(key).sign(&Grant::new(Uuid::now_v7(), Uuid::now_v7())).unwrap();
        self.verifier.verify(&format!("Bearer {}", token.expose())).err()
    }

    async fn takes(&self, key: &SigningKey) {
        eventually("the key to be known", async || self.refuses(key).is_none()).await;
    }

    async fn refuses_soon(&self, key: &SigningKey) {
        eventually("the key to be gone", async || self.refuses(key)).await;
        assert_eq!(self.refuses(key), Some(Refused::KeyUnknown));
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.service.stop();
    }
}

fn key() -> SigningKey {
    SigningKey::generate().unwrap()
}

fn signer(key: &SigningKey) -> Signer {
    Signer::new(ISSUER, "shop", key.clone())
}

fn set(keys: &[&SigningKey]) -> Jwks {
    Jwks { keys: keys.iter().map(|key| key.public().clone()).collect() }
}

async fn nats(broker: &IsolatedNats) -> Nats {
    let nats = Nats::open(&broker.url(), "teller").await.unwrap();
    nats.connected().await;
    nats
}

async fn teller(broker: &IsolatedNats) -> KeyTeller {
    KeyTeller::open(nats(broker).await.jetstream(), 1).await.unwrap()
}

async fn tell(teller: &KeyTeller, keys: &[&SigningKey]) {
    let told = teller.told().await.unwrap();
    teller.tell(&told, &set(keys)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_takes_the_place_of_what_was_given_and_holds_without_the_broker() {
    let broker = isolated_nats().await;
    let (given, old, new) = (key(), key(), key());
    let node = Node::start(&broker, &set(&[&given])).await;
    assert_eq!((node.refuses(&given), node.refuses(&old)), (None, Some(Refused::KeyUnknown)));

    let first = teller(&broker).await;
    tell(&first, &[&old]).await;
    node.takes(&old).await;
    assert_eq!(node.refuses(&given), Some(Refused::KeyUnknown), "who signs knows better");
    node.verifier.replace_keys(&set(&[&given]));
    assert_eq!(node.refuses(&given), Some(Refused::KeyUnknown), "and goes on to know better");
    let told = Instant::now();
    tell(&first, &[&new, &old]).await;
    node.takes(&new).await;
    assert!(told.elapsed() < Duration::from_secs(1), "{:?}", told.elapsed());
    assert_eq!(node.refuses(&old), None, "the overlap");
    tell(&first, &[&new]).await;
    node.refuses_soon(&old).await;

    broker.down().await;
    let late = Node::start(&broker, &set(&[&given])).await;
    assert_eq!(node.refuses(&new), None, "what was heard last holds");
    assert_eq!(late.refuses(&given), None, "for who heard nothing, what was given");
    broker.up().await;
    tell(&teller(&broker).await, &[&old]).await;
    for node in [&node, &late] {
        node.takes(&old).await;
        assert_eq!(node.refuses(&given), Some(Refused::KeyUnknown));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_or_names_no_key_changes_nothing() {
    let broker = isolated_nats().await;
    let (old, new, third) = (key(), key(), key());
    let teller = teller(&broker).await;
    tell(&teller, &[&old]).await;
    let node = Node::start(&broker, &Jwks::default()).await;
    node.takes(&old).await;

    let jetstream = nats(&broker).await.jetstream().clone();
    let bucket = jetstream.get_key_value(KEYS_BUCKET).await.unwrap();
    bucket.put("current", "no set".into()).await.unwrap();
    bucket.put("current", r#"{"keys":[]}"#.into()).await.unwrap();
    bucket.put("another", set(&[&new]).to_json().into()).await.unwrap();
    bucket.delete("current").await.unwrap();
    tell(&teller, &[&third, &old]).await;
    node.takes(&third).await;
    assert_eq!((node.refuses(&old), node.refuses(&new)), (None, Some(Refused::KeyUnknown)));

    jetstream.delete_key_value(KEYS_BUCKET).await.unwrap();
    assert_eq!(node.refuses(&old), None);
    tell(&self::teller(&broker).await, &[&new]).await;
    node.takes(&new).await;
    node.refuses_soon(&old).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_read_the_keys_earlier_does_not_undo_what_was_told_later() {
    let broker = isolated_nats().await;
    let (old, new) = (key(), key());
    let [slow, fast] = [teller(&broker).await, teller(&broker).await];
    tell(&slow, &[&old]).await;

    let earlier = slow.told().await.unwrap();
    tell(&fast, &[&new, &old]).await;
    slow.tell(&earlier, &set(&[&old])).await.unwrap();

    let later = fast.told().await.unwrap();
    assert_ne!(later, earlier);
    assert_ne!(later, Told::default());
    let node = Node::start(&broker, &Jwks::default()).await;
    node.takes(&new).await;
    // To tell the same again is no news.
    fast.tell(&later, &set(&[&new, &old])).await.unwrap();
    assert_eq!(fast.told().await.unwrap(), later);
}
