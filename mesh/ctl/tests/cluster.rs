//! `cluster` on machines that lack something, and where nothing is up. With everything there, see
//! `tests/by_traffic/`.

use std::fs;
use std::path::Path;

use crate::shop::Shop;

/// The folders and files of a checkout that `up --istio` reads.
const READ: [&str; 9] = [
    "Cargo.lock",
    "clients/service_config",
    "compose",
    "compose.yaml",
    "docs/GRAPH.md",
    "istio",
    "k8s",
    "nats",
    "observe",
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

fn copy(from: &Path, to: &Path) {
    if from.is_file() {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
        return;
    }
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}

/// What of a checkout `up --istio` reads, in another folder.
fn copied(to: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let _ = fs::remove_dir_all(to);
    for part in READ {
        copy(&root.join(part), &to.join(part));
    }
    for service in fs::read_dir(root.join("services")).unwrap() {
        let file = Path::new("services").join(service.unwrap().file_name()).join("mesh.toml");
        copy(&root.join(&file), &to.join(&file));
    }
}

/// The line of a text that is first to hold this, from 1.
fn line(text: &str, what: &str) -> usize {
    text.lines().position(|line| line.contains(what)).unwrap() + 1
}

/// What somebody has done to a file, and what is said of it.
struct Edit {
    file: &'static str,
    now: String,
    place: String,
    why: &'static str,
}

/// What is said to be refused.
fn edits(rules: &str, traffic: &str, orders: &str) -> Vec<Edit> {
    let edit = |file, now, place, why| Edit { file, now, place, why };
    let at = |file: &str, text: &str, what: &str| format!("{file}:{}: ", line(text, what));
    let end = traffic.lines().count() + 2;
    vec![
        edit(
            RULES,
            rules.replacen("weight: 100", "weight: 90", 1),
            at(RULES, rules, "weight: 100"),
            "not what the declarations make of it",
        ),
        edit(
            RULES,
            rules.replacen("      version: v1\n", "", 1),
            at(RULES, rules, "      version: v1"),
            "not what the declarations make of it",
        ),
        edit(
            TRAFFIC,
            format!("{traffic}\n[services.orders]\nweights = {{ v1 = 90 }}\n"),
            format!("{TRAFFIC}:{}: ", end + 1),
            "the weights of `orders` add up to 90, and 100 are expected",
        ),
        edit(
            TRAFFIC,
            format!("{traffic}\n[services.orders]\nweights = {{ v7 = 100 }}\n"),
            format!("{TRAFFIC}:{}: ", end + 1),
            "no pod of `orders` has version `v7`",
        ),
        edit(
            ORDERS,
            orders.replacen("\"payments\"", "\"bank\"", 1),
            at(ORDERS, orders, "\"payments\""),
            "there is no service `bank`",
        ),
        edit(
            ORDERS,
            orders.replacen("\"CapturePayment\"", "\"Steal\"", 1),
            at(ORDERS, orders, "\"CapturePayment\""),
            "has an RPC `Steal`",
        ),
        edit(
            ORDERS,
            orders.replacen("\"orders\"", "\"inventory\"", 1),
            at(ORDERS, orders, "\"orders\""),
            "`inventory` is the name of services/inventory/mesh.toml, too",
        ),
        edit(
            ORDERS,
            orders.replacen("min = 2", "min = 3", 1),
            at(ORDERS, orders, "min = 2"),
            "this program was built before that was written",
        ),
    ]
}

#[test]
fn what_was_edited_by_hand_or_cannot_be_is_refused_with_file_and_line_before_anything_is_applied() {
    let shop = Shop::bare("cluster-edited");
    let checkout = shop.home.path("checkout");
    copied(&checkout);
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
    let edits = edits(&read(RULES), &read(TRAFFIC), &read(ORDERS));
    for Edit { file, now, place, why } in edits {
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
