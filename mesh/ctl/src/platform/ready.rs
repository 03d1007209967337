//! Waits until every service is ready.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use mesh_local::{Home, http, tail};
use serde_json::Value;

use super::specs::SHARED;
use crate::output;
use crate::state::{Instance, State};

const PATIENCE: Duration = Duration::from_secs(60);

/// How long callers may take to find those that did not listen yet when they were called first.
const FINDING: Duration = Duration::from_secs(10);

/// Waits until every process says that it is ready, and has found those that it calls; if one is not
/// ready, an error with the end of its log.
pub async fn wait_ready(home: &Home, state: &State) -> Result<()> {
    let waits = state.instances().map(|(name, number, instance)| one(home, name, number, instance));
    futures::future::try_join_all(waits).await?;
    let finds = state.instances().map(|(_, _, instance)| finds(instance));
    futures::future::join_all(finds).await;
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

/// Who waits in vain goes on: calls say what is the matter, and so does `endpoints`.
async fn finds(instance: &Instance) {
    let begun = Instant::now();
    while begun.elapsed() < FINDING && is_looking(instance).await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// True while a connection to somebody that this process calls is not made yet.
async fn is_looking(instance: &Instance) -> bool {
    let answer = http::request(instance.admin, "GET", "/endpoints").await;
    let tables: HashMap<String, Value> = match answer {
        Ok((200, body)) => serde_json::from_str(&body).unwrap_or_default(),
        _ => return false,
    };
    let endpoints = tables.values().filter_map(|table| table["endpoints"].as_array()).flatten();
    let mut states = endpoints.filter_map(|endpoint| endpoint["state"].as_str());
    states.any(|state| matches!(state, "CONNECTING" | "BACKOFF"))
}

/// What to do, where the log tells.
fn way_out(log: &str) -> String {
    if log.contains("Address already in use") {
        let program = output::program();
        return format!(": its port was taken meanwhile, `{program} down` and `up` choose another");
    }
    String::new()
}
