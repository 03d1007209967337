//! Streams as the platform wants them.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};

use crate::Nats;

/// How long a stream keeps its messages.
pub const STREAM_AGE_LIMIT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How long a stream remembers message ids.
pub const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// Creates the stream `name` over `subjects`, or brings an existing one to the same settings.
///
/// On disk, kept for 30 days, refusing what does not fit (the relay waits), with a duplicate window
/// of two minutes. Safe to repeat.
pub async fn ensure_stream(
    nats: &Nats,
    name: &str,
    subjects: &[&str],
    replicas: usize,
) -> anyhow::Result<()> {
    let config = stream_config(name, subjects, replicas);
    nats.jetstream().create_or_update_stream(config).await?;
    Ok(())
}

/// The settings that [`ensure_stream`] gives to a stream.
pub fn stream_config(name: &str, subjects: &[&str], replicas: usize) -> Config {
    Config {
        name: name.to_owned(),
        subjects: subjects.iter().map(ToString::to_string).collect(),
        storage: StorageType::File,
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::New,
        max_age: STREAM_AGE_LIMIT,
        duplicate_window: DUPLICATE_WINDOW,
        num_replicas: replicas,
        ..Config::default()
    }
}
