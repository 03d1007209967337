//! What became of the policy file, for logs, metrics and the admin port.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
};

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge},
};
use serde_json::{Value, json};
use tokio::time::Instant;

static RELOADS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    mesh_runtime::metrics::meter()
        .u64_counter("mesh.policy.reloads")
        .with_description("Policy files that were read, by whether they were applied or refused")
        .build()
});
static REFUSED: LazyLock<Gauge<u64>> = LazyLock::new(|| {
    mesh_runtime::metrics::meter()
        .u64_gauge("mesh.policy.refused")
        .with_description("1 while the policy file is refused and earlier values are in force")
        .build()
});

/// The state of one service's policy file; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Report {
    service: &'static str,
    path: Option<PathBuf>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// How many texts were applied.
    version: u64,
    applied: Option<Instant>,
    /// Whether the text that is there now is refused.
    is_refused: bool,
    /// Why the last one was that was refused, and when.
    last_refusal: Option<(String, Instant)>,
}

impl Report {
    pub fn new(service: &'static str, path: Option<&Path>) -> Self {
        Self { service, path: path.map(Path::to_owned), state: Arc::default() }
    }

    pub fn applied(&self) {
        let mut state = self.state();
        state.version += 1;
        state.applied = Some(Instant::now());
        state.is_refused = false;
        let (version, service) = (state.version, self.service);
        drop(state);
        self.count("applied", 0);
        tracing::info!(service, version, path = self.shown(), "policy applied");
    }

    pub fn refused(&self, why: String) {
        let service = self.service;
        tracing::error!(
            service,
            why,
            path = self.shown(),
            "policy refused, earlier values stay in force"
        );
        let mut state = self.state();
        state.is_refused = true;
        state.last_refusal = Some((why, Instant::now()));
        drop(state);
        self.count("refused", 1);
    }

    pub fn to_json(&self) -> Value {
        if self.path.is_none() {
            return json!({ "state": "none" });
        }
        let state = self.state();
        let last_refusal = state
            .last_refusal
            .as_ref()
            .map(|(why, since)| json!({ "why": why, "seconds_ago": since.elapsed().as_secs() }));
        json!({
            "path": self.shown(),
            "state": if state.is_refused { "refused" } else { "applied" },
            "version": state.version,
            "applied_seconds_ago": state.applied.map(|since| since.elapsed().as_secs()),
            "last_refusal": last_refusal,
        })
    }

    fn count(&self, outcome: &'static str, refused: u64) {
        let service = KeyValue::new("service", self.service);
        REFUSED.record(refused, std::slice::from_ref(&service));
        RELOADS.add(1, &[service, KeyValue::new("outcome", outcome)]);
    }

    fn shown(&self) -> String {
        self.path.as_deref().map(|path| path.display().to_string()).unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
