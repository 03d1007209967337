//! The only endpoint is down: refused at once, probed once per window, back as soon as it is well,
//! and seen by operators all the while.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use mesh_echo::{Echo, Relay};
use mesh_rpc::{Code, Disposition, Refusal, disposition, refusal::refusal};
use tokio::{sync::Semaphore, time::Instant};
use tonic::Status;

use crate::{
    load::{Calls, Load},
    support::{Callee, Knob, MS, Stack, add, alone, eventually, failed, metric},
};

/// Windows do not grow.
const WINDOW: &str = "
    [targets.only_fails]
    breaker = { max_open = '1s' }
    [targets.only_gone]
    breaker = { max_open = '1s' }
    connection = { max_backoff = '1s' }
";
/// One of a second and a fifth, and what a busy machine adds to it.
const ONE_WINDOW: Duration = Duration::from_millis(3_000);

async fn ask(stack: &Stack) -> Result<(), Status> {
    stack.client().add(add("1")).await.map(|_| ())
}

fn is_refused(status: &Status) -> bool {
    (status.code(), refusal(status)) == (Code::Unavailable, Some(Refusal::CircuitOpen))
        && disposition(status) == Disposition::NotSent
}

/// Calls are refused unsent, in less than a millisecond.
async fn refuses(stack: &Stack) {
    let mut fastest = Duration::MAX;
    for _ in 0..20 {
        let begin = Instant::now();
        let status = ask(stack).await.unwrap_err();
        fastest = fastest.min(begin.elapsed());
        assert!(is_refused(&status), "{status:?}");
    }
    assert!(fastest < MS, "{fastest:?}");
}

/// Is back within one window.
async fn heals(stack: &Stack) {
    let healed = Instant::now();
    while ask(stack).await.is_err() {
        tokio::time::sleep(MS).await;
    }
    assert!(healed.elapsed() < ONE_WINDOW, "{:?}", healed.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_only_endpoint_that_fails_is_asked_once_per_window() {
    let _alone = alone().await;
    let knob = Knob::new(MS, Code::Unavailable);
    let callee = Callee::start(knob.echo()).await;
    let stack = Stack::set("only_fails", &[callee.address], WINDOW);
    for _ in 0..5 {
        let status = ask(&stack).await.unwrap_err();
        assert_eq!(disposition(&status), Disposition::MaybeProcessed, "sent: {status:?}");
    }
    assert_eq!(stack.breaker(callee.address), "OPEN");
    refuses(&stack).await;

    let (begin, before) = (Instant::now(), callee.echo.asked());
    let load = Load::begin(&stack, 8, Calls::Adds);
    load.lasts(Duration::from_secs(4)).await;
    load.ends().await;
    let probes = callee.echo.asked() - before;
    // Windows of a second less up to a fifth.
    let most = begin.elapsed().as_millis() as usize / 800 + 1;
    assert!((1..=most).contains(&probes), "{probes} of at most {most}");

    knob.set(MS, Code::Ok);
    heals(&stack).await;
    assert_eq!(stack.breaker(callee.address), "CLOSED");
    callee.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_only_endpoint_that_is_gone_is_refused_at_once_and_back_within_a_window() {
    let _alone = alone().await;
    let callee = Callee::start(Echo::default()).await;
    let mut relay = Relay::start(callee.address).await.unwrap();
    let stack = Stack::set("only_gone", &[relay.address], WINDOW);
    ask(&stack).await.unwrap();

    relay.cut().await;
    eventually("it is seen", || stack.breaker(relay.address) == "OPEN").await;
    refuses(&stack).await;
    assert_eq!(callee.echo.asked(), 1);

    relay.mend().await.unwrap();
    heals(&stack).await;
    let row = stack.endpoint(relay.address);
    assert!(row["state"] == "READY" && row["breaker"] == "CLOSED", "{row}");
    callee.stop().await;
}

/// A service that fails, but what is asked for `old` or `probe` waits for a word.
struct Slow {
    echo: Echo,
    old: Arc<Semaphore>,
    probe: Arc<Semaphore>,
}

impl Slow {
    fn new() -> Self {
        let (old, probe) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let gates = (Arc::clone(&old), Arc::clone(&probe));
        let echo = Echo::new(move |asked| {
            let gates = gates.clone();
            async move {
                match asked.text.as_str() {
                    "old" => _ = gates.0.acquire().await.unwrap(),
                    "probe" => _ = gates.1.acquire().await.unwrap(),
                    _ => {}
                }
                if asked.text == "old" { Ok(asked.text) } else { Err(failed(Code::Unavailable)) }
            }
        });
        Self { echo, old, probe }
    }
}

#[tokio::test]
async fn an_answer_to_a_call_from_before_is_not_the_probes() {
    let slow = Slow::new();
    let callee = Callee::start(slow.echo).await;
    let stack = Stack::new("old_answer", &[callee.address]);
    let (before, probing) = (stack.clone(), stack.clone());
    let old = tokio::spawn(async move { before.client().add(add("old")).await });
    eventually("it is worked on", || callee.echo.asked() == 1).await;
    for _ in 0..5 {
        ask(&stack).await.unwrap_err();
    }
    eventually("the window is over", || stack.breaker(callee.address) == "HALF_OPEN").await;
    let probe = tokio::spawn(async move { probing.client().add(add("probe")).await });
    eventually("the probe is sent", || callee.echo.asked() == 7).await;

    slow.old.add_permits(1);
    old.await.unwrap().expect("the old call is answered, and well");

    assert_eq!(stack.breaker(callee.address), "HALF_OPEN", "which decides nothing");
    assert!(is_refused(&ask(&stack).await.unwrap_err()), "nor is a second probe sent");
    slow.probe.add_permits(1);
    probe.await.unwrap().unwrap_err();
    assert_eq!(stack.breaker(callee.address), "OPEN", "the probe does");
    callee.stop().await;
}

/// Events as `state reason`, for every breaker of this thread.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<String>>>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Events {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        let mut fields = std::collections::HashMap::new();
        event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            fields.insert(field.name(), format!("{value:?}").trim_matches('"').to_owned());
        });
        if fields.get("message").is_some_and(|message| message == "breaker changed") {
            let text = format!("{} {}", fields["state"], fields["reason"]);
            self.0.lock().unwrap().push(text);
        }
    }
}

#[tokio::test]
async fn every_change_of_a_circuit_is_an_event_a_metric_and_in_the_table() {
    use tracing_subscriber::layer::SubscriberExt as _;
    let events = Events::default();
    let subscriber = tracing_subscriber::registry().with(events.clone());
    let _guard = mesh_testkit::hear(subscriber);
    let knob = Knob::new(MS, Code::Unavailable);
    let callee = Callee::start(knob.echo()).await;
    let stack = Stack::new("seen", &[callee.address]);
    stack.connected().await;
    let mut seen = vec![stack.breaker(callee.address)];
    for _ in 0..5 {
        ask(&stack).await.unwrap_err();
    }
    seen.push(stack.breaker(callee.address));
    let counted = |state: &str| {
        let text = mesh_runtime::metrics::render().unwrap();
        text.lines().any(|line| {
            line.starts_with("mesh_breaker_state{")
                && line.contains("target=\"seen\"")
                && line.contains(&format!("\"{state}\""))
                && line.ends_with(" 1")
        })
    };
    assert!(counted("OPEN"));
    eventually("the window is over", || stack.breaker(callee.address) == "HALF_OPEN").await;
    seen.push(stack.breaker(callee.address));
    assert!(counted("HALF_OPEN"));
    knob.set(MS, Code::Ok);
    ask(&stack).await.unwrap();
    seen.push(stack.breaker(callee.address));

    assert_eq!(seen, ["CLOSED", "OPEN", "HALF_OPEN", "CLOSED"]);
    assert!(counted("CLOSED"));
    let told = events.0.lock().unwrap().clone();
    assert_eq!(
        told,
        ["OPEN consecutive failures", "HALF_OPEN window over", "CLOSED probe succeeded"]
    );
    assert_eq!(metric("mesh_breaker_transitions_total", "seen"), 3.0);
    callee.stop().await;
}
