//! Who is picked, and what a call without an endpoint is told.

use std::{
    collections::HashSet,
    io,
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use mesh_policy::values;
use mesh_rpc::{
    Code, Deadline, Disposition,
    balance::{Absence, NoEndpoint, State, Tried},
    disposition,
};
use tokio::time::{Instant, sleep};
use tracing::{Instrument as _, Level};

use crate::support::{Net, Plan, World, call, call_with, request};

#[tokio::test(start_paused = true)]
async fn an_attempt_goes_where_no_earlier_one_went() {
    let world = World::new(Net::Memory, 4, values::Target::default()).await;
    for index in 0..4 {
        world.row_is(index, |row| row.state == State::Ready).await;
    }
    for _ in 0..50 {
        let tried = Tried::default();
        let mut seen = HashSet::new();
        for _ in 0..4 {
            seen.insert(call_with(&world.balancer, &tried, None).await.unwrap());
        }
        assert_eq!((seen.len(), tried.count()), (4, 4));

        call_with(&world.balancer, &tried, None).await.expect("all tried: any is better than none");
    }
}

#[tokio::test(start_paused = true)]
async fn without_an_endpoint_a_call_waits_a_second_and_is_told_so() {
    let world = World::prepared(Net::Memory, 0, values::Target::default(), |_| ()).await;
    let begin = Instant::now();

    let status = call(&world.balancer).await.unwrap_err();

    assert_eq!(begin.elapsed(), Duration::from_secs(1));
    assert_eq!((status.code(), disposition(&status)), (Code::Unavailable, Disposition::NotSent));
    assert_eq!(status.message(), "no ready endpoint: no address");
    assert_eq!(NoEndpoint::of(&status).unwrap().absence(), Absence::NoAddress);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_spent_waiting_for_an_endpoint_is_exceeded_in_time() {
    let world = World::prepared(Net::Memory, 0, values::Target::default(), |_| ()).await;
    let begin = Instant::now();
    let deadline = Deadline::after(Duration::from_millis(300));

    let tried = Tried::default();
    let status = call_with(&world.balancer, &tried, Some(deadline)).await.unwrap_err();

    assert!(begin.elapsed() <= Duration::from_millis(301), "{:?}", begin.elapsed());
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(disposition(&status), Disposition::NotSent);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_call_goes_as_soon_as_an_endpoint_is_there() {
    let world = World::new(Net::Memory, 1, values::Target::default()).await;
    let all = world.addresses.borrow().clone();
    world.addresses.send_replace(Vec::new().into());
    sleep(Duration::from_millis(1)).await;
    let waiting = tokio::spawn({
        let balancer = world.balancer.clone();
        async move { call(&balancer).await }
    });
    sleep(Duration::from_millis(500)).await;
    assert!(!waiting.is_finished());
    let begin = Instant::now();

    world.addresses.send_replace(all);

    waiting.await.unwrap().unwrap();
    assert!(begin.elapsed() < Duration::from_millis(10), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_removed_endpoint_ends_its_calls_and_gets_no_more() {
    let world = World::new(Net::Memory, 2, values::Target::default()).await;
    for index in 0..2 {
        world.row_is(index, |row| row.state == State::Ready).await;
    }
    world.peers[0].does(Plan::fine(500));
    world.peers[1].does(Plan::fine(500));
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let balancer = world.balancer.clone();
            tokio::spawn(async move { call(&balancer).await })
        })
        .collect();
    sleep(Duration::from_millis(10)).await;
    let before = world.peers[0].hits();
    assert!(before > 0);

    world.addresses.send_replace([world.peers[1].address].into());
    sleep(Duration::from_millis(1)).await;
    let row = world.row(0);
    assert_eq!((row.state, row.pending as usize), (State::Draining, before));
    world.peers[1].does(Plan::fine(1));
    world.calls_for(4, Duration::from_secs(1)).await;

    for call in calls {
        call.await.unwrap().expect("ends normally");
    }
    assert_eq!(world.peers[0].hits(), before);
    assert_eq!(world.balancer.table().len(), 1, "and is forgotten");
    assert_eq!(world.peers[0].open.load(Ordering::Relaxed), 0, "and so is its connection");
}

#[tokio::test(start_paused = true)]
async fn connections_end_with_the_last_balancer_but_after_their_calls() {
    let world = World::new(Net::Memory, 2, values::Target::default()).await;
    for index in 0..2 {
        world.row_is(index, |row| row.state == State::Ready).await;
    }
    world.peers.iter().for_each(|peer| peer.does(Plan::fine(500)));
    let pick = world.balancer.pick(&Tried::default(), None).await.unwrap();
    let World { peers, balancer, .. } = world;

    drop(balancer);

    let open = || peers.iter().map(|peer| peer.open.load(Ordering::Relaxed)).sum::<usize>();
    let response = pick.send(request()).await.expect("it has its endpoint");
    assert_eq!(open(), 1, "only where there is a call");
    drop(response);
    sleep(Duration::from_millis(10)).await;
    assert_eq!(open(), 0);
}

#[tokio::test(start_paused = true)]
async fn removals_while_calls_are_picked_lose_none() {
    let world = World::new(Net::Memory, 5, values::Target::default()).await;
    let all = world.addresses.borrow().clone();
    let churn = async {
        for round in 0..200 {
            let kept = all.iter().enumerate().filter(|(index, _)| (index + round) % 5 > 1);
            world.addresses.send_replace(kept.map(|(_, address)| *address).collect());
            sleep(Duration::from_millis(7)).await;
        }
    };

    let ((failed, calls), ()) =
        tokio::join!(world.calls_for(16, Duration::from_millis(1_400)), churn);

    assert!(failed.is_empty(), "{failed:?} of {calls}");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_nobody_picked_for_three_seconds_is_next() {
    let world = World::new(Net::Memory, 2, values::Target::default()).await;
    world.peers[1].does(Plan::fails(1, Code::Internal));
    while world.peers[1].hits() == 0 {
        let _ = call(&world.balancer).await;
    }
    let once = world.peers[1].hits();
    world.peers[1].does(Plan::fine(1));

    let (_, calls) = world.calls_for(1, Duration::from_millis(2_900)).await;
    assert_eq!(world.peers[1].hits(), once, "its failure costs it {calls} calls");
    world.calls_for(1, Duration::from_millis(200)).await;
    assert_eq!(world.peers[1].hits(), once + 1);
}

#[tokio::test(start_paused = true)]
async fn calls_above_a_peers_stream_limit_go_elsewhere_and_are_visible() {
    let world = World::prepared(Net::Memory, 2, values::Target::default(), |peers| {
        peers[0].limits_streams(3);
        peers.iter().for_each(|peer| peer.does(Plan::fine(1_000)));
    })
    .await;
    for index in 0..2 {
        world.row_is(index, |row| row.state == State::Ready).await;
    }
    let calls: Vec<_> = (0..40)
        .map(|_| {
            let balancer = world.balancer.clone();
            tokio::spawn(async move { call(&balancer).await })
        })
        .collect();
    sleep(Duration::from_millis(100)).await;

    let row = world.row(0);
    assert_eq!((row.pending, row.max_streams), (3, Some(3)), "{row:?}");
    assert_eq!(world.row(1).pending, 37);
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn every_pick_is_an_event_on_the_span_of_its_attempt() {
    let world = World::new(Net::Memory, 1, values::Target::default()).await;
    let row = world.row_is(0, |row| row.state == State::Ready).await;
    let log = Log::default();
    let writer = log.clone();
    let heard = tracing_subscriber::fmt().with_max_level(Level::DEBUG).with_ansi(false);
    let _heard = mesh_testkit::hear(heard.with_writer(move || writer.clone()).finish());

    let attempt = async { call(&world.balancer).await.unwrap() };
    attempt.instrument(tracing::error_span!("attempt")).await;

    let text = log.text();
    let picked = format!("endpoint picked endpoint={} probe=false", row.address);
    let event = text.lines().find(|line| line.ends_with(&picked));
    assert!(event.is_some_and(|line| line.contains(" attempt: ")), "{text}");
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
