//! How everybody hears what is revoked: a key-value bucket of the broker, told by whoever ends
//! sessions and watched by everybody who verifies tokens.
//!
//! While the broker is away nobody hears of anything new. A watcher then says that it is degraded,
//! on the health condition `revocations` and the gauge `mesh_auth_revocations_unknown`, and goes by
//! the declared rule ([`WhenLost`](crate::WhenLost)). When the broker is back the whole bucket is
//! read anew.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_nats::{
    Client,
    connection::State,
    jetstream::{
        self, ErrorCode,
        context::{GetStreamError, GetStreamErrorKind, KeyValueError},
        kv,
    },
};
use futures::StreamExt as _;
use mesh_runtime::{Condition, Service, metrics::meter};
use opentelemetry::{KeyValue, metrics::Gauge};
use tokio::time::{interval, sleep};
use uuid::Uuid;

use crate::{KEPT, Revocations, seconds};

/// The bucket's name. Who tells needs to publish to `$KV.revocations.>`; who watches does not.
pub const BUCKET: &str = "revocations";

/// How often it is looked whether the broker is still there.
const LOOK: Duration = Duration::from_millis(250);
/// Every how many looks it is asked whether the bucket is still the same.
const ASK: u32 = 20;
/// How long to wait before a bucket that cannot be watched is tried again.
const PAUSE: Duration = Duration::from_millis(250);

/// Tells everybody what is revoked.
#[derive(Clone, Debug)]
pub struct RevocationTeller {
    bucket: kv::Store,
}

/// The broker did not take what it was told.
#[derive(Debug, thiserror::Error)]
#[error("the bucket of revocations cannot be used: {0}")]
pub struct NotTold(String);

impl RevocationTeller {
    /// Opens the bucket, and makes it if it is not there; where whoever tells may not, somebody else
    /// has. Entries leave it by themselves when the tokens that they end have expired ([`KEPT`]).
    ///
    /// # Errors
    /// If the broker is away or refuses.
    pub async fn open(jetstream: &jetstream::Context, replicas: usize) -> Result<Self, NotTold> {
        match jetstream.get_key_value(BUCKET).await {
            Ok(bucket) => return Ok(Self { bucket }),
            // Of any other error nobody knows whether it is there.
            Err(error) if !is_absent(&error) => return Err(not_told(error)),
            Err(_) => {}
        }
        let config = kv::Config {
            bucket: BUCKET.to_owned(),
            description: "tokens that ended before they expire".to_owned(),
            history: 1,
            max_age: KEPT,
            num_replicas: replicas,
            ..kv::Config::default()
        };
        let bucket = jetstream.create_key_value(config).await.map_err(not_told)?;
        Ok(Self { bucket })
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
        self.bucket.put(key, value.into()).await.map(drop).map_err(not_told)
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
        let report = Report {
            revocations: Arc::clone(self),
            condition: service.health().condition("revocations"),
            unknown,
            label,
        };
        report.lost("not read yet");
        let (client, jetstream) = (client.clone(), jetstream.clone());
        let stopped = service.stopped();
        service.spawn("revocations", async move {
            let follow = async {
                loop {
                    let why = watch(&client, &jetstream, &report).await;
                    report.lost(why);
                    sleep(PAUSE).await;
                }
            };
            let _: Option<()> = stopped.run_until_cancelled(follow).await;
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

impl Report {
    fn known(&self) {
        self.revocations.set_lost(false);
        self.condition.ready();
        self.unknown.record(0, &self.label);
    }

    fn lost(&self, why: &str) {
        self.revocations.set_lost(true);
        let rule = self.revocations.when_lost_in_words();
        self.condition.degraded(format!("{why}: {rule}"));
        self.unknown.record(1, &self.label);
    }
}

/// Watches the bucket until it cannot. Returns why.
async fn watch(client: &Client, jetstream: &jetstream::Context, report: &Report) -> &'static str {
    let Ok(bucket) = jetstream.get_key_value(BUCKET).await else { return "there is no bucket" };
    let info = bucket.stream.cached_info();
    let (made, mut unread) = (info.created, info.state.messages > 0);
    let Ok(mut entries) = bucket.watch_with_history(">").await else {
        return "the bucket cannot be watched";
    };
    if !unread {
        report.known();
    }
    let mut look = interval(LOOK);
    let mut looks = 0_u32;
    loop {
        tokio::select! {
            entry = entries.next() => {
                let Some(Ok(entry)) = entry else { return "the bucket is watched no more" };
                if report.revocations.take(&entry.key, &entry.value).is_none() {
                    tracing::warn!(key = entry.key, "revocation not understood");
                }
                // The last of those that were there.
                if unread && entry.delta == 0 {
                    unread = false;
                    report.known();
                }
            }
            _ = look.tick() => {
                if client.connection_state() != State::Connected {
                    return "the broker is away";
                }
                looks += 1;
                if looks.is_multiple_of(ASK) {
                    match jetstream.get_key_value(BUCKET).await {
                        Ok(now) if now.stream.cached_info().created == made => {
                            // Those that were there have expired before they were read.
                            if unread && now.stream.cached_info().state.messages == 0 {
                                unread = false;
                                report.known();
                            }
                        }
                        _ => return "the bucket is another",
                    }
                }
            }
        }
    }
}

fn time(seconds: u64) -> SystemTime {
    // Nothing of ours lies beyond; what does is cut instead of failing.
    UNIX_EPOCH + Duration::from_secs(seconds.min(u64::from(u32::MAX)))
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

fn not_told(error: impl std::fmt::Display) -> NotTold {
    NotTold(error.to_string())
}
