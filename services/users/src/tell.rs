//! Tells everybody who verifies tokens what is revoked. It is a row first, committed with what it
//! follows from, and told until the broker has it: nothing that ends stays unheard for good.

use std::{sync::Arc, time::Duration};

use mesh_auth::RevocationTeller;
use mesh_events::Nats;
use mesh_log::Database;
use mesh_runtime::Service;
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use crate::store::{self, Revocation};

/// How often it is looked for what other replicas left untold.
const LOOK: Duration = Duration::from_secs(1);
/// How long to wait before a broker is asked again that did not take it.
const PAUSE: Duration = Duration::from_millis(250);
/// How often it is looked whether the bucket is still the same.
const RENEW: Duration = Duration::from_secs(10);
/// Copies of the bucket; a single broker has one.
const REPLICAS: usize = 1;

/// Tells as long as the service runs; at once when `revoked` says that there is something.
pub fn start(service: &Service, db: &Database, nats: &Nats, revoked: Arc<Notify>) {
    let (db, nats, stopped) = (db.clone(), nats.clone(), service.stopped());
    service.spawn("revocation teller", async move {
        let mut made = None;
        let telling = async {
            loop {
                if let Err(error) = tell(&db, &nats, &revoked, &mut made).await {
                    tracing::debug!(%error, "revocations not told");
                    sleep(PAUSE).await;
                }
            }
        };
        let _: Option<()> = stopped.run_until_cancelled(Box::pin(telling)).await;
    });
}

/// Tells what there is, for a while. A bucket that was not met before gets all that has an effect.
async fn tell(
    db: &Database,
    nats: &Nats,
    revoked: &Notify,
    made: &mut Option<i128>,
) -> anyhow::Result<()> {
    let teller = RevocationTeller::open(nats.jetstream(), REPLICAS).await?;
    if *made != Some(teller.made_at()) {
        let live = store::live_revocations(db.pool()).await?;
        tell_all(db, &teller, &live).await?;
        *made = Some(teller.made_at());
    }
    let mut looked = Duration::ZERO;
    while looked < RENEW {
        let untold = store::untold(db.pool()).await?;
        tell_all(db, &teller, &untold).await?;
        if untold.is_empty() && timeout(LOOK, revoked.notified()).await.is_err() {
            looked += LOOK;
        }
    }
    Ok(())
}

async fn tell_all(
    db: &Database,
    teller: &RevocationTeller,
    revocations: &[Revocation],
) -> anyhow::Result<()> {
    if revocations.is_empty() {
        return Ok(());
    }
    for it in revocations {
        let (revoked, expires) = (it.revoked.into(), it.expires.into());
        if it.of_session {
            teller.tell_session(it.thing, expires).await?;
        } else {
            teller.tell_subject(it.thing, revoked, expires).await?;
        }
    }
    let ids: Vec<_> = revocations.iter().map(|it| it.id).collect();
    store::tell(db.pool(), &ids).await?;
    Ok(())
}
