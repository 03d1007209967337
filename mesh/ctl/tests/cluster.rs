//! `cluster` on machines that lack something, and where nothing is up. With everything there, see
//! `tests/by_traffic/`.

use std::fs;

use crate::shop::Shop;

#[test]
fn without_go_it_says_what_a_cluster_needs_and_how_to_get_it() {
    let shop = Shop::bare("cluster-tools");
    let nothing = shop.home.path("nothing");
    fs::create_dir_all(&nothing).unwrap();

    let up = shop.run_bare(&nothing, &[("XDG_CACHE_HOME", &nothing)], &["cluster", "up"]);

    let said = String::from_utf8(up.stderr).unwrap();
    assert_eq!(up.status.code(), Some(1), "{said}");
    for word in ["built by Go", "https://go.dev/dl", "10 minutes"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert!(!shop.home.path("cluster").exists(), "nothing was begun");
}

#[test]
fn where_no_cluster_is_up_it_is_said_and_nothing_is_started() {
    let shop = Shop::bare("cluster-none");

    let status = shop.run(&["cluster", "status"]);
    assert_eq!(status.status.code(), Some(1));
    assert!(String::from_utf8(status.stdout).unwrap().contains("cluster up` starts one"));
    let json = shop.run(&["cluster", "status", "--json"]);
    assert_eq!(String::from_utf8(json.stdout).unwrap().trim(), "{\"up\":false}");

    let up = shop.run(&["up", "--istio", "--detach"]);
    let said = String::from_utf8(up.stderr).unwrap();
    assert_eq!(up.status.code(), Some(1), "{said}");
    assert!(said.contains("no cluster is up: `") && said.contains("cluster up` first"), "{said}");
    assert!(!shop.home.path("state.json").exists());

    let down = shop.succeeds(&["cluster", "down"]);
    assert!(String::from_utf8(down.stdout).unwrap().contains("no cluster was up"));
}
