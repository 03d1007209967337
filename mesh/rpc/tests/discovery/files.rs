//! Addresses in a file, and those that are fixed.

use std::{fs, path::PathBuf};

use mesh_rpc::discovery::{Endpoints, Source, State};

use super::support::{addresses, eager, eventually, until};

/// A path of this test's own, removed in the end.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        let name = format!("mesh-discovery-{}", uuid::Uuid::now_v7());
        Self(std::env::temp_dir().join(name))
    }

    fn write(&self, text: &str) {
        fs::write(&self.0, text).unwrap();
    }

    fn follow(&self) -> Endpoints {
        Endpoints::follow_with(&Source::File(self.0.clone()), eager())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        _ = fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn a_file_is_read_again_when_it_changes() {
    let file = Place::new();
    file.write("# two\n127.0.0.1:2\n127.0.0.1:1 # the first\n");
    let endpoints = file.follow();
    until(&endpoints, State::Fresh, &["127.0.0.1:1", "127.0.0.1:2"]).await;

    file.write("127.0.0.1:3\n");
    until(&endpoints, State::Fresh, &["127.0.0.1:3"]).await;

    file.write("# none\n");
    until(&endpoints, State::Gone, &[]).await;
}

#[tokio::test]
async fn a_file_that_is_wrong_half_written_or_gone_keeps_the_last_addresses() {
    let file = Place::new();
    file.write("127.0.0.1:1\n");
    let endpoints = file.follow();
    until(&endpoints, State::Fresh, &["127.0.0.1:1"]).await;

    for (text, why) in [
        ("127.0.0.1:2\nnonsense\n", "line 2: `nonsense` is not IP:PORT"),
        ("127.0.0.1:2\n127.0.0.1:8", "half-written"),
        ("", "half-written"),
    ] {
        file.write(text);
        eventually(why, || endpoints.report().to_string().contains(why)).await;
        until(&endpoints, State::Stale, &["127.0.0.1:1"]).await;
    }
    fs::remove_file(&file.0).unwrap();
    eventually("the reason", || endpoints.report().to_string().contains("cannot be read")).await;
    until(&endpoints, State::Stale, &["127.0.0.1:1"]).await;

    file.write("127.0.0.1:2\n");
    until(&endpoints, State::Fresh, &["127.0.0.1:2"]).await;
}

#[tokio::test]
async fn a_link_that_is_swapped_is_followed() {
    let (one, two, link) = (Place::new(), Place::new(), Place::new());
    one.write("127.0.0.1:1\n");
    two.write("127.0.0.1:2\n127.0.0.1:3\n");
    std::os::unix::fs::symlink(&one.0, &link.0).unwrap();
    let endpoints = link.follow();
    until(&endpoints, State::Fresh, &["127.0.0.1:1"]).await;

    // As Kubernetes changes a mounted ConfigMap.
    let next = Place::new();
    std::os::unix::fs::symlink(&two.0, &next.0).unwrap();
    fs::rename(&next.0, &link.0).unwrap();

    until(&endpoints, State::Fresh, &["127.0.0.1:2", "127.0.0.1:3"]).await;
}

#[tokio::test]
async fn a_file_that_is_not_there_yet_is_waited_for() {
    let file = Place::new();
    let endpoints = file.follow();
    eventually("the reason", || endpoints.report().why.is_some()).await;
    assert_eq!(endpoints.snapshot().state, State::Pending);

    file.write("127.0.0.1:1\n");

    until(&endpoints, State::Fresh, &["127.0.0.1:1"]).await;
}

#[test]
fn fixed_addresses_are_known_at_once_and_for_ever() {
    let source: Source = "static:127.0.0.1:2,127.0.0.1:1,127.0.0.1:2".parse().unwrap();

    let endpoints = Endpoints::follow(&source);

    let now = endpoints.snapshot();
    assert_eq!(now.state, State::Fresh);
    assert_eq!(*now.addresses, addresses(&["127.0.0.1:1", "127.0.0.1:2"]));
    assert!(!now.sidecar);
    assert!(endpoints.watch().has_changed().unwrap(), "whoever follows it sees it");
    endpoints.connect_failed();
    assert_eq!(
        endpoints.report().to_string(),
        "static:127.0.0.1:2,127.0.0.1:1,127.0.0.1:2: fresh for 0 s, 127.0.0.1:1, 127.0.0.1:2"
    );
}

#[test]
fn behind_a_sidecar_there_is_one_endpoint_and_it_is_said_who_balances() {
    let source: Source = "mesh:10.96.0.7:50051".parse().unwrap();

    let endpoints = Endpoints::follow(&source);

    let now = endpoints.snapshot();
    assert!(now.sidecar);
    assert_eq!(*now.addresses, addresses(&["10.96.0.7:50051"]));
    assert_eq!(
        endpoints.report().to_string(),
        "mesh:10.96.0.7:50051: fresh for 0 s, 10.96.0.7:50051; a sidecar balances and ejects"
    );
}

#[test]
fn a_sidecar_that_is_named_is_called_and_routes_by_the_service_s_name() {
    let source: Source = "mesh:orders.shop.invalid:50051@127.0.0.9:15001".parse().unwrap();

    let endpoints = Endpoints::follow(&source);

    // At once, and without anybody being asked for the name: there is none who knows it.
    let snapshot = endpoints.snapshot();
    assert_eq!(*snapshot.addresses, ["127.0.0.9:15001".parse().unwrap()]);
    assert_eq!((snapshot.state, snapshot.sidecar), (State::Fresh, true));
    assert_eq!(endpoints.authority().unwrap(), "orders.shop.invalid:50051");
}
