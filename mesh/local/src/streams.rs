//! The JetStream streams and buckets that services declare.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use async_nats::jetstream::{self, kv, stream};
use async_nats::{Client, ConnectOptions, ServerAddr};

use crate::{Declaration, inbox_prefix};

const MAX_AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// Creates the stream of every service that publishes and every bucket that one uses, or brings them
/// to what is declared. Safe to run again.
pub async fn ensure_streams(url: &str, declarations: &[Declaration]) -> Result<()> {
    let client = connect_nats(url).await?;
    ensure_streams_with(&client, declarations, 1).await
}

/// The same over a connection that is there, each kept by so many servers of a cluster.
pub async fn ensure_streams_with(
    client: &Client,
    declarations: &[Declaration],
    replicas: usize,
) -> Result<()> {
    let jetstream = jetstream::new(client.clone());
    for declaration in declarations.iter().filter(|d| !d.publishes.is_empty()) {
        let config = stream::Config {
            name: declaration.service.clone(),
            subjects: declaration.subjects(),
            storage: stream::StorageType::File,
            retention: stream::RetentionPolicy::Limits,
            // The relay waits rather than lose the oldest.
            discard: stream::DiscardPolicy::New,
            max_age: MAX_AGE,
            duplicate_window: DUPLICATE_WINDOW,
            num_replicas: replicas,
            ..stream::Config::default()
        };
        jetstream
            .create_or_update_stream(config)
            .await
            .with_context(|| format!("cannot create the stream `{}`", declaration.service))?;
    }
    let mut buckets: BTreeMap<_, Option<Duration>> = BTreeMap::new();
    for bucket in declarations.iter().flat_map(|it| &it.buckets) {
        let max_age = buckets.entry(&bucket.name).or_default();
        *max_age = bucket.max_age.max(*max_age);
    }
    for (bucket, max_age) in buckets {
        let config = kv::Config {
            bucket: bucket.clone(),
            history: if bucket == mesh_flags::BUCKET { mesh_flags::HISTORY } else { 1 },
            // None is zero: for ever.
            max_age: max_age.unwrap_or_default(),
            storage: stream::StorageType::File,
            num_replicas: replicas,
            ..kv::Config::default()
        };
        jetstream
            .create_or_update_key_value(config)
            .await
            .with_context(|| format!("cannot create the bucket `{bucket}`"))?;
    }
    Ok(())
}

/// Connects to the broker with the user and password of its URL, and by TLS if its scheme is `tls`:
/// `tls_ca` then names the PEM file of those to trust.
pub async fn connect_nats(url: &str) -> Result<Client> {
    let address: ServerAddr = url.parse().context("the broker's URL is malformed")?;
    // The client library reads no credentials from an address.
    let mut options = match (address.username(), address.password()) {
        (Some(user), Some(password)) => {
            ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned())
                .custom_inbox_prefix(inbox_prefix(user))
        }
        _ => ConnectOptions::new(),
    };
    options = options.require_tls(address.tls_required());
    if let Some((_, trust)) =
        address.clone().into_inner().query_pairs().find(|(name, _)| name == "tls_ca")
    {
        options = options.add_root_certificates(PathBuf::from(&*trust));
    }
    options.connect(address).await.context("cannot connect to nats-server")
}
