//! What the program says about itself.

use serde_json::{Value, json};

use crate::shop::Shop;

#[test]
fn help_lists_every_command_with_examples_and_exit_codes() {
    let shop = Shop::bare("help");

    let help = shop.succeeds(&["--help"]);
    let help = String::from_utf8(help.stdout).unwrap();

    for command in [
        "doctor",
        "up",
        "down",
        "status",
        "logs",
        "trace",
        "top",
        "demo",
        "audit",
        "sagas",
        "dlq",
        "policy",
        "endpoints",
        "locks",
        "bench",
        "cluster",
        "test",
        "token",
        "completions",
        "docs",
        "gen",
        "affected",
        "deliver",
        "graph",
        "migrations",
        "provision",
    ] {
        assert!(help.contains(&format!("\n  {command} ")), "{command} is not in\n{help}");
        let own = shop.succeeds(&[command, "--help"]);
        let own = String::from_utf8(own.stdout).unwrap();
        assert!(own.contains("Exit codes: 0"), "{own}");
    }
    assert!(help.contains("First steps:") && help.contains("MESH_HOME"), "{help}");
    assert!(!help.contains("supervise"), "what is for the program itself is not shown");

    // A suite that is not there is refused by the names of those that are.
    let refused = shop.run(&["test", "--suite", "python"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        refused.status.code() == Some(2)
            && said.contains(
                "[possible values: rust, alerts, cluster, collector, fuzz, images, polyglot, all]"
            ),
        "{said}"
    );
}

#[test]
fn shells_are_told_every_command() {
    let shop = Shop::bare("completions");

    for (shell, mark) in [
        ("bash", "complete -F _meshctl"),
        ("zsh", "#compdef meshctl"),
        ("fish", "complete -c meshctl"),
    ] {
        let script = shop.succeeds(&["completions", shell]);
        let script = String::from_utf8(script.stdout).unwrap();
        assert!(script.contains(mark), "{shell}");
        assert!(script.contains("doctor") && script.contains("replicas"), "{shell}");
    }
    assert_eq!(shop.run(&["completions", "tcsh"]).status.code(), Some(2));
}

#[test]
fn the_policy_of_a_call_is_told_without_a_shop_and_a_slip_with_the_nearest_name() {
    let shop = Shop::bare("policy");

    let told = shop.succeeds(&["policy", "PlaceOrder", "--json"]);
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(told["from"], "contracts");
    assert_eq!(told["method"], "shop.orders.v1.OrdersService/PlaceOrder");
    assert_eq!(told["values"]["deadline"], json!({ "value": "5s", "source": "contract" }));
    assert_eq!(told["values"]["retry.attempts"], json!({ "value": 3, "source": "default" }));

    let slip = shop.run(&["policy", "PlaceOrdre"]);
    assert_eq!(slip.status.code(), Some(1));
    let said = String::from_utf8(slip.stderr).unwrap();
    assert!(said.contains("did you mean shop.orders.v1.OrdersService/PlaceOrder?"), "{said}");

    let all = String::from_utf8(shop.succeeds(&["policy"]).stdout).unwrap();
    assert!(all.contains("shop.orders.v1.OrdersService/WatchOrder") && all.contains("5m"), "{all}");
}
