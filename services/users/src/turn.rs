//! Turns the keys that sign access tokens, and tells everybody who verifies tokens by which.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use mesh_auth::{KeyTeller, Told};
use mesh_events::Nats;
use mesh_log::Database;
use mesh_runtime::Service;
use tokio::time::{sleep, timeout};

use crate::app::Keys;

/// How often. A key that is gone is refused everywhere within so long.
const TURN: Duration = Duration::from_secs(5);
/// How long a broker is waited for that is away.
const PATIENCE: Duration = Duration::from_secs(1);
/// Copies of the bucket; a single broker has one.
const REPLICAS: usize = 1;

/// Turns and tells as long as the service runs.
pub fn start(service: &Service, db: &Database, nats: &Nats, keys: &Arc<Keys>) {
    let (db, nats, keys, stopped) = (db.clone(), nats.clone(), Arc::clone(keys), service.stopped());
    service.spawn("signing keys", async move {
        let turning = async {
            loop {
                turn(&db, &nats, &keys).await;
                sleep(TURN).await;
            }
        };
        let _: Option<()> = stopped.run_until_cancelled(Box::pin(turning)).await;
    });
}

async fn turn(db: &Database, nats: &Nats, keys: &Keys) {
    // First: what another replica tells meanwhile is then known to be newer than what is read here.
    let told = told(nats).await;
    if let Err(error) = keys.turn(db).await {
        tracing::warn!(error = %format!("{error:#}"), "signing keys not turned");
        return;
    }
    let telling = async {
        let (teller, told) = told?;
        Ok::<_, anyhow::Error>(teller.tell(&told, &keys.signer().jwks()).await?)
    };
    if let Err(error) = telling.await {
        tracing::debug!(error = %format!("{error:#}"), "signing keys not told");
    }
}

/// The bucket, and what was told there last.
async fn told(nats: &Nats) -> anyhow::Result<(KeyTeller, Told)> {
    timeout(PATIENCE, nats.connected()).await.context("the broker is away")?;
    let teller = KeyTeller::open(nats.jetstream(), REPLICAS).await?;
    let told = teller.told().await?;
    Ok((teller, told))
}
