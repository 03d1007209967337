//! How full a pool is, as the semantic conventions for database clients name it.

use std::time::Duration;

use mesh_runtime::{Service, metrics::meter};
use opentelemetry::KeyValue;

use super::Pool;

/// How often it is looked at.
const PERIOD: Duration = Duration::from_secs(5);

/// Measures the pool of `service` as long as it runs, on `/metrics`.
pub(crate) fn measure(service: &Service, pool: &Pool) {
    let (pool, stopped) = (pool.clone(), service.stopped());
    let name = KeyValue::new("db.client.connection.pool.name", service.name());
    let in_state = |state| [name.clone(), KeyValue::new("db.client.connection.state", state)];
    let (used, idle) = (in_state("used"), in_state("idle"));
    let count = meter()
        .u64_gauge("db.client.connection.count")
        .with_unit("{connection}")
        .with_description("Connections that are there, by whether somebody has them")
        .build();
    let max = meter()
        .u64_gauge("db.client.connection.max")
        .with_unit("{connection}")
        .with_description("Connections that there may be")
        .build();
    service.spawn("pool gauge", async move {
        loop {
            let there = u64::from(pool.inner.size());
            let unused = pool.inner.num_idle() as u64;
            count.record(there.saturating_sub(unused), &used);
            count.record(unused, &idle);
            max.record(
                u64::from(pool.inner.options().get_max_connections()),
                std::slice::from_ref(&name),
            );
            let pause = tokio::time::sleep(PERIOD);
            if stopped.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    });
}
