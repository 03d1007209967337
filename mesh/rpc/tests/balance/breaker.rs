//! The only endpoint is down: refused at once, probed once per window, back as soon as it is well.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use mesh_policy::values;
use mesh_rpc::{
    Code, Disposition,
    balance::{Absence, Circuit, NoEndpoint, State, Tried},
    disposition,
};
use tokio::time::{Instant, sleep};

use crate::support::{Net, Plan, World, call, call_with, request};

fn is_refused(status: &tonic::Status) -> bool {
    NoEndpoint::of(status).is_some_and(|refusal| refusal.absence() == Absence::CircuitOpen)
        && status.code() == Code::Unavailable
        && disposition(status) == Disposition::NotSent
}

#[tokio::test(start_paused = true)]
async fn the_only_endpoint_failing_is_probed_once_per_window() {
    failing(Net::Memory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_only_endpoint_failing_is_probed_once_per_window_over_sockets() {
    failing(Net::Sockets).await;
}

async fn failing(net: Net) {
    let mut values = values::Target::default();
    values.breaker.max_open = Duration::from_secs(1);
    let world = World::new(net, 1, values).await;
    world.peers[0].does(Plan::fails(1, Code::Unavailable));
    for _ in 0..5 {
        let status = call(&world.balancer).await.unwrap_err();
        assert_eq!(disposition(&status), Disposition::MaybeProcessed, "sent: {status:?}");
    }

    let begin = Instant::now();
    let mut fastest = Duration::MAX;
    for _ in 0..20 {
        let begin = Instant::now();
        let status = call(&world.balancer).await.unwrap_err();
        fastest = fastest.min(begin.elapsed());
        assert!(is_refused(&status), "{status:?}");
    }
    assert!(fastest < Duration::from_millis(1), "{fastest:?}");
    assert!(begin.elapsed() > Duration::from_secs(1) || world.peers[0].hits() == 5);

    let begin = Instant::now();
    let before = world.peers[0].hits();
    world.calls_for(8, Duration::from_secs(4)).await;
    let probes = world.peers[0].hits() - before;
    // Windows of a second less up to a fifth.
    let most = begin.elapsed().as_millis() as usize / 800 + 1;
    assert!((1..=most).contains(&probes), "{probes} of at most {most}");

    world.peers[0].does(Plan::fine(1));
    let healed = Instant::now();
    while call(&world.balancer).await.is_err() {
        sleep(Duration::from_millis(1)).await;
    }
    // One window and what a busy machine adds to it.
    let limit = match net {
        Net::Memory => Duration::from_millis(1010),
        Net::Sockets => Duration::from_secs(3),
    };
    assert!(healed.elapsed() < limit, "{:?}", healed.elapsed());
    assert_eq!(world.row(0).breaker, Circuit::Closed);
}

#[tokio::test(start_paused = true)]
async fn the_only_endpoint_unreachable_is_refused_at_once_and_back_within_a_window() {
    unreachable(Net::Memory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_only_endpoint_unreachable_is_refused_at_once_and_back_over_sockets() {
    unreachable(Net::Sockets).await;
}

async fn unreachable(net: Net) {
    let mut values = values::Target::default();
    values.breaker.max_open = Duration::from_secs(1);
    let world = World::new(net, 1, values).await;
    call(&world.balancer).await.unwrap();
    world.peers[0].dies();
    world.row_is(0, |row| row.breaker == Circuit::Open).await;

    let mut fastest = Duration::MAX;
    for _ in 0..20 {
        let begin = Instant::now();
        let status = call(&world.balancer).await.unwrap_err();
        fastest = fastest.min(begin.elapsed());
        assert!(is_refused(&status), "{status:?}");
        assert!(status.message().contains("refused"), "says why: {status:?}");
    }
    assert!(fastest < Duration::from_millis(1), "{fastest:?}");

    world.peers[0].rises().await;
    let healed = Instant::now();
    while call(&world.balancer).await.is_err() {
        sleep(Duration::from_millis(1)).await;
    }
    let limit = match net {
        Net::Memory => Duration::from_millis(1010),
        Net::Sockets => Duration::from_secs(3),
    };
    assert!(healed.elapsed() < limit, "{:?}", healed.elapsed());
    let row = world.row(0);
    assert_eq!((row.state, row.breaker), (State::Ready, Circuit::Closed));
}

#[tokio::test(start_paused = true)]
async fn when_the_last_endpoint_goes_one_that_came_back_meanwhile_is_found_at_once() {
    let mut values = values::Target::default();
    values.breaker.open = Duration::from_secs(30);
    values.connection.max_backoff = Duration::from_secs(30);
    let world = World::new(Net::Memory, 2, values).await;
    world.peers[0].dies();
    world.row_is(0, |row| row.breaker == Circuit::Open).await;
    sleep(Duration::from_secs(5)).await;
    world.peers[0].rises().await;
    call(&world.balancer).await.unwrap();
    assert_eq!(world.row(0).breaker, Circuit::Open, "nobody has looked for it yet");

    world.peers[1].dies();

    world.row_is(1, |row| row.state != State::Ready).await;
    for _ in 0..20 {
        call(&world.balancer).await.unwrap();
    }
    assert_eq!(world.row(0).state, State::Ready);
}

#[tokio::test(start_paused = true)]
async fn when_all_are_gone_each_is_tried_once_more_and_calls_are_refused() {
    let mut values = values::Target::default();
    values.breaker.open = Duration::from_secs(30);
    values.connection.max_backoff = Duration::from_secs(30);
    let world = World::new(Net::Memory, 2, values).await;
    world.peers[0].dies();
    world.row_is(0, |row| row.breaker == Circuit::Open).await;

    world.peers[1].dies();

    world.row_is(1, |row| row.breaker == Circuit::Open).await;
    world.row_is(0, |row| row.breaker == Circuit::Open).await;
    let begin = Instant::now();
    let status = call(&world.balancer).await.unwrap_err();
    assert!(is_refused(&status), "{status:?}");
    assert!(begin.elapsed() < Duration::from_millis(1), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_window_ends_a_longer_pause_between_connections() {
    let mut values = values::Target::default();
    values.connection.first_backoff = Duration::from_secs(30);
    values.connection.max_backoff = Duration::from_secs(30);
    values.breaker.consecutive = 1;
    values.breaker.max_open = Duration::from_secs(1);
    let world = World::prepared(Net::Memory, 1, values, |peers| peers[0].dies()).await;
    world.row_is(0, |row| row.breaker == Circuit::Open).await;
    sleep(Duration::from_secs(5)).await;

    world.peers[0].rises().await;
    let healed = Instant::now();
    world.row_is(0, |row| row.state == State::Ready).await;

    assert!(healed.elapsed() < Duration::from_millis(1_010), "{:?}", healed.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_a_call_from_before_is_not_the_probes() {
    let world = World::new(Net::Memory, 1, values::Target::default()).await;
    call(&world.balancer).await.unwrap();
    world.peers[0].does(Plan::fine(1_500));
    let old = tokio::spawn({
        let balancer = world.balancer.clone();
        async move { call(&balancer).await }
    });
    sleep(Duration::from_millis(1)).await;
    world.peers[0].does(Plan::fails(1, Code::Unavailable));
    for _ in 0..5 {
        call(&world.balancer).await.unwrap_err();
    }
    world.row_is(0, |row| row.breaker == Circuit::HalfOpen).await;
    world.peers[0].does(Plan::fails(700, Code::Unavailable));
    let probe = tokio::spawn({
        let balancer = world.balancer.clone();
        async move { call(&balancer).await }
    });

    old.await.unwrap().expect("the old call is answered, and well");

    assert_eq!(world.row(0).breaker, Circuit::HalfOpen, "which decides nothing");
    assert!(is_refused(&call(&world.balancer).await.unwrap_err()), "nor is a second probe sent");
    probe.await.unwrap().unwrap_err();
    assert_eq!(world.row(0).breaker, Circuit::Open, "the probe does");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_probe_leaves_its_place_to_the_next_call() {
    let world = World::new(Net::Memory, 1, values::Target::default()).await;
    world.peers[0].does(Plan::fails(1, Code::Unavailable));
    for _ in 0..5 {
        call(&world.balancer).await.unwrap_err();
    }
    world.row_is(0, |row| row.breaker == Circuit::HalfOpen).await;
    world.peers[0].does(Plan::fine(50));

    let unsent = world.balancer.pick(&Tried::default(), None).await.unwrap();
    assert!(unsent.is_probe());
    world.balancer.pick(&Tried::default(), None).await.expect_err("one probe");
    drop(unsent);
    let sent = world.balancer.pick(&Tried::default(), None).await.unwrap();
    assert!(sent.is_probe());
    let given_up = tokio::time::timeout(Duration::from_millis(1), sent.send(request())).await;
    given_up.expect_err("no answer yet");
    let last = world.balancer.pick(&Tried::default(), None).await.unwrap();
    assert!(last.is_probe());
    drop(last);

    call(&world.balancer).await.unwrap();
    assert_eq!(world.row(0).breaker, Circuit::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_could_be_met_counts_and_one_that_could_not_does_not() {
    let world = World::new(Net::Memory, 1, values::Target::default()).await;
    world.peers[0].does(Plan::fine(20));
    world.calls_for(10, Duration::from_secs(1)).await;
    world.peers[0].does(Plan::fine(60_000));
    let given = |millis| {
        let (balancer, time) = (world.balancer.clone(), Duration::from_millis(millis));
        async move {
            let deadline = mesh_rpc::Deadline::after(time);
            let call = call_with(&balancer, &Tried::default(), Some(deadline)).await;
            call.map(|_| ())
        }
    };
    let expire = async |millis| {
        let limit = Duration::from_millis(millis);
        tokio::time::timeout(limit, given(millis)).await.expect_err("no answer in time");
    };

    for _ in 0..10 {
        expire(5).await;
    }
    assert_eq!(world.row(0).breaker, Circuit::Closed, "nobody answers in 5 ms");
    for _ in 0..5 {
        expire(100).await;
    }
    assert_eq!(world.row(0).breaker, Circuit::Open, "all others were answered in 100 ms");
}

/// Events as `state reason`, for every breaker of this thread.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<String>>>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Events {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        struct Fields(String, String, String);
        impl tracing::field::Visit for Fields {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                let text = format!("{value:?}").trim_matches('"').to_owned();
                match field.name() {
                    "message" => self.0 = text,
                    "state" => self.1 = text,
                    "reason" => self.2 = text,
                    _ => {}
                }
            }
        }
        let mut fields = Fields(String::new(), String::new(), String::new());
        event.record(&mut fields);
        if fields.0 == "breaker changed" {
            self.0.lock().unwrap().push(format!("{} {}", fields.1, fields.2));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_change_is_an_event_a_metric_and_a_row() {
    use tracing_subscriber::layer::SubscriberExt as _;
    let events = Events::default();
    let subscriber = tracing_subscriber::registry().with(events.clone());
    let _guard = mesh_testkit::hear(subscriber);
    let world = World::new(Net::Memory, 1, values::Target::default()).await;
    world.peers[0].does(Plan::fails(1, Code::Unavailable));
    for _ in 0..5 {
        call(&world.balancer).await.unwrap_err();
    }
    let open = world.row(0);
    world.row_is(0, |row| row.breaker == Circuit::HalfOpen).await;
    world.peers[0].does(Plan::fine(1));
    call(&world.balancer).await.unwrap();
    let closed = world.row(0);

    assert_eq!(
        *events.0.lock().unwrap(),
        ["OPEN consecutive failures", "HALF_OPEN window over", "CLOSED probe succeeded"]
    );
    assert_eq!((open.breaker, open.reason.as_str()), (Circuit::Open, "consecutive failures"));
    assert_eq!((closed.breaker, closed.reason.as_str()), (Circuit::Closed, ""));
    assert!(closed.generation > open.generation);
    assert_eq!((closed.calls, closed.failures, closed.pending), (6, 5, 0));
    let metrics = mesh_runtime::metrics::render().unwrap();
    for state in ["OPEN", "HALF_OPEN", "CLOSED"] {
        let is_it = |line: &&str| {
            line.contains("target=\"echo\"") && line.contains(&format!("\"{state}\""))
        };
        let mut lines = metrics.lines().filter(is_it);
        assert!(lines.clone().any(|line| line.starts_with("mesh_breaker_transitions")), "{state}");
        assert!(lines.any(|line| line.starts_with("mesh_breaker_state")), "{state}");
    }
}
