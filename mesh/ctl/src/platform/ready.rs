//! Waits until every service is ready.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use mesh_local::{Home, http, tail};
use serde_json::Value;

use super::specs::SHARED;
use crate::output;
use crate::state::{Instance, State};

/// How long a process may take to be ready, unless somebody says otherwise.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long callers may take to find those that did not listen yet when they were called first.
const FINDING: Duration = Duration::from_secs(10);

/// Waits until every process says that it is ready, and has found those that it calls; if one is not
/// ready in time, an error with the end of its log.
pub async fn wait_ready(home: &Home, state: &State, patience: Duration) -> Result<()> {
    let waits = state.instances().map(|it| one(home, it, patience));
    futures::future::try_join_all(waits).await?;
    let finds = state.instances().map(|(_, _, instance)| finds(instance));
    futures::future::join_all(finds).await;
    Ok(())
}

async fn one(
    home: &Home,
    (name, number, instance): (&str, usize, &Instance),
    patience: Duration,
) -> Result<()> {
    let begun = Instant::now();
    while !http::is_ok(instance.admin, "/readyz").await {
        if begun.elapsed() > patience {
            let own = home.path(&format!("logs/{name}.{number}.log"));
            let shared = home.path(&format!("logs/{SHARED}.0.log"));
            let log = if own.is_file() { own } else { shared };
            let end = tail(&log, 10);
            let ends = if end.trim().is_empty() { "is empty" } else { "ends with\n" };
            bail!(
                "{name} is not ready after {} s{}{}; {} {ends}{end}",
                patience.as_secs(),
                way_out(&end),
                if is_another(home, name, number, instance) { ": it ends by itself" } else { "" },
                log.display(),
            );
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Whether the process has ended since, and was started again.
fn is_another(home: &Home, name: &str, number: usize, instance: &Instance) -> bool {
    let Ok(Some(now)) = State::find(home) else { return false };
    let now = now.services.get(name).and_then(|instances| instances.get(number));
    now.is_some_and(|now| now.pid != instance.pid)
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
