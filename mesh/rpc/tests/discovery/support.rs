//! Waiting for what discovery knows.

use std::{net::SocketAddr, time::Duration};

use mesh_rpc::discovery::{Endpoints, Settings, Snapshot, State};

/// Longer than anything here should take, on a machine that does other things too.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Look-ups follow each other closely.
pub fn eager() -> Settings {
    Settings {
        min_ttl: Duration::from_millis(50),
        max_ttl: Duration::from_millis(50),
        gap: Duration::from_millis(10),
        file_interval: Duration::from_millis(20),
        seed: Some(5),
        ..Settings::default()
    }
}

/// Nobody is asked unless a connection fails.
pub fn on_failure() -> Settings {
    let hour = Duration::from_secs(3600);
    Settings { min_ttl: hour, max_ttl: hour, ..eager() }
}

/// Waits until discovery knows `addresses` in `state`.
#[track_caller]
pub fn until(endpoints: &Endpoints, state: State, addresses: &[&str]) -> impl Future<Output = ()> {
    let expected = self::addresses(addresses);
    let caller = std::panic::Location::caller();
    let mut changes = endpoints.watch();
    let endpoints = endpoints.clone();
    async move {
        let as_expected =
            |now: &Snapshot| now.state == state && *now.addresses == *expected.as_slice();
        let waited = tokio::time::timeout(PATIENCE, changes.wait_for(as_expected)).await;
        assert!(
            waited.is_ok_and(|waited| waited.is_ok()),
            "{caller}: not {state:?} {expected:?}, but {}",
            endpoints.report()
        );
    }
}

pub fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Waits for what becomes true.
pub async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = tokio::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain for: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
