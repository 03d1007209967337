//! Five times as many calls as can be answered.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use mesh_policy::values;
use mesh_rpc::{Code, Server, server::Criticality, timeout_request};
use tokio::time::{Instant, sleep, sleep_until};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::support::{Callee, Knob, MS, Stack, alone, config, read};

const PLACES: usize = 2;
const WORK: Duration = Duration::from_millis(60);
const LASTS: Duration = Duration::from_secs(4);

/// A busy machine makes everybody late; it is not always busy.
const TRIES: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_five_times_the_load_goodput_stays_the_critical_come_first_and_health_answers() {
    let _alone = alone().await;
    let values = values::Server {
        bulkhead: values::Bulkhead { calls: PLACES, queue: 32 },
        ..values::Server::default()
    };
    let working = Knob::new(WORK, Code::Ok).echo();
    let critical = |server: Server| server.criticality(|_| Criticality::Critical);
    let callee = Callee::with(working, values, config(), critical).await;

    let mut seen = Vec::new();
    for _ in 0..TRIES {
        let outcome = overload(&callee).await;
        assert!(outcome.is_by_criticality(), "{outcome:?}");
        let good = outcome.goodput >= 0.8 * outcome.capacity && outcome.health < 50 * MS;
        seen.push(outcome);
        if good {
            return callee.stop().await;
        }
    }
    panic!("{seen:?}");
}

#[derive(Debug)]
struct Outcome {
    /// Calls answered per second, without and with the overload.
    capacity: f64,
    goodput: f64,
    /// Calls answered: sheddable, default, critical.
    answered: [usize; 3],
    /// How long 19 of 20 probes took at most.
    health: Duration,
}

impl Outcome {
    fn is_by_criticality(&self) -> bool {
        let [sheddable, default, critical] = self.answered;
        critical > 2 * default && default >= sheddable
    }
}

async fn overload(callee: &Callee) -> Outcome {
    let stack = Stack::new("overloaded", &[callee.address]);
    let capacity = capacity(&stack).await;
    let over = Arc::new(AtomicBool::new(false));
    let probe =
        tokio::spawn(probe_health(HealthClient::new(stack.channel.clone()), Arc::clone(&over)));
    let offered = (LASTS.as_secs_f64() * capacity * 5.0) as usize;
    let answered = Arc::new([const { AtomicUsize::new(0) }; 3]);
    let mut calls = Vec::new();

    let begin = Instant::now();
    for number in 0..offered {
        let class = Criticality::ALL[number % 3];
        calls.push(tokio::spawn(one(stack.clone(), class, Arc::clone(&answered))));
        sleep_until(begin + LASTS.mul_f64(number as f64 / offered as f64)).await;
    }
    let took = begin.elapsed().as_secs_f64();
    for call in calls {
        call.await.unwrap();
    }
    over.store(true, Ordering::Relaxed);

    let answered = answered.each_ref().map(|count| count.load(Ordering::Relaxed));
    let mut health = probe.await.unwrap();
    health.sort_unstable();
    let goodput = answered.iter().sum::<usize>() as f64 / took;
    Outcome { capacity, goodput, answered, health: health[health.len() * 19 / 20] }
}

async fn one(stack: Stack, class: Criticality, answered: Arc<[AtomicUsize; 3]>) {
    let mut request = timeout_request(read("1"), 400 * MS);
    request.metadata_mut().insert("x-mesh-criticality", class.as_str().parse().unwrap());
    match stack.client().read(request).await {
        Ok(_) => _ = answered[class as usize].fetch_add(1, Ordering::Relaxed),
        Err(status) => assert!(
            matches!(status.code(), Code::ResourceExhausted | Code::DeadlineExceeded),
            "{status:?}"
        ),
    }
}

/// Calls per second when there are as many callers as places.
async fn capacity(stack: &Stack) -> f64 {
    let begin = Instant::now();
    let callers: Vec<_> = (0..PLACES)
        .map(|_| {
            let mut client = stack.client();
            tokio::spawn(async move {
                for _ in 0..15 {
                    client.read(read("1")).await.unwrap();
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    (15 * PLACES) as f64 / begin.elapsed().as_secs_f64()
}

async fn probe_health(
    mut health: HealthClient<mesh_rpc::Channel>,
    over: Arc<AtomicBool>,
) -> Vec<Duration> {
    let mut took = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let begin = Instant::now();
        health.check(HealthCheckRequest::default()).await.expect("health is never shed");
        took.push(begin.elapsed());
        sleep(20 * MS).await;
    }
    took
}
