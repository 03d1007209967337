//! `up` without --detach: somebody looks at it, and ends it with Ctrl-C.

use std::io::{BufRead as _, BufReader};

use mesh_local::{Signal, left_over};
use rustix::process::{Pid, kill_process_group};

use crate::shop::Shop;
use crate::up::processes;

#[test]
fn a_shop_in_the_foreground_ends_in_order_with_an_interrupt() {
    let shop = Shop::clean("foreground");

    let mut up = shop.begins(&["up", "--in-process"]);
    let mut said = BufReader::new(up.stdout.take().unwrap()).lines().map(Result::unwrap);
    // It says so once everything is ready and seeded, and then nothing more on stdout.
    let until_it_waits: Vec<_> =
        said.by_ref().take_while(|line| !line.contains("Ctrl-C ends it")).collect();

    assert!(
        until_it_waits.iter().any(|line| line.contains("the shop is up")),
        "{until_it_waits:#?}"
    );
    assert!(up.try_wait().unwrap().is_none(), "it waits: {until_it_waits:#?}");
    assert!(shop.run(&["status"]).status.success());
    assert_eq!(shop.supervisor().pid, up.id());
    let processes = processes(&shop.state());
    assert!(processes.iter().all(|process| process.alive()));
    // As a terminal does: everybody in the group hears it.
    let group = Pid::from_raw(up.id().try_into().unwrap()).unwrap();
    kill_process_group(group, Signal::INT).unwrap();
    let ended = up.wait_with_output().unwrap();

    let told = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(0), "{told}");
    let at = |what: &str| told.find(what).unwrap_or_else(|| panic!("no word of {what}: {told}"));
    // Callers before what they use.
    assert!(at("draining in-process") < at("stopping nats-server"), "{told}");
    assert!(at("stopping nats-server") < at("stopping PostgreSQL"), "{told}");
    assert!(processes.iter().all(|process| !process.alive()), "{told}");
    assert!(left_over(&shop.home.run().unwrap()).is_empty());
    for file in ["state.json", "supervisor.pid"] {
        assert!(!shop.home.path(file).exists(), "{file} is left");
    }
    let down = shop.succeeds(&["down"]);
    assert!(String::from_utf8_lossy(&down.stdout).contains("nothing was up"));
}
