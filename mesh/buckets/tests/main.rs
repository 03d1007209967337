//! What `mesh-buckets` promises, with a real broker.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    collections::BTreeMap,
    future::{pending, ready},
    sync::{Arc, Mutex},
};

use async_nats::{
    Client,
    jetstream::{
        self,
        kv::{Config, Entry, Operation, Store},
    },
};
use futures::TryStreamExt as _;
use mesh_buckets::{Listener, follow};
use mesh_events::Nats;
use mesh_testkit::{IsolatedNats, eventually, isolated_nats};
use tokio::task::JoinHandle;

const BUCKET: &str = "words";

/// What was heard.
#[derive(Debug, Default)]
struct Heard {
    words: BTreeMap<String, String>,
    is_known: bool,
    /// How often the bucket was read from its beginning.
    begun: usize,
    lost: Vec<&'static str>,
}

struct Ear {
    heard: Arc<Mutex<Heard>>,
    doubts: bool,
}

impl Listener for Ear {
    fn begin(&mut self) {
        let mut heard = self.heard.lock().unwrap();
        heard.begun += 1;
        heard.words.clear();
    }

    fn entry(&mut self, entry: &Entry) {
        let words = &mut self.heard.lock().unwrap().words;
        if entry.operation == Operation::Put {
            words.insert(entry.key.clone(), String::from_utf8(entry.value.to_vec()).unwrap());
        } else {
            words.remove(&entry.key);
        }
    }

    fn known(&mut self) {
        self.heard.lock().unwrap().is_known = true;
    }

    fn lost(&mut self, why: &'static str) {
        let mut heard = self.heard.lock().unwrap();
        heard.is_known = false;
        heard.lost.push(why);
    }

    async fn doubt(&self) {
        if self.doubts { ready(()).await } else { pending().await }
    }
}

/// Who follows the bucket until the test ends.
struct Follower {
    heard: Arc<Mutex<Heard>>,
    task: JoinHandle<()>,
}

impl Follower {
    async fn of(broker: &IsolatedNats, doubts: bool) -> Self {
        let heard = Arc::<Mutex<Heard>>::default();
        let mut ear = Ear { heard: Arc::clone(&heard), doubts };
        let client = client(broker).await;
        let jetstream = jetstream::new(client.clone());
        let task = tokio::spawn(async move {
            let _never = follow(&client, &jetstream, BUCKET, &mut ear).await;
        });
        Self { heard, task }
    }

    async fn hears(&self, words: &[(&str, &str)]) {
        eventually("it to be heard", async || {
            let heard = self.heard.lock().unwrap();
            let now = heard.words.iter().map(|(key, value)| (&**key, &**value));
            heard.is_known && now.eq(words.iter().copied())
        })
        .await;
    }

    fn lost(&self) -> Vec<&'static str> {
        self.heard.lock().unwrap().lost.clone()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn client(broker: &IsolatedNats) -> Client {
    let nats = Nats::open(&broker.url(), "follower").await.unwrap();
    nats.connected().await;
    nats.client().clone()
}

async fn bucket(broker: &IsolatedNats) -> Store {
    let jetstream = jetstream::new(client(broker).await);
    let config = Config { bucket: BUCKET.to_owned(), ..Config::default() };
    jetstream.create_key_value(config).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_and_what_comes_is_heard() {
    let broker = isolated_nats().await;
    let early = Follower::of(&broker, false).await;
    eventually("it to be missed", async || early.lost().contains(&"there is no bucket")).await;

    let bucket = bucket(&broker).await;
    early.hears(&[]).await;
    bucket.put("a", "1".into()).await.unwrap();
    bucket.put("b", "1".into()).await.unwrap();
    bucket.put("a", "2".into()).await.unwrap();
    let late = Follower::of(&broker, false).await;

    for follower in [&early, &late] {
        follower.hears(&[("a", "2"), ("b", "1")]).await;
    }
    bucket.delete("b").await.unwrap();
    bucket.put("c", "1".into()).await.unwrap();
    for follower in [&early, &late] {
        follower.hears(&[("a", "2"), ("c", "1")]).await;
    }
    assert_eq!((late.lost(), late.heard.lock().unwrap().begun), (vec![], 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_bucket_and_a_broker_that_is_back_are_read_anew() {
    let broker = isolated_nats().await;
    let first = bucket(&broker).await;
    first.put("a", "1".into()).await.unwrap();
    let follower = Follower::of(&broker, false).await;
    follower.hears(&[("a", "1")]).await;

    jetstream::new(client(&broker).await).delete_key_value(BUCKET).await.unwrap();
    bucket(&broker).await.put("b", "1".into()).await.unwrap();
    follower.hears(&[("b", "1")]).await;

    broker.down().await;
    eventually("it to be noticed", async || !follower.heard.lock().unwrap().is_known).await;
    let told = follower.lost();
    assert_eq!(told.last(), Some(&"the broker is away"));
    eventually("it to be tried again", async || follower.lost().len() > told.len()).await;
    assert_eq!(follower.lost().last(), Some(&"the broker is away"), "not that there is no bucket");
    broker.up().await;
    follower.hears(&[("b", "1")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_heard_is_noticed_by_who_doubts() {
    let broker = isolated_nats().await;
    let bucket = bucket(&broker).await;
    bucket.put("a", "1".into()).await.unwrap();
    let follower = Follower::of(&broker, true).await;
    follower.hears(&[("a", "1")]).await;

    // The broker forgets who listens, and does not say so.
    let consumers: Vec<String> = bucket.stream.consumer_names().try_collect().await.unwrap();
    assert!(!consumers.is_empty());
    for consumer in consumers {
        bucket.stream.delete_consumer(&consumer).await.unwrap();
    }
    bucket.put("a", "2".into()).await.unwrap();

    follower.hears(&[("a", "2")]).await;
    assert!(follower.lost().contains(&"an entry was not heard"), "{:?}", follower.lost());
}
