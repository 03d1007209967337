//! A peer that is killed with many calls in its hands.

use std::sync::Arc;

use mesh_echo::{Echo, Relay};
use mesh_rpc::{Code, Disposition, disposition, timeout_request};
use tokio::sync::Semaphore;

use crate::support::{Callee, PATIENCE, Stack, add, alone, eventually, read, stuck};

const IN_FLIGHT: usize = 400;
/// By default the bulkhead lets 256 calls at a time, and the budget pays for 50 repetitions.
const WIDE: &str = "
    [targets.killed]
    bulkhead = { calls = 4096 }
    budget = { tokens = 1000 }
";

/// A service that answers once it may.
fn gated() -> (Echo, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let echo = Echo::new(move |asked| {
        let opened = Arc::clone(&opened);
        async move {
            let _open = opened.acquire().await.unwrap();
            Ok(asked.text)
        }
    });
    (echo, gate)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_400_calls_in_hand_what_is_safe_succeeds_elsewhere_and_nothing_else_is_sent_again() {
    let _alone = alone().await;
    let victim = Callee::start(stuck()).await;
    let mut relay = Relay::start(victim.address).await.unwrap();
    let (echo, gate) = gated();
    let other = Callee::start(echo).await;
    let stack = Stack::set("killed", &[relay.address, other.address], WIDE);
    stack.connected().await;
    let (mut reads, mut adds) = (Vec::new(), Vec::new());
    while victim.echo.asked() < IN_FLIGHT {
        assert!(reads.len() < 4 * IN_FLIGHT, "both get their share");
        let mut client = stack.client();
        reads.push(tokio::spawn(async move {
            client.read(timeout_request(read("1"), PATIENCE)).await.map(|_| ())
        }));
        let mut client = stack.client();
        adds.push(tokio::spawn(async move {
            client.add(timeout_request(add("1"), PATIENCE)).await.map(|_| ())
        }));
        let sent = reads.len() + adds.len();
        let all = || victim.echo.asked() + other.echo.asked() == sent;
        eventually("they are worked on", all).await;
    }

    relay.cut().await;
    gate.add_permits(Semaphore::MAX_PERMITS);

    let (calls, mut lost) = (reads.len() + adds.len(), 0);
    for read in reads {
        read.await.unwrap().expect("what is safe succeeds elsewhere");
    }
    for add in adds {
        let Err(status) = add.await.unwrap() else { continue };
        lost += 1;
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert_eq!(disposition(&status), Disposition::MaybeProcessed, "{status:?}");
    }
    let victims = victim.echo.asked();
    assert!(lost * 4 > victims, "{lost} of {victims} were adds");
    assert_eq!(other.echo.asked(), calls - lost, "no add went twice, and each read to the other");
    victim.stop().await;
    other.stop().await;
}
