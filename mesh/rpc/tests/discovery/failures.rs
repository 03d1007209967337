//! Nameservers that fail, deny, or are not there.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use mesh_rpc::discovery::{Endpoints, Settings, Source, State};
use mesh_testkit::nameserver::{Fault, Nameserver, RecordType, a, srv};

use super::support::{eager, eventually, on_failure, until};

const NAME: &str = "orders.mesh.test";
const PLACE: &str = "orders.mesh.test:1";

#[tokio::test]
async fn a_failing_nameserver_takes_no_address_away() {
    let dns = Nameserver::start(&["mesh.test"]).await;
    dns.set(NAME, 0, &[a("10.0.0.1")]).await;
    let settings = Settings { timeout: Duration::from_millis(100), ..eager() };
    let endpoints = Endpoints::follow_with(&dns.source(PLACE), settings);
    until(&endpoints, State::Fresh, &["10.0.0.1:1"]).await;

    dns.fail("*", Fault::ServFail);
    until(&endpoints, State::Stale, &["10.0.0.1:1"]).await;
    assert!(endpoints.report().why.unwrap().contains("Server Failure"), "{}", endpoints.report());
    let asked = dns.asked(NAME, RecordType::A).len();
    eventually("more look-ups", || dns.asked(NAME, RecordType::A).len() > asked + 6).await;
    until(&endpoints, State::Stale, &["10.0.0.1:1"]).await;

    dns.fail("*", Fault::Silence);
    eventually("a timeout", || endpoints.report().to_string().contains("timed out")).await;
    until(&endpoints, State::Stale, &["10.0.0.1:1"]).await;

    dns.set(NAME, 0, &[a("10.0.0.2")]).await;
    dns.heal();
    until(&endpoints, State::Fresh, &["10.0.0.2:1"]).await;
    assert_eq!(endpoints.report().why, None);
}

#[tokio::test]
async fn a_name_that_is_denied_once_keeps_its_addresses() {
    let dns = Nameserver::start(&["mesh.test"]).await;
    dns.set(NAME, 0, &[a("10.0.0.1")]).await;
    let endpoints = Endpoints::follow_with(&dns.source(PLACE), on_failure());
    until(&endpoints, State::Fresh, &["10.0.0.1:1"]).await;

    dns.set(NAME, 0, &[]).await;
    endpoints.connect_failed();
    until(&endpoints, State::Stale, &["10.0.0.1:1"]).await;
    assert_eq!(endpoints.report().why.as_deref(), Some("NXDOMAIN"));

    dns.set(NAME, 0, &[a("10.0.0.1")]).await;
    endpoints.connect_failed();
    until(&endpoints, State::Fresh, &["10.0.0.1:1"]).await;
}

#[tokio::test]
async fn a_name_that_is_denied_twice_in_a_row_has_no_addresses() {
    let dns = Nameserver::start(&["mesh.test"]).await;
    dns.set(NAME, 0, &[a("10.0.0.1")]).await;
    let endpoints = Endpoints::follow_with(&dns.source(PLACE), eager());
    until(&endpoints, State::Fresh, &["10.0.0.1:1"]).await;

    dns.set(NAME, 0, &[]).await;
    until(&endpoints, State::Gone, &[]).await;

    dns.set(NAME, 0, &[a("10.0.0.2")]).await;
    until(&endpoints, State::Fresh, &["10.0.0.2:1"]).await;
}

#[tokio::test]
async fn an_empty_answer_counts_as_a_denial() {
    let dns = Nameserver::start(&["mesh.test"]).await;
    dns.set(NAME, 0, &[a("10.0.0.1")]).await;
    let endpoints = Endpoints::follow_with(&dns.source(PLACE), eager());
    until(&endpoints, State::Fresh, &["10.0.0.1:1"]).await;

    // The name exists, without an address.
    dns.set(NAME, 0, &[srv(0, 1, "elsewhere.mesh.test")]).await;

    until(&endpoints, State::Gone, &[]).await;
    assert_eq!(endpoints.report().why.as_deref(), Some("no records"));
}

#[tokio::test]
async fn a_failed_connection_asks_again_at_once_but_not_more_than_once_a_second() {
    let dns = Nameserver::start(&["mesh.test"]).await;
    dns.set(NAME, 3600, &[a("10.0.0.1")]).await;
    let endpoints = Endpoints::follow(&dns.source(PLACE));
    until(&endpoints, State::Fresh, &["10.0.0.1:1"]).await;
    dns.set(NAME, 3600, &[a("10.0.0.2")]).await;

    let begun = Instant::now();
    endpoints.connect_failed();
    until(&endpoints, State::Fresh, &["10.0.0.2:1"]).await;
    assert!(begun.elapsed() < Duration::from_secs(20), "not when the TTL ends");
    eventually("two more look-ups", || {
        endpoints.connect_failed();
        dns.asked(NAME, RecordType::A).len() >= 4
    })
    .await;

    for two in dns.asked(NAME, RecordType::A).windows(2) {
        assert!(two[1] - two[0] >= Duration::from_secs(1), "{:?}", two[1] - two[0]);
    }
}

#[tokio::test]
async fn an_unreachable_nameserver_beside_a_good_one_hides_nothing() {
    let good = Nameserver::start(&["mesh.test"]).await;
    good.set(NAME, 0, &[a("10.0.0.1")]).await;
    let silent = Nameserver::start_at(Ipv4Addr::new(127, 0, 0, 2), &["mesh.test"]).await;
    silent.fail("*", Fault::Silence);
    let source = format!("dns://{},{}/{PLACE}", silent.address, good.address);
    let source: Source = source.parse().unwrap();
    let endpoints = Endpoints::follow_with(&source, eager());

    until(&endpoints, State::Fresh, &["10.0.0.1:1"]).await;
    good.set(NAME, 0, &[a("10.0.0.2")]).await;
    until(&endpoints, State::Fresh, &["10.0.0.2:1"]).await;

    assert!(!silent.asked(NAME, RecordType::A).is_empty(), "it was asked, too");
    // Hickory's issue 2273: that a name does not exist must not take the silent one's timeouts.
    good.set(NAME, 0, &[]).await;
    let begun = Instant::now();
    until(&endpoints, State::Gone, &[]).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn without_any_nameserver_there_is_nothing_yet_and_the_reason() {
    let dns = Nameserver::start(&["mesh.test"]).await;
    dns.set(NAME, 0, &[a("10.0.0.1")]).await;
    dns.fail("*", Fault::Silence);
    let settings = Settings { timeout: Duration::from_millis(100), ..eager() };

    let endpoints = Endpoints::follow_with(&dns.source(PLACE), settings);

    eventually("the reason", || endpoints.report().why.is_some()).await;
    assert_eq!(endpoints.snapshot().state, State::Pending);
    dns.heal();
    until(&endpoints, State::Fresh, &["10.0.0.1:1"]).await;
}

#[tokio::test]
async fn a_target_that_cannot_be_asked_keeps_the_addresses_it_had() {
    let dns = Nameserver::start(&["mesh.test", "pods.test"]).await;
    dns.set(NAME, 0, &[srv(0, 1, "one.pods.test"), srv(0, 1, "two.pods.test")]).await;
    dns.set("one.pods.test", 0, &[a("10.0.0.1")]).await;
    dns.set("two.pods.test", 0, &[a("10.0.0.2")]).await;
    let endpoints = Endpoints::follow_with(&dns.source(NAME), eager());
    until(&endpoints, State::Fresh, &["10.0.0.1:1", "10.0.0.2:1"]).await;

    dns.fail("one.pods.test", Fault::ServFail);
    dns.set("two.pods.test", 0, &[a("10.0.0.3")]).await;

    until(&endpoints, State::Stale, &["10.0.0.1:1", "10.0.0.3:1"]).await;
    assert!(endpoints.report().why.unwrap().contains("one.pods.test"));
    dns.heal();
    until(&endpoints, State::Fresh, &["10.0.0.1:1", "10.0.0.3:1"]).await;
}

#[tokio::test]
async fn ports_are_not_guessed_when_srv_records_are_missing_once() {
    let dns = Nameserver::start(&["mesh.test"]).await;
    dns.set(NAME, 0, &[srv(0, 1, NAME), a("10.0.0.1")]).await;
    let endpoints = Endpoints::follow_with(&dns.source(NAME), on_failure());
    until(&endpoints, State::Fresh, &["10.0.0.1:1"]).await;

    dns.set(NAME, 0, &[a("10.0.0.1")]).await;
    endpoints.connect_failed();
    until(&endpoints, State::Stale, &["10.0.0.1:1"]).await;

    endpoints.connect_failed();
    until(&endpoints, State::Fresh, &["10.0.0.1:50051"]).await;
}

#[tokio::test]
async fn a_failing_nameserver_beside_a_good_one_hides_nothing() {
    let good = Nameserver::start(&["mesh.test"]).await;
    good.set(NAME, 0, &[a("10.0.0.1")]).await;
    good.fail("*", Fault::Slowness);
    let failing = Nameserver::start_at(Ipv4Addr::new(127, 0, 0, 2), &["mesh.test"]).await;
    failing.fail("*", Fault::ServFail);
    let source = format!("dns://{},{}/{PLACE}", failing.address, good.address);
    let endpoints = Endpoints::follow_with(&source.parse().unwrap(), eager());
    until(&endpoints, State::Fresh, &["10.0.0.1:1"]).await;

    let mut changes = endpoints.watch();
    changes.mark_unchanged();
    let asked = good.asked(NAME, RecordType::A).len();
    eventually("more look-ups", || good.asked(NAME, RecordType::A).len() > asked + 20).await;

    assert!(!changes.has_changed().unwrap(), "{}", endpoints.report());
    assert!(!failing.asked(NAME, RecordType::A).is_empty(), "it was asked, too");
}
