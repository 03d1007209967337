//! Waits until every service is ready.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use mesh_local::{Home, http, tail};

use super::specs::SHARED;
use crate::output;
use crate::state::{Instance, State};

const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until every process says that it is ready; if one does not, an error with the end of its
/// log.
pub async fn wait_ready(home: &Home, state: &State) -> Result<()> {
    let waits = state.instances().map(|(name, number, instance)| one(home, name, number, instance));
    futures::future::try_join_all(waits).await?;
    Ok(())
}

async fn one(home: &Home, name: &str, number: usize, instance: &Instance) -> Result<()> {
    let begun = Instant::now();
    while !http::is_ok(instance.admin, "/readyz").await {
        if begun.elapsed() > PATIENCE {
            let own = home.path(&format!("logs/{name}.{number}.log"));
            let shared = home.path(&format!("logs/{SHARED}.0.log"));
            let log = if own.is_file() { own } else { shared };
            let end = tail(&log, 10);
            bail!(
                "{name} is not ready after {} s{}; {} ends with\n{end}",
                PATIENCE.as_secs(),
                way_out(&end),
                log.display(),
            );
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// What to do, where the log tells.
fn way_out(log: &str) -> String {
    if log.contains("Address already in use") {
        let program = output::program();
        return format!(": its port was taken meanwhile, `{program} down` and `up` choose another");
    }
    String::new()
}
