//! What goes over a service's connection to the broker.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use async_nats::Client;
use mesh_runtime::{Service, metrics::meter};
use opentelemetry::KeyValue;

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
