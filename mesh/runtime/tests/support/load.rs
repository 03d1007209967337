//! More telemetry than can wait for a collector.

use std::time::Duration;

use mesh_runtime::{ServiceConfig, trace};

/// Far more than a queue holds.
pub const CALLS: usize = 50_000;
/// A queue, and what is on its way or being read from it (OpenTelemetry's defaults).
pub const HELD: usize = 2_048 + 2 * 512;
pub const FLUSH: Duration = Duration::from_secs(2);
pub const LIMIT: Duration = Duration::from_secs(60);

/// Of a service that sends everything there, and lines of `test` from `info` on.
pub fn sends_to(endpoint: String, test: &str) -> ServiceConfig {
    ServiceConfig {
        otlp_endpoint: Some(endpoint),
        otlp_interval: Duration::from_millis(20),
        log_level: format!("error,{test}=info"),
        ..ServiceConfig::default()
    }
}

/// Serves that many calls. Nothing here awaits: a full queue that made its caller wait would stop the test.
pub fn serve() {
    for call in 0..CALLS {
        let _inside = trace::begin(None, || tracing::error_span!(parent: None, "call")).entered();
        if call % 10 == 0 {
            tracing::info!(call, "served");
        }
    }
}
