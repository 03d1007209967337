//! What the rules of an objective say.

use mesh_local::Declaration;

use super::{Clock, Rule, groups};

fn declared(objective: &str) -> Declaration {
    let head = "service = \"orders\"\ncontract = \"shop.orders.v1\"\n\n[[objectives]]\n";
    Declaration::parse(&format!("{head}{objective}\nwindow = \"30d\"\n")).unwrap()
}

fn rules(objective: &str) -> Vec<Rule> {
    let groups = groups(&declared(objective), &Clock::REAL).unwrap();
    groups.into_iter().flat_map(|group| group.rules).collect()
}

fn record(rules: &[Rule], wanted: &str) -> String {
    let found = rules.iter().find_map(|rule| match rule {
        Rule::Record { name, expr, .. } if name == wanted => Some(expr.clone()),
        _ => None,
    });
    found.unwrap()
}

#[test]
fn a_budget_is_spent_too_fast_at_the_rates_of_the_workbook() {
    let rules = rules("name = \"calls\"\nwhat = \"availability\"\ntarget = 0.999");

    let alerts: Vec<_> = rules.into_iter().filter_map(Rule::alert).collect();
    let [page, ticket, gone] = &alerts[..] else { panic!("{alerts:?}") };
    for (alert, pairs) in [
        (page, [("14.4", "1h", "5m"), ("6", "6h", "30m")]),
        (ticket, [("3", "1d", "2h"), ("1", "3d", "6h")]),
    ] {
        for (rate, long, short) in pairs {
            for window in [long, short] {
                let labels = "service=\"orders\",objective=\"calls\"";
                let condition =
                    format!("slo:bad:ratio_rate{window}{{{labels}}} > {rate} * 0.001\n");
                assert!(alert.expr.contains(&condition), "{condition} in {}", alert.expr);
            }
        }
    }
    assert!(ticket.expr.ends_with(&format!("unless\n(\n{}\n)", page.expr)), "{}", ticket.expr);
    assert_eq!(gone.expr, "absent(up{job=\"orders\"} == 1)");
    assert_eq!(
        page.summary,
        "orders: `calls`, 99.9% of calls without a fault over 30d, spends its budget too fast"
    );
}

#[test]
fn streams_do_not_count_and_other_contracts_do_not_either() {
    let rules = rules("name = \"calls\"\nwhat = \"availability\"\ntarget = 0.999");

    let all = record(&rules, "slo:all:rate5m");

    let labels = "{job=\"orders\",service=\"orders\",rpc_method=~\"shop[.]orders[.]v1[.].+\",\
                  rpc_method!~\"shop[.]orders[.]v1[.]OrdersService/WatchOrder\"}";
    assert_eq!(all, format!("sum(rate(rpc_server_call_duration_seconds_count{labels}[5m]))"));
}

/// What the door answers it has from others, in either of two ways.
#[test]
fn a_service_without_a_contract_is_the_door_to_those_of_others() {
    let declared = |objective: &str| {
        let text = format!("service = \"door\"\n\n[[objectives]]\n{objective}\nwindow = \"30d\"\n");
        let groups = groups(&Declaration::parse(&text).unwrap(), &Clock::REAL).unwrap();
        groups.into_iter().flat_map(|group| group.rules).collect::<Vec<_>>()
    };
    let labels = "job=\"door\",service=\"door\",kind=\"unary\"";
    let count = format!("http_server_request_duration_seconds_count{{{labels}");

    let made = declared("name = \"calls\"\nwhat = \"availability\"\ntarget = 0.999");
    assert_eq!(record(&made, "slo:all:rate5m"), format!("sum(rate({count}}}[5m]))"));
    let bad = record(&made, "slo:bad:rate5m");
    for fault in ["http_response_status_code=~\"5..\"", "rpc_response_status_code=~\"UNKNOWN|"] {
        assert!(bad.contains(&format!("(sum(rate({count},{fault}")), "{bad}");
    }
    let names: Vec<_> = made.into_iter().filter_map(Rule::alert).map(|it| it.name).collect();
    assert_eq!(names, ["DoorFailing", "DoorFailing", "ServiceGone"]);

    let slow = declared("name = \"fast\"\nwhat = \"latency\"\ntarget = 0.99\nbound = \"500ms\"");
    let good = "http_response_status_code=\"200\",rpc_response_status_code=~\"OK|\",le=\"0.5\"";
    assert!(record(&slow, "slo:bad:rate5m").contains(good), "{}", record(&slow, "slo:bad:rate5m"));
}

#[test]
fn a_whole_bound_is_found_however_prometheus_writes_it() {
    let latency = |bound: &str| {
        let objective = "name = \"fast\"\nwhat = \"latency\"\ntarget = 0.99";
        record(&rules(&format!("{objective}\nbound = \"{bound}\"")), "slo:bad:rate5m")
    };
    assert!(latency("1s").contains("le=~\"1([.]0)?\"}"), "{}", latency("1s"));
    assert!(latency("250ms").contains("le=\"0.25\"}"), "{}", latency("250ms"));
}

#[test]
fn a_bound_that_no_histogram_has_is_refused_with_the_nearest() {
    let objective = "name = \"fast\"\nwhat = \"latency\"\ntarget = 0.99\nbound = \"300ms\"";

    let refused = groups(&declared(objective), &Clock::REAL).unwrap_err();

    let said = format!("{refused:#}");
    assert!(said.starts_with("services/orders/mesh.toml, line 5: objective `fast`: "), "{said}");
    assert!(said.contains("at 300ms: the nearest are 250ms and 500ms"), "{said}");
}
