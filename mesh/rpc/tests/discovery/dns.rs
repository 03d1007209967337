//! What names become, and when they are asked for again.

use std::{ops::Range, time::Duration};

use mesh_rpc::discovery::{DEFAULT_PORT, Endpoints, State};
use mesh_testkit::nameserver::{Nameserver, RecordType, a, aaaa, srv};

use super::support::{eager, eventually, until};

const NAME: &str = "orders.mesh.test";

#[tokio::test]
async fn srv_records_give_ports_and_targets_that_may_move() {
    // The targets are of another zone, so that no answer brings their addresses along.
    let dns = Nameserver::start(&["mesh.test", "pods.test"]).await;
    dns.set(NAME, 0, &[srv(0, 1, "one.pods.test"), srv(0, 2, "two.pods.test")]).await;
    dns.set("one.pods.test", 0, &[a("10.0.0.1")]).await;
    dns.set("two.pods.test", 0, &[a("10.0.0.2"), a("10.0.0.3")]).await;
    let endpoints = Endpoints::follow_with(&dns.source(NAME), eager());
    until(&endpoints, State::Fresh, &["10.0.0.1:1", "10.0.0.2:2", "10.0.0.3:2"]).await;

    dns.set("one.pods.test", 0, &[a("10.0.0.9")]).await;
    until(&endpoints, State::Fresh, &["10.0.0.2:2", "10.0.0.3:2", "10.0.0.9:1"]).await;

    dns.set(NAME, 0, &[srv(0, 7, "one.pods.test")]).await;
    until(&endpoints, State::Fresh, &["10.0.0.9:7"]).await;
}

#[tokio::test]
async fn addresses_that_come_along_with_srv_records_are_not_asked_for() {
    let dns = Nameserver::start(&["mesh.test"]).await;
    dns.set(NAME, 0, &[srv(0, 1, "one.mesh.test"), srv(0, 2, "one.mesh.test")]).await;
    dns.set("one.mesh.test", 0, &[a("10.0.0.1")]).await;

    let endpoints = Endpoints::follow_with(&dns.source(NAME), eager());

    until(&endpoints, State::Fresh, &["10.0.0.1:1", "10.0.0.1:2"]).await;
    assert!(dns.asked("one.mesh.test", RecordType::A).is_empty());
}

#[tokio::test]
async fn of_srv_records_those_of_the_lowest_priority_with_addresses_count() {
    let dns = Nameserver::start(&["mesh.test"]).await;
    dns.set(NAME, 0, &[srv(20, 2, "spare.mesh.test"), srv(10, 1, "first.mesh.test")]).await;
    dns.set("first.mesh.test", 0, &[a("10.0.0.1")]).await;
    dns.set("spare.mesh.test", 0, &[a("10.0.0.2")]).await;
    let endpoints = Endpoints::follow_with(&dns.source(NAME), eager());
    until(&endpoints, State::Fresh, &["10.0.0.1:1"]).await;

    dns.set("first.mesh.test", 0, &[]).await;
    until(&endpoints, State::Fresh, &["10.0.0.2:2"]).await;
}

#[tokio::test]
async fn a_name_with_a_port_is_asked_for_addresses_only() {
    let dns = Nameserver::start(&["mesh.test"]).await;
    dns.set(NAME, 0, &[a("10.0.0.1"), srv(0, 9, NAME)]).await;
    let endpoints = Endpoints::follow_with(&dns.source("orders.mesh.test.:50"), eager());
    until(&endpoints, State::Fresh, &["10.0.0.1:50"]).await;

    dns.set(NAME, 0, &[a("10.0.0.1"), a("10.0.0.2")]).await;
    until(&endpoints, State::Fresh, &["10.0.0.1:50", "10.0.0.2:50"]).await;

    assert!(dns.asked(NAME, RecordType::SRV).is_empty());
    assert!(dns.asked(NAME, RecordType::AAAA).is_empty(), "an endpoint with both is one");
}

#[tokio::test]
async fn a_name_without_srv_records_has_addresses_at_the_usual_port() {
    let dns = Nameserver::start(&["mesh.test"]).await;
    dns.set(NAME, 0, &[aaaa("fd00::1")]).await;

    let endpoints = Endpoints::follow_with(&dns.source(NAME), eager());

    until(&endpoints, State::Fresh, &[&format!("[fd00::1]:{DEFAULT_PORT}")]).await;
}

#[tokio::test]
async fn a_long_answer_is_asked_for_by_tcp() {
    let dns = Nameserver::start(&["mesh.test"]).await;
    let ips: Vec<_> = (1..=250).map(|last| format!("10.0.0.{last}")).collect();
    let records: Vec<_> = ips.iter().map(|ip| a(ip)).collect();
    dns.set(NAME, 0, &records).await;

    let endpoints = Endpoints::follow_with(&dns.source("orders.mesh.test:1"), eager());

    let addresses: Vec<_> = ips.iter().map(|ip| format!("{ip}:1")).collect();
    let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
    until(&endpoints, State::Fresh, &addresses).await;
}

#[tokio::test]
async fn the_next_look_up_is_when_the_answer_s_ttl_says() {
    let dns = Nameserver::start(&["mesh.test", "pods.test"]).await;
    dns.set("immediate.mesh.test", 0, &[a("10.0.0.1")]).await;
    dns.set("short.mesh.test", 20, &[a("10.0.0.1")]).await;
    dns.set("long.mesh.test", 3600, &[a("10.0.0.1")]).await;
    dns.set("target.mesh.test", 3600, &[srv(0, 1, "short.pods.test")]).await;
    dns.set("short.pods.test", 10, &[a("10.0.0.1")]).await;

    assert_next(&dns, "immediate.mesh.test:1", State::Fresh, 4..6).await;
    assert_next(&dns, "short.mesh.test:1", State::Fresh, 17..23).await;
    assert_next(&dns, "long.mesh.test:1", State::Fresh, 26..34).await;
    assert_next(&dns, "target.mesh.test", State::Fresh, 8..12).await;
    // The zone's SOA lets 10 s pass before what does not exist is asked for again.
    assert_next(&dns, "absent.mesh.test:1", State::Pending, 8..12).await;
}

#[tokio::test]
async fn nobody_is_asked_when_nobody_listens() {
    let dns = Nameserver::start(&["mesh.test"]).await;
    dns.set(NAME, 0, &[a("10.0.0.1")]).await;
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let endpoints = Endpoints::follow_with(&dns.source("orders.mesh.test:1"), eager());
    let changes = endpoints.watch();
    until(&endpoints, State::Fresh, &["10.0.0.1:1"]).await;

    drop(endpoints);
    assert!(changes.has_changed().is_ok(), "a watch is enough to go on");
    drop(changes);

    eventually("the task to end", || {
        tokio::runtime::Handle::current().metrics().num_alive_tasks() <= before
    })
    .await;
}

/// Checks within which whole seconds a source is asked again by default.
async fn assert_next(dns: &Nameserver, place: &str, state: State, expected: Range<u64>) {
    let endpoints = Endpoints::follow(&dns.source(place));
    eventually("an answer", || {
        let report = endpoints.report();
        let next = report.next.unwrap_or_default();
        assert!(next < Duration::from_secs(expected.end), "{report}");
        // Time may pass before it is looked at; then the next answer will do.
        next >= Duration::from_secs(expected.start) && report.state == state
    })
    .await;
}
