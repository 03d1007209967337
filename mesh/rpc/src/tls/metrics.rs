//! Handshakes, counted by how they ended.

use std::sync::LazyLock;

use opentelemetry::{KeyValue, metrics::Counter};

use super::TlsError;

static HANDSHAKES: LazyLock<Counter<u64>> = LazyLock::new(|| {
    mesh_runtime::metrics::meter()
        .u64_counter("mesh.tls.handshakes")
        .with_description("TLS handshakes by how they ended")
        .build()
});

/// Counts a handshake that the server of `service` took part in.
pub(super) fn accepted(service: &'static str, error: Option<&TlsError>) {
    count(error, [KeyValue::new("side", "server"), KeyValue::new("service", service)]);
}

/// Counts a handshake with the service `target`.
pub(super) fn connected(target: &str, error: Option<&TlsError>) {
    let target = KeyValue::new("mesh.target", target.to_owned());
    count(error, [KeyValue::new("side", "client"), target]);
}

fn count(error: Option<&TlsError>, [side, whose]: [KeyValue; 2]) {
    let result = error.map_or("ok", TlsError::label);
    HANDSHAKES.add(1, &[side, whose, KeyValue::new("result", result)]);
}
