//! What tokio says of the runtime that this process' services run on.

use std::sync::OnceLock;

use opentelemetry::metrics::{Meter, ObservableCounter, ObservableGauge};
use tokio::runtime::{Handle, RuntimeMetrics};

use crate::metrics;

static SHOWN: OnceLock<Shown> = OnceLock::new();

/// Kept, so that they are asked as long as the process lives.
struct Shown {
    _gauges: [ObservableGauge<u64>; 3],
    _busy: ObservableCounter<f64>,
}

/// Shows the current runtime's threads, tasks and load on `/metrics`. Asking costs nothing until
/// somebody looks.
pub(super) fn show() {
    let Ok(handle) = Handle::try_current() else { return };
    let runtime = handle.metrics();
    SHOWN.get_or_init(|| {
        let meter = metrics::meter();
        let gauges = [
            gauge(&meter, &runtime, "tokio.workers", "{thread}", RuntimeMetrics::num_workers),
            gauge(&meter, &runtime, "tokio.alive_tasks", "{task}", RuntimeMetrics::num_alive_tasks),
            gauge(
                &meter,
                &runtime,
                "tokio.global_queue.depth",
                "{task}",
                RuntimeMetrics::global_queue_depth,
            ),
        ];
        Shown { _gauges: gauges, _busy: busy(&meter, runtime) }
    });
}

fn gauge(
    meter: &Meter,
    runtime: &RuntimeMetrics,
    name: &'static str,
    unit: &'static str,
    read: fn(&RuntimeMetrics) -> usize,
) -> ObservableGauge<u64> {
    let runtime = runtime.clone();
    meter
        .u64_observable_gauge(name)
        .with_unit(unit)
        .with_callback(move |observer| observer.observe(read(&runtime) as u64, &[]))
        .build()
}

fn busy(meter: &Meter, runtime: RuntimeMetrics) -> ObservableCounter<f64> {
    meter
        .f64_observable_counter("tokio.worker.busy_duration")
        .with_unit("s")
        .with_description("Time that the runtime's threads spent running tasks")
        .with_callback(move |observer| {
            let workers = 0..runtime.num_workers();
            let busy =
                workers.map(|worker| runtime.worker_total_busy_duration(worker).as_secs_f64());
            observer.observe(busy.sum(), &[]);
        })
        .build()
}
