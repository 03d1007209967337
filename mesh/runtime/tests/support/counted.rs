//! What the process says of itself.

use std::time::Duration;

/// What a counter has counted so far; 0 before the first time.
pub fn counted(name: &str) -> usize {
    let all = mesh_runtime::metrics::render().expect("metrics are shown");
    let line = all.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
}

/// Waits until a counter has come to `goal`.
pub async fn has_counted(name: &str, goal: usize, limit: Duration) {
    let counting = async {
        while counted(name) < goal {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let counting = tokio::time::timeout(limit, counting).await;
    assert!(counting.is_ok(), "{name} is {} and not {goal}", counted(name));
}
