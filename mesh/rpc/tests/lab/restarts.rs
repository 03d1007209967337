//! Replicas come and go; calls do not notice.

use mesh_echo::Echo;
use mesh_policy::values;
use mesh_runtime::ServiceConfig;

use crate::{
    load::{Calls, Load},
    support::{Callee, Stack, alone, config},
};

const CALLERS: usize = 16;
const RESTARTS: usize = 6;
const CALLS_BETWEEN: usize = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_while_three_replicas_restart_in_turn() {
    let _alone = alone().await;
    let echo = Echo::default();
    let start = |config| Callee::with(echo.clone(), values::Server::default(), config, |it| it);
    let mut replicas = vec![start(config()).await, start(config()).await, start(config()).await];
    let addresses: Vec<_> = replicas.iter().map(|replica| replica.address).collect();
    let load = Load::begin(&Stack::new("rolling", &addresses), CALLERS, Calls::Both);

    for restart in 1..=RESTARTS {
        load.reaches(restart * CALLS_BETWEEN).await;
        let replica = replicas.remove(0);
        let same_port = ServiceConfig { listen_addr: replica.address, ..config() };
        replica.stop().await;
        replicas.push(start(same_port).await);
    }
    load.reaches((RESTARTS + 1) * CALLS_BETWEEN).await;
    let tally = load.ends().await;

    assert!(tally.failed.is_empty() && tally.uncertain.is_empty(), "{tally:?}");
    assert_eq!(echo.asked(), tally.answered, "none was executed twice");
    for replica in replicas {
        replica.stop().await;
    }
}
