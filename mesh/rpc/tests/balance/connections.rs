//! Connections: good-byes, peers that fall silent, and what only looks like a peer.

use std::{sync::atomic::Ordering, time::Duration};

use mesh_echo::Relay;
use mesh_policy::values;
use mesh_rpc::{
    Code, Disposition,
    balance::{Balancer, Options, State},
    disposition,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::support::{Net, PATIENCE, Plan, World, call};

#[tokio::test(start_paused = true)]
async fn a_good_bye_is_followed_by_the_next_connection_and_costs_nothing() {
    let world = World::new(Net::Memory, 1, values::Target::default()).await;
    world.peers[0].does(Plan::fine(30));
    let goodbyes = async {
        for _ in 0..50 {
            sleep(Duration::from_millis(20)).await;
            world.peers[0].says_goodbye();
        }
    };

    let ((failed, calls), ()) = tokio::join!(world.calls_for(16, Duration::from_secs(1)), goodbyes);

    assert!(failed.is_empty(), "{failed:?} of {calls}");
    assert_eq!(world.peers[0].hits(), calls);
    assert!(world.peers[0].connections.load(Ordering::Relaxed) >= 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn good_byes_over_sockets_lose_no_call_and_repeat_none() {
    for age in [20, 100] {
        good_byes(Duration::from_millis(age)).await;
    }
}

/// Calls while the peers say good-bye to every connection at this age.
async fn good_byes(age: Duration) {
    const CALLERS: usize = 16;
    const CALLS: usize = 20_000;
    let world = World::new(Net::Sockets, 2, values::Target::default()).await;
    world.peers.iter().for_each(|peer| peer.does(Plan::fine(0)));
    let done = CancellationToken::new();
    let goodbyes = done.run_until_cancelled(async {
        loop {
            for peer in &world.peers {
                sleep(age / 2).await;
                peer.says_goodbye();
            }
        }
    });
    let calls = async {
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| tokio::spawn(call_again(world.balancer.clone(), CALLS / CALLERS)))
            .collect();
        for caller in callers {
            caller.await.unwrap();
        }
        done.cancel();
    };

    tokio::join!(calls, goodbyes);

    assert_eq!(world.hits().iter().sum::<usize>(), CALLS, "each was done once");
}

/// Calls so often, again and again what was not looked at by the peer.
async fn call_again(balancer: Balancer, calls: usize) {
    for _ in 0..calls {
        while let Err(status) = call(&balancer).await {
            assert_ne!(disposition(&status), Disposition::MaybeProcessed, "{status:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_in_the_hand_of_a_peer_that_dies_may_have_been_done() {
    const CALLS: usize = 400;
    let world = World::new(Net::Sockets, 1, values::Target::default()).await;
    world.peers[0].does(Plan::fine(60_000));
    let calls: Vec<_> = (0..CALLS)
        .map(|_| {
            let balancer = world.balancer.clone();
            tokio::spawn(async move { call(&balancer).await })
        })
        .collect();
    while world.peers[0].hits() < CALLS {
        sleep(Duration::from_millis(1)).await;
    }

    world.peers[0].dies();

    for call in calls {
        let status = call.await.unwrap().unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert_eq!(disposition(&status), Disposition::MaybeProcessed, "{status:?}");
    }
    assert_eq!(world.row(0).pending, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_falls_silent_is_found_by_pings() {
    let world = World::new(Net::Sockets, 1, values::Target::default()).await;
    world.peers[0].does(Plan::fine(60_000));
    let relay = Relay::start(world.peers[0].address).await.unwrap();
    let mut values = values::Target::default();
    values.connection.ping = Duration::from_millis(200);
    values.connection.ping_limit = Duration::from_millis(200);
    let other = World::new(Net::Sockets, 1, values).await;
    other.addresses.send_replace([relay.address].into());
    let balancer = other.balancer.clone();
    let waiting = tokio::spawn(async move { call(&balancer).await });
    while world.peers[0].hits() == 0 {
        sleep(Duration::from_millis(1)).await;
    }

    relay.falls_silent();

    let ended = tokio::time::timeout(PATIENCE, waiting).await.expect("found").unwrap();
    let status = ended.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert_eq!(status.message(), "transport error: the peer answers no ping");
    assert_eq!(disposition(&status), Disposition::MaybeProcessed);
    world.peers[0].does(Plan::fine(1));
    call(&world.balancer).await.expect("others are unaffected");
}

#[tokio::test]
async fn what_accepts_and_says_nothing_is_no_endpoint() {
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = mute.local_addr().unwrap();
    let accepted = tokio::spawn(async move {
        let mut streams = Vec::new();
        loop {
            streams.push(mute.accept().await.unwrap());
        }
    });
    let mut values = values::Target::default();
    values.connection.connect = Duration::from_millis(100);
    let connect = |address| async move { TcpStream::connect(address).await };
    let balancer = Balancer::new("mute", vec![address], Options::from(values), connect);

    let status = call(&balancer).await.unwrap_err();

    assert_eq!((status.code(), disposition(&status)), (Code::Unavailable, Disposition::NotSent));
    assert_eq!(status.message(), "no ready endpoint: not connected in time");
    assert_ne!(balancer.table()[0].state, State::Ready);
    accepted.abort();
}

#[tokio::test(start_paused = true)]
async fn pauses_between_connections_grow() {
    let world =
        World::prepared(Net::Memory, 1, values::Target::default(), |peers| peers[0].dies()).await;
    let begin = Instant::now();
    world.row_is(0, |row| row.state == State::Backoff).await;
    let status = call(&world.balancer).await.unwrap_err();

    assert_eq!(status.code(), Code::Unavailable);
    assert!(begin.elapsed() < Duration::from_millis(1_300), "{:?}", begin.elapsed());
    world.peers[0].rises().await;
    world.row_is(0, |row| row.state == State::Ready).await;
}
