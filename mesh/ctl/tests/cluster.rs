//! `cluster` on machines that lack something, and where nothing is up. With everything there, see
//! `tests/by_traffic/`.

use std::fs;
use std::path::Path;

use crate::shop::Shop;

/// The folders and files of a checkout that `up --istio` reads.
const READ: [&str; 11] = [
    "Cargo.lock",
    "clients/service_config",
    "compose",
    "compose.yaml",
    "docs/GRAPH.md",
    "istio",
    "k8s",
    "nats",
    "observe",
    "releases.toml",
    "services",
];
const RULES: &str = "istio/generated/catalog.yaml";
const TRAFFIC: &str = "istio/traffic.toml";
const ORDERS: &str = "services/orders/mesh.toml";

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

/// Copies what of a folder is not made of sources.
fn copy(from: &Path, to: &Path) {
    if from.is_file() {
        let is_read = |end: &str| from.to_string_lossy().ends_with(end);
        if !from.components().any(|part| part.as_os_str() == "services") || is_read("mesh.toml") {
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(from, to).unwrap();
        }
        return;
    }
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}

/// The line of a text that is first to hold this, from 1.
fn line(text: &str, what: &str) -> usize {
    text.lines().position(|line| line.contains(what)).unwrap() + 1
}

#[test]
fn what_was_edited_by_hand_or_cannot_be_is_refused_with_file_and_line_before_anything_is_applied() {
    let shop = Shop::bare("cluster-edited");
    let checkout = shop.home.path("checkout");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    for part in READ {
        copy(&root.join(part), &checkout.join(part));
    }
    let refused = || {
        let said = ["up --istio --detach", "canary catalog --binary /bin/sh"].map(|command| {
            let words: Vec<_> = command.split(' ').collect();
            let output = shop.run_at(&checkout, &words);
            assert_eq!(output.status.code(), Some(1), "{command}");
            String::from_utf8(output.stderr).unwrap()
        });
        assert!(!shop.home.path("state.json").exists() && !shop.home.path("canary").exists());
        said
    };
    // As it is there is nothing to say of it, and the cluster is asked for.
    let [up, canary] = refused();
    assert!(up.contains("no cluster is up"), "{up}");
    assert!(canary.contains("nothing is up here"), "{canary}");

    let read = |file: &str| fs::read_to_string(checkout.join(file)).unwrap();
    let (rules, traffic, orders) = (read(RULES), read(TRAFFIC), read(ORDERS));
    let at = |file: &str, text: &str, what: &str| format!("{file}:{}: ", line(text, what));
    let end = traffic.lines().count() + 2;
    for (file, now, place, why) in [
        (
            RULES,
            rules.replacen("weight: 100", "weight: 90", 1),
            at(RULES, &rules, "weight: 100"),
            "not what the declarations make of it",
        ),
        (
            RULES,
            rules.replacen("      version: v1\n", "", 1),
            at(RULES, &rules, "      version: v1"),
            "not what the declarations make of it",
        ),
        (
            TRAFFIC,
            format!("{traffic}\n[services.orders]\nweights = {{ v1 = 90 }}\n"),
            format!("{TRAFFIC}:{}: ", end + 1),
            "the weights of `orders` add up to 90, and 100 are expected",
        ),
        (
            TRAFFIC,
            format!("{traffic}\n[services.orders]\nweights = {{ v7 = 100 }}\n"),
            format!("{TRAFFIC}:{}: ", end + 1),
            "no pod of `orders` has version `v7`",
        ),
        (
            ORDERS,
            orders.replacen("\"payments\"", "\"bank\"", 1),
            at(ORDERS, &orders, "\"payments\""),
            "there is no service `bank`",
        ),
        (
            ORDERS,
            orders.replacen("\"CapturePayment\"", "\"Steal\"", 1),
            at(ORDERS, &orders, "\"CapturePayment\""),
            "has an RPC `Steal`",
        ),
        (
            ORDERS,
            orders.replacen("\"orders\"", "\"inventory\"", 1),
            at(ORDERS, &orders, "\"orders\""),
            "`inventory` is the name of services/inventory/mesh.toml, too",
        ),
        (
            ORDERS,
            orders.replacen("min = 2", "min = 3", 1),
            at(ORDERS, &orders, "min = 2"),
            "this program was built before that was written",
        ),
    ] {
        let was = read(file);
        assert_ne!(was, now, "{why}");
        fs::write(checkout.join(file), &now).unwrap();
        for said in refused() {
            let told = said.contains(&place) && said.contains(why);
            assert!(told && said.contains("nothing is applied"), "{place}{why}:\n{said}");
        }
        fs::write(checkout.join(file), was).unwrap();
    }
    fs::remove_file(checkout.join(RULES)).unwrap();
    assert!(refused().iter().all(|said| said.contains(&format!("{RULES}:1: it is missing"))));
}
