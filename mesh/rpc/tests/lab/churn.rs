//! Connections that do not get old.

use std::time::Duration;

use mesh_echo::Echo;
use mesh_policy::values;

use crate::{
    load::{Calls, Load},
    support::{Callee, MS, Stack, alone},
};

const CALLERS: usize = 16;
const CALLS: usize = 20_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_while_connections_get_20_ms_old() {
    churn("churn_20", 20 * MS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_while_connections_get_100_ms_old() {
    churn("churn_100", 100 * MS).await;
}

/// On a machine that is so busy that a connection has got old before its first call is sent, a call
/// may be turned away four times in a row; it is not always.
const TRIES: usize = 5;

async fn churn(target: &'static str, max_age: Duration) {
    let _alone = alone().await;
    let values = values::Server { max_age, ..values::Server::default() };
    let callee = Callee::set(Echo::default(), values).await;
    let stack = Stack::new(target, &[callee.address]);

    let (mut failed, mut executed) = (Vec::new(), 0);
    for _ in 0..TRIES {
        let load = Load::begin(&stack, CALLERS, Calls::Both);
        load.reaches(CALLS).await;
        let tally = load.ends().await;

        assert!(tally.uncertain.is_empty(), "{tally:?}");
        executed += tally.answered;
        assert_eq!(callee.echo.asked(), executed, "none was executed twice");
        if tally.failed.is_empty() {
            assert!(tally.answered >= CALLS);
            return callee.stop().await;
        }
        failed.push(tally.failed);
    }
    panic!("{failed:?}");
}
