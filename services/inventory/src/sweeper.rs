//! Ends holds whose time is over. Runs on every replica; a hold ends once.

use std::time::Duration;

use mesh_log::Database;
use mesh_runtime::Service;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use crate::app::{self, StockDesk};

/// How often the sweeper looks.
const PERIOD: Duration = Duration::from_secs(1);

/// Sweeps until the service drains.
pub fn start(service: &Service, db: &Database, desk: &StockDesk) {
    let (db, desk, draining) = (db.clone(), desk.clone(), service.draining());
    service.spawn("sweeper", async move {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = draining.cancelled() => return,
                _ = ticks.tick() => sweep(&db, &desk).await,
            }
        }
    });
}

async fn sweep(db: &Database, desk: &StockDesk) {
    loop {
        match app::expire_holds(db, desk).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                warn!(%error, "holds not ended, trying again");
                return;
            }
        }
    }
}
