//! A peer that vanishes without closing its connection.

use std::time::Duration;

use mesh_echo::{Echo, Relay};
use mesh_policy::values;
use mesh_rpc::{Code, Disposition, disposition};
use tokio::time::timeout;
use tonic::Request;

use crate::support::{Callee, MS, PATIENCE, Stack, add, eventually, read, stuck};

/// The shortest that an operator may say.
const PINGS: &str = "
    [targets.vanished]
    connection = { ping = '10s', ping_limit = '200ms' }
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callee_that_vanishes_is_found_by_pings_and_others_do_not_notice() {
    let victim = Callee::start(stuck()).await;
    let relay = Relay::start(victim.address).await.unwrap();
    let stack = Stack::set("vanished", &[relay.address], PINGS);
    let other = Callee::start(Echo::default()).await;
    let others = Stack::new("there", &[other.address]);
    let calling = stack.clone();
    let call = tokio::spawn(async move {
        let mut request = Request::new(add("1"));
        request.set_timeout(2 * PATIENCE);
        calling.client().add(request).await
    });
    eventually("it is worked on", || victim.echo.asked() == 1).await;

    relay.falls_silent();

    let meanwhile = async {
        while !call.is_finished() {
            others.client().read(read("1")).await.expect("others do not notice");
            tokio::time::sleep(20 * MS).await;
        }
    };
    timeout(PATIENCE, meanwhile).await.expect("found before its deadline");
    let status = call.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert_eq!(disposition(&status), Disposition::MaybeProcessed);
    assert_eq!(victim.echo.asked(), 1, "it is not sent again");
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_vanishes_is_found_by_pings_and_its_calls_are_cancelled() {
    let values =
        values::Server { ping: 200 * MS, ping_limit: 200 * MS, ..values::Server::default() };
    let callee = Callee::set(
        Echo::new(|asked| async move {
            if asked.text == "stuck" { std::future::pending().await } else { Ok(asked.text) }
        }),
        values,
    )
    .await;
    let relay = Relay::start(callee.address).await.unwrap();
    let vanishes = Stack::new("vanishes", &[relay.address]);
    let others = Stack::new("stays", &[callee.address]);
    others.client().read(read("1")).await.unwrap();
    let call = tokio::spawn(async move {
        let mut request = Request::new(add("stuck"));
        request.set_timeout(Duration::from_secs(60));
        vanishes.client().add(request).await
    });
    eventually("it is worked on", || callee.echo.running() == 1).await;

    relay.falls_silent();

    eventually("it is found", || callee.echo.running() == 0).await;
    eventually("its connection is gone", || callee.in_flight("connections") == 1).await;
    others.client().read(read("1")).await.expect("others do not notice");
    call.abort();
    callee.stop().await;
}
