//! How everybody hears what is revoked: a key-value bucket of the broker, told by whoever ends
//! sessions and watched by everybody who verifies tokens.
//!
//! While the broker is away nobody hears of anything new. A watcher then says that it is degraded,
//! on the health condition `revocations` and the gauge `mesh_auth_revocations_unknown`, and goes by
//! the declared rule ([`WhenLost`](crate::WhenLost)). When the broker is back the whole bucket is
//! read anew.

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_nats::{
    Client,
    jetstream::{
        self, ErrorCode,
        context::{GetStreamError, GetStreamErrorKind, KeyValueError},
        kv::{self, Entry},
    },
};
use mesh_buckets::{Listener, follow};
use mesh_runtime::{Condition, Service, metrics::meter};
use opentelemetry::{KeyValue, metrics::Gauge};
use uuid::Uuid;

use crate::{KEPT, Revocations, seconds};

/// The bucket's name. Who tells needs to publish to `$KV.revocations.>`; who watches does not.
pub const BUCKET: &str = "revocations";

/// Tells everybody what is revoked.
#[derive(Clone, Debug)]
pub struct RevocationTeller {
    bucket: kv::Store,
}

/// The broker did not take what it was told.
#[derive(Debug, thiserror::Error)]
#[error("a bucket of the broker cannot be used: {0}")]
pub struct NotTold(String);

impl NotTold {
    pub(crate) fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

impl RevocationTeller {
    /// Opens the bucket, and makes it if it is not there; where whoever tells may not, somebody else
    /// has. Entries leave it by themselves when the tokens that they end have expired ([`KEPT`]).
    ///
    /// # Errors
    /// If the broker is away or refuses.
    pub async fn open(jetstream: &jetstream::Context, replicas: usize) -> Result<Self, NotTold> {
        let config = kv::Config {
            bucket: BUCKET.to_owned(),
            description: "tokens that ended before they expire".to_owned(),
            history: 1,
            max_age: KEPT,
            num_replicas: replicas,
            ..kv::Config::default()
        };
        Ok(Self { bucket: open(jetstream, config).await? })
    }

    /// Tells that a session ended, whose tokens live until `until` at most.
    ///
    /// # Errors
    /// If the broker did not store it; whoever tells has to tell again.
    pub async fn tell_session(&self, session: Uuid, until: SystemTime) -> Result<(), NotTold> {
        self.put(format!("session.{session}"), seconds(until).to_string()).await
    }

    /// Tells that all tokens ended which `subject` was given in the second of `before` or earlier.
    ///
    /// # Errors
    /// If the broker did not store it; whoever tells has to tell again.
    pub async fn tell_subject(
        &self,
        subject: Uuid,
        before: SystemTime,
        until: SystemTime,
    ) -> Result<(), NotTold> {
        let value = format!("{} {}", seconds(until), seconds(before));
        self.put(format!("subject.{subject}"), value).await
    }

    /// When the bucket was made, in nanoseconds since 1970: another one is empty.
    pub fn made_at(&self) -> i128 {
        self.bucket.stream.cached_info().created.unix_timestamp_nanos()
    }

    async fn put(&self, key: String, value: String) -> Result<(), NotTold> {
        self.bucket.put(key, value.into()).await.map(drop).map_err(NotTold::of)
    }
}

impl Revocations {
    /// Follows the bucket as long as `service` runs. Until it was read for the first time it is not
    /// known what is revoked.
    pub fn follow(
        self: &Arc<Self>,
        service: &Service,
        client: &Client,
        jetstream: &jetstream::Context,
    ) {
        let label = [KeyValue::new("service", service.name())];
        let unknown = meter()
            .u64_gauge("mesh_auth_revocations_unknown")
            .with_description("1 while it is not known which tokens are revoked.")
            .build();
        let mut report = Report {
            revocations: Arc::clone(self),
            condition: service.health().condition("revocations"),
            unknown,
            label,
        };
        // At once: the task that follows may begin later.
        report.lost("not read yet");
        let (client, jetstream) = (client.clone(), jetstream.clone());
        let stopped = service.stopped();
        service.spawn("revocations", async move {
            let follow = follow(&client, &jetstream, BUCKET, &mut report);
            let _: Option<Infallible> = stopped.run_until_cancelled(follow).await;
        });
    }

    /// Takes an entry of the bucket. What cannot be read was not written by a teller.
    fn take(&self, key: &str, value: &[u8]) -> Option<()> {
        let (kind, id) = key.split_once('.')?;
        let id: Uuid = id.parse().ok()?;
        let mut numbers = std::str::from_utf8(value).ok()?.split(' ').map(str::parse::<u64>);
        let until = time(numbers.next()?.ok()?);
        match kind {
            "session" => self.revoke_session(id, until),
            "subject" => self.revoke_subject(id, time(numbers.next()?.ok()?), until),
            _ => return None,
        }
        Some(())
    }
}

/// Who hears whether it is known what is revoked.
struct Report {
    revocations: Arc<Revocations>,
    condition: Condition,
    unknown: Gauge<u64>,
    label: [KeyValue; 1],
}

impl Listener for Report {
    fn entry(&mut self, entry: &Entry) {
        if self.revocations.take(&entry.key, &entry.value).is_none() {
            tracing::warn!(key = entry.key, "revocation not understood");
        }
    }

    fn known(&mut self) {
        self.revocations.set_lost(false);
        self.condition.ready();
        self.unknown.record(0, &self.label);
    }

    fn lost(&mut self, why: &'static str) {
        self.revocations.set_lost(true);
        let rule = self.revocations.when_lost_in_words();
        self.condition.degraded(format!("{why}: {rule}"));
        self.unknown.record(1, &self.label);
    }
}

fn time(seconds: u64) -> SystemTime {
    // Nothing of ours lies beyond; what does is cut instead of failing.
    UNIX_EPOCH + Duration::from_secs(seconds.min(u64::from(u32::MAX)))
}

/// Opens a bucket, and makes it if it is not there.
pub(crate) async fn open(
    jetstream: &jetstream::Context,
    config: kv::Config,
) -> Result<kv::Store, NotTold> {
    match jetstream.get_key_value(&config.bucket).await {
        Ok(bucket) => Ok(bucket),
        // Of any other error nobody knows whether it is there.
        Err(error) if !is_absent(&error) => Err(NotTold::of(error)),
        Err(_) => jetstream.create_key_value(config).await.map_err(NotTold::of),
    }
}

/// Whether the broker says that there is no such bucket.
fn is_absent(error: &KeyValueError) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<GetStreamError>() {
            let GetStreamErrorKind::JetStream(error) = error.kind() else { return false };
            return error.error_code() == ErrorCode::STREAM_NOT_FOUND;
        }
        source = error.source();
    }
    false
}
