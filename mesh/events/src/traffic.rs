//! What goes over a service's connection to the broker.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use async_nats::Client;
use mesh_runtime::{Service, metrics::meter};
use opentelemetry::{KeyValue, metrics::Counter};

/// How often it is looked at.
const PERIOD: Duration = Duration::from_secs(5);

/// Measures the traffic of `service` as long as it runs, on `/metrics`.
pub(crate) fn measure(service: &Service, client: Client) {
    let stopped = service.stopped();
    let way = |way| [KeyValue::new("service", service.name()), KeyValue::new("direction", way)];
    let (received, sent) = (way("received"), way("sent"));
    let own = [KeyValue::new("service", service.name())];
    let counter = |name, unit, description| {
        meter().u64_counter(name).with_unit(unit).with_description(description).build()
    };
    let messages = counter("mesh.nats.messages", "{message}", "Messages to and from the broker");
    let bytes = counter("mesh.nats.io", "By", "Bytes to and from the broker");
    let connects = counter("mesh.nats.connects", "{connection}", "Connections to the broker made");
    let mut before = [0; 5];
    service.spawn("broker gauge", async move {
        loop {
            let all = client.statistics();
            let now = [&all.in_messages, &all.out_messages, &all.in_bytes, &all.out_bytes];
            let mut new = |place: usize, now: u64| {
                now.saturating_sub(std::mem::replace(&mut before[place], now))
            };
            let [ins, outs, in_bytes, out_bytes] = now.map(|count| count.load(Relaxed));
            messages.add(new(0, ins), &received);
            messages.add(new(1, outs), &sent);
            bytes.add(new(2, in_bytes), &received);
            bytes.add(new(3, out_bytes), &sent);
            connects.add(new(4, all.connects.load(Relaxed)), &own);
            let pause = tokio::time::sleep(PERIOD);
            if stopped.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    });
}

/// What the broker refused a service, counted on `/metrics`.
#[derive(Debug)]
pub(crate) struct Refusals {
    counter: Counter<u64>,
    service: [KeyValue; 1],
    counted: u64,
}

impl Refusals {
    pub(crate) fn of(service: &Service) -> Self {
        let counter = meter()
            .u64_counter("mesh.nats.refusals")
            .with_unit("{refusal}")
            .with_description("What the broker did not allow the service")
            .build();
        let service = [KeyValue::new("service", service.name())];
        counter.add(0, &service);
        Self { counter, service, counted: 0 }
    }

    /// Counts up to `all`.
    pub(crate) fn come_to(&mut self, all: u64) {
        self.counter.add(all.saturating_sub(self.counted), &self.service);
        self.counted = all;
    }
}
