//! A broker of the test's own, and a look into its streams.

use std::{fs, path::Path, time::Duration};

use async_nats::{
    HeaderMap,
    jetstream::{
        consumer::{Info, PullConsumer},
        message::PublishMessage,
        stream::{Config, Stream},
    },
};
use mesh_events::{Nats, stream_config};
use mesh_testkit::IsolatedNats;
use uuid::Uuid;

use super::{Counted, STREAM, SUBJECTS};

pub struct Broker {
    pub server: IsolatedNats,
    pub nats: Nats,
}

impl Broker {
    /// A broker with the stream as the platform wants it.
    pub async fn start() -> Self {
        let broker = Self::without_streams().await;
        mesh_events::ensure_stream(&broker.nats, STREAM, SUBJECTS, 1).await.unwrap();
        broker
    }

    /// A broker whose stream is as the platform wants it but for `change`.
    pub async fn with_stream(change: impl FnOnce(&mut Config)) -> Self {
        let broker = Self::without_streams().await;
        let mut config = stream_config(STREAM, SUBJECTS, 1);
        change(&mut config);
        broker.nats.jetstream().create_stream(config).await.unwrap();
        broker
    }

    async fn without_streams() -> Self {
        let server = mesh_testkit::isolated_nats().await;
        let nats = Nats::open(&server.url(), "test").await.unwrap();
        nats.connected().await;
        Self { server, nats }
    }

    pub fn url(&self) -> String {
        self.server.url()
    }

    pub async fn stream(&self) -> Stream {
        self.nats.jetstream().get_stream(STREAM).await.unwrap()
    }

    /// How many messages the stream holds; none while it cannot say so.
    pub async fn count(&self) -> Option<u64> {
        let stream = self.nats.jetstream().get_stream(STREAM).await.ok()?;
        Some(stream.get_info().await.ok()?.state.messages)
    }

    /// Event id and version of every message, in stream order.
    pub async fn events(&self) -> Vec<(Uuid, i32)> {
        let stream = self.stream().await;
        let state = stream.get_info().await.unwrap().state;
        let mut events = Vec::new();
        for sequence in state.first_sequence.max(1)..=state.last_sequence {
            let Ok(message) = stream.get_raw_message(sequence).await else { continue };
            let header = |name: &str| message.headers.get(name).unwrap().as_str();
            events.push((header("ce-id").parse().unwrap(), header("ce-sequence").parse().unwrap()));
        }
        events
    }

    /// The durable consumer, as the broker sees it.
    pub async fn consumer(&self, name: &str) -> Option<Info> {
        let stream = self.nats.jetstream().get_stream(STREAM).await.ok()?;
        let consumer: PullConsumer = stream.get_consumer(name).await.ok()?;
        consumer.get_info().await.ok()
    }

    /// Publishes an event by hand, under a message id of its own.
    pub async fn publish(&self, id: Uuid, key: Uuid, version: i32) {
        use prost::Message as _;
        let body = Counted { number: version }.encode_to_vec();
        self.publish_raw(headers(id, key, version), body).await;
    }

    pub async fn publish_raw(&self, headers: HeaderMap, body: Vec<u8>) {
        let message = PublishMessage::build().headers(headers).payload(body.into());
        let sent = self.nats.jetstream().send_publish("stranger.v1.Counted", message);
        sent.await.unwrap().await.unwrap();
    }
}

/// The headers that a publisher written by somebody else would send.
pub fn headers(id: Uuid, key: Uuid, version: i32) -> HeaderMap {
    headers_at(id, key, version, "now")
}

/// As [`headers`], for an event that was recorded at another time.
pub fn headers_at(id: Uuid, key: Uuid, version: i32, time: &str) -> HeaderMap {
    let now = time::OffsetDateTime::now_utc()
        .format(&time::format_description::well_known::Rfc3339)
        .unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("ce-specversion", "1.0");
    headers.insert("ce-id", id.to_string());
    headers.insert("ce-type", "stranger.v1.Counted");
    headers.insert("ce-source", "/by-hand");
    headers.insert("ce-subject", key.to_string());
    headers.insert("ce-sequence", version.to_string());
    headers.insert("ce-time", if time == "now" { now.as_str() } else { time });
    headers.insert("datacontenttype", "application/protobuf");
    headers
}

/// Copies a directory with everything in it.
pub fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_directory(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A duplicate window that a test can wait for.
pub const SHORT_WINDOW: Duration = Duration::from_millis(500);
