//! `status`, `logs`, `bench orders`: what an operator is told of a shop that runs.

use serde_json::Value;

use crate::shop::Shop;

const SERVICES: [&str; 9] = [
    "catalog",
    "gateway",
    "inventory",
    "orders",
    "payments",
    "processor",
    "shipping",
    "storefront",
    "users",
];

#[test]
fn whoever_asks_is_told_what_runs_how_fast_it_is_and_what_it_wrote() {
    let shop = Shop::clean("running");
    shop.succeeds(&["up", "--detach", "--in-process"]);

    status_names_every_service(&shop);
    orders_are_measured(&shop);
    lines_are_shown(&shop);
}

fn status_names_every_service(shop: &Shop) {
    let status = shop.eventually("everything to be healthy", || {
        let said = shop.run(&["status", "--json"]);
        let status: Value = serde_json::from_slice(&said.stdout).unwrap();
        assert_eq!(status["healthy"] == true, said.status.success(), "{status:#}");
        (status["healthy"] == true).then_some(status)
    });

    assert_eq!(status["up"], true);
    let services = status["services"].as_object().unwrap();
    assert_eq!(services.keys().collect::<Vec<_>>(), SERVICES);
    for (name, replicas) in services {
        assert_eq!(replicas.as_array().unwrap().len(), 1, "{name}");
        let one = &replicas[0];
        assert!(one["ready"] == true && one["version"].is_string(), "{name}: {one:#}");
        assert!(one["conditions"].is_object() && one["grpc"].is_string(), "{name}: {one:#}");
    }
    for server in ["supervisor", "postgres", "nats"] {
        assert!(status[server]["ready"] == true && status[server]["pid"].is_u64(), "{status:#}");
    }
}

fn orders_are_measured(shop: &Shop) {
    let bench = shop.run(&["bench", "orders", "--in-flight", "2", "--seconds", "1", "--json"]);

    let said = String::from_utf8_lossy(&bench.stderr).into_owned();
    let report: Value = serde_json::from_slice(&bench.stdout).expect(&said);
    // How many fail on a busy machine says nothing; that the exit code tells does.
    let failed = report["failed"].as_object().unwrap();
    assert_eq!(bench.status.code(), Some(i32::from(!failed.is_empty())), "{report:#}");
    assert_eq!(report["in_flight"], 2);
    assert!(report["confirmed"].as_u64().unwrap() > 0, "{report:#}");
    for figure in ["/orders_per_second", "/confirmed_ms/p50", "/programs/postgres/rss_mib"] {
        let figure = report.pointer(figure).unwrap_or_else(|| panic!("no {figure}: {report:#}"));
        assert!(figure.as_f64().unwrap() > 0.0, "{report:#}");
    }
}

fn lines_are_shown(shop: &Shop) {
    let said = String::from_utf8(shop.succeeds(&["logs", "orders"]).stdout).unwrap();
    let lines: Vec<Value> = said.lines().filter_map(|it| serde_json::from_str(it).ok()).collect();
    assert!(lines.iter().any(|line| line["message"] == "order placed"), "{said}");
    // They share a process, and its log.
    let shared = String::from_utf8(shop.succeeds(&["logs", "payments"]).stdout).unwrap();
    assert!(shared.starts_with(&said), "{shared}");
    for server in ["postgres", "nats"] {
        assert!(!shop.succeeds(&["logs", server]).stdout.is_empty(), "{server}");
    }
}
