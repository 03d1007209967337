//! The broker that tests share.

use crate::shared;

/// The URL of the JetStream server that all tests share.
///
/// Streams have fixed names: a test that needs streams of its own takes
/// [`isolated_nats`](crate::isolated_nats).
pub async fn nats() -> String {
    shared::servers().await.nats_url.clone()
}
