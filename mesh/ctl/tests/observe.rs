//! `trace`, `logs --all`, `top`: an operator looks at a running shop.

use std::collections::BTreeSet;

use mesh_local::Signal;
use serde_json::Value;

use crate::shop::Shop;

const UNKNOWN: &str = "01890000-0000-7000-8000-000000000000";
const STEPS: [&str; 7] = [
    "PlaceOrder",
    "reserve",
    "authorize",
    "create_shipment",
    "commit",
    "capture",
    "release_shipment",
];

#[test]
fn an_order_is_found_by_trace_logs_and_top_until_the_shop_is_started_anew() {
    let shop = Shop::clean("observe");
    shop.succeeds(&["up", "--detach"]);
    let order = bought(&shop);

    let trace = trace(&shop, &order);
    let steps = trace["steps"].as_array().unwrap();
    let labels: Vec<_> = steps.iter().map(|step| step["label"].as_str().unwrap()).collect();
    assert_eq!(labels, STEPS);
    let number = |value: &Value| value.as_u64().unwrap();
    let spans = trace["spans"].as_array().unwrap();
    let path: u64 = spans.iter().map(|span| number(&span["critical"])).sum();
    assert_eq!(
        path + number(&trace["waited"]),
        number(&trace["took"]),
        "no time is unaccounted for"
    );
    // By the id of the trace, and by the customer's request, it is the same.
    let place = spans.iter().find(|span| span["name"].as_str().unwrap().ends_with("/PlaceOrder"));
    let place = place.unwrap();
    let request = place["attributes"]["request_id"].as_str().unwrap();
    let trace_id = place["trace_id"].as_str().unwrap();
    for id in [request, trace_id] {
        let same: Value = json(&shop, &["trace", id, "--json"]);
        assert_eq!(same["spans"].as_array().unwrap().len(), spans.len(), "{id}");
    }
    let said = text(&shop, &["trace", &order]);
    assert!(said.contains(" * ") && said.contains("→ CapturePayment"), "{said}");
    assert!(STEPS.iter().all(|step| said.contains(step)), "{said}");

    logs(&shop, &order, request, trace_id);
    top(&shop);
    unknown(&shop);

    // With the supervisor everything is gone but what is in the databases.
    assert!(shop.supervisor().signal(Signal::KILL));
    shop.eventually("the killed supervisor to be gone", || (!shop.supervisor_runs()).then_some(()));
    shop.succeeds(&["up", "--detach", "--in-process"]);
    let gone = shop.run(&["trace", &order]);
    let said = String::from_utf8(gone.stderr).unwrap();
    assert_eq!(gone.status.code(), Some(1));
    assert!(said.contains(trace_id) && said.contains("when this shop was started"), "{said}");
    // Services that share a process are told apart.
    let order = bought(&shop);
    let by: BTreeSet<String> = self::trace(&shop, &order)["spans"]
        .as_array()
        .unwrap()
        .iter()
        .map(|span| span["by"].as_str().unwrap().to_owned())
        .collect();
    let all = ["catalog", "inventory", "orders", "payments", "processor", "shipping"];
    assert_eq!(by, all.map(str::to_owned).into());
}

#[test]
fn traces_go_where_the_user_says_or_nowhere() {
    let shop = Shop::clean("elsewhere");

    let up = shop.run_in(&[("OTLP_ENDPOINT", "http://127.0.0.1:9")], &["up", "--detach"]);
    assert!(up.status.success(), "{}", String::from_utf8_lossy(&up.stderr));
    assert!(shop.state().get("traces").is_none());
    let refused = shop.run(&["trace", UNKNOWN]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("OTLP_ENDPOINT"));
    shop.succeeds(&["down"]);

    shop.succeeds(&["up", "--detach", "--untraced", "--in-process"]);
    assert!(shop.state().get("traces").is_none());
    assert_eq!(shop.run(&["trace", UNKNOWN]).status.code(), Some(1));
}

/// Buys something; the order's id, once it is confirmed.
fn bought(shop: &Shop) -> String {
    let ending = json(shop, &["demo", "--watch", "--json"]);
    assert_eq!(ending["confirmed"], true, "{ending}");
    ending["order_id"].as_str().unwrap().to_owned()
}

/// An order's trace, once its last span is there.
fn trace(shop: &Shop, order: &str) -> Value {
    shop.eventually("the order's trace to be whole", || {
        let said = shop.run(&["trace", order, "--json"]);
        let trace: Value = serde_json::from_slice(&said.stdout).ok()?;
        let spans = trace["spans"].as_array().unwrap();
        let story = spans.iter().any(|span| span["name"] == "saga" && span["missing"] == false);
        (story && spans.iter().all(|span| span["missing"] == false)).then_some(trace)
    })
}

fn logs(shop: &Shop, order: &str, request: &str, trace: &str) {
    for (option, id) in [("--order", order), ("--request", request), ("--trace", trace)] {
        let said = text(shop, &["logs", "--all", option, id, "--json"]);
        let lines: Vec<Value> = said.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
        let services: BTreeSet<&str> =
            lines.iter().map(|line| line["service"].as_str().unwrap()).collect();
        assert_eq!(services, ["inventory", "orders", "payments", "shipping"].into(), "{said}");
        assert!(lines.iter().all(|line| line["trace_id"] == trace), "{said}");
        assert!(
            lines.is_sorted_by_key(|line| line["timestamp"].as_str().unwrap().to_owned()),
            "{said}"
        );
        let plain = text(shop, &["logs", "--all", option, id]);
        assert_eq!(plain.lines().count(), lines.len());
        // The messages begin below each other.
        let placed = plain.lines().find(|line| line.contains("order placed")).unwrap();
        let column = placed.find("order placed").unwrap();
        assert!(plain.lines().all(|line| &line[column - 2..column] == "  "), "{plain}");
    }
    let all = text(shop, &["logs", "--all"]);
    assert!(["catalog", "processor"].iter().all(|service| all.contains(service)));
    let none = shop.run(&["logs", "--all", "--order", UNKNOWN]);
    let said = String::from_utf8(none.stderr).unwrap();
    assert!(
        none.status.code() == Some(1) && said.contains(UNKNOWN) && said.contains("trace"),
        "{said}"
    );
    assert_eq!(shop.run(&["logs", "orders", "--all"]).status.code(), Some(2));
    assert_eq!(shop.run(&["logs"]).status.code(), Some(2));
}

fn top(shop: &Shop) {
    let view = json(shop, &["top", "--once", "--json"]);
    let services: Vec<_> = view["services"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["service"].as_str().unwrap())
        .collect();
    assert_eq!(
        services,
        [
            "catalog",
            "gateway",
            "inventory",
            "orders",
            "payments",
            "processor",
            "shipping",
            "storefront",
            "users",
            "postgres",
            "nats"
        ]
    );
    assert!(view["services"][3]["ready"] == true && view["services"][9]["rss_mib"].is_number());
    assert_eq!(view["sagas"][0]["service"], "orders", "{view}");
    let said = text(shop, &["top", "--once"]);
    assert!(said.contains("calls/s") && said.contains("sagas of"), "{said}");
    let live = shop.run(&["top"]);
    let refused = String::from_utf8(live.stderr).unwrap();
    assert!(live.status.code() == Some(1) && refused.contains("top --once"), "{refused}");
}

fn unknown(shop: &Shop) {
    let none = shop.run(&["trace", UNKNOWN]);
    let said = String::from_utf8(none.stderr).unwrap();
    assert_eq!(none.status.code(), Some(1));
    for way_out in [UNKNOWN, "traces are kept", "logs --all", "OTLP_ENDPOINT"] {
        assert!(said.contains(way_out), "{said}");
    }
    let slip = shop.run(&["trace", "ORDER-17"]);
    let said = String::from_utf8(slip.stderr).unwrap();
    assert!(slip.status.code() == Some(2) && said.contains("is no id"), "{said}");
}

fn json(shop: &Shop, arguments: &[&str]) -> Value {
    serde_json::from_slice(&shop.succeeds(arguments).stdout).unwrap()
}

fn text(shop: &Shop, arguments: &[&str]) -> String {
    String::from_utf8(shop.succeeds(arguments).stdout).unwrap()
}
