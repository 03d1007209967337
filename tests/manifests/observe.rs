//! The namespace of what observes: who comes in there, and nobody else.

use std::fs;

use mesh_testkit::workspace;
use serde_json::{Value, json};

use super::world::{documents, items};

fn read(file: &str) -> Vec<Value> {
    documents(&fs::read_to_string(workspace().join("observe").join(file)).unwrap())
}

/// What somebody would say of a rule: who comes in, and at which port; all of them if it is none.
fn rules(policy: &Value) -> Vec<(Value, Option<u64>)> {
    let spec = &policy["spec"];
    assert_eq!(spec["policyTypes"], json!(["Ingress"]), "{policy}");
    let rules = items(&spec["ingress"]).flat_map(|rule| {
        let port = rule["ports"][0]["port"].as_u64();
        items(&rule["from"]).map(move |peer| (peer.clone(), port))
    });
    rules.collect()
}

#[test]
fn nobody_comes_in_but_neighbours_signals_and_who_scales() {
    let list = read("kustomization.yaml").remove(0);
    assert!(items(&list["resources"]).any(|it| it == "k8s/network.yaml"), "it is forgotten");
    let policies = read("k8s/network.yaml");
    let of = |name: &str| policies.iter().find(|it| it["metadata"]["name"] == name).unwrap();
    assert_eq!(policies.len(), 3);

    // Without it, the others would leave everybody else's way in open.
    assert_eq!(of("neighbours")["spec"]["podSelector"], json!({}));
    assert_eq!(rules(of("neighbours")), [(json!({ "podSelector": {} }), None)]);
    let shop = json!({ "namespaceSelector": {
        "matchLabels": { "kubernetes.io/metadata.name": "shop" },
    } });
    assert_eq!(rules(of("signals")), [(shop, Some(4317))]);
    let collector = read("k8s/collector.yaml").remove(0);
    let labels = &collector["spec"]["template"]["metadata"]["labels"];
    assert_eq!(of("signals")["spec"]["podSelector"]["matchLabels"], *labels);
    let adapter = json!({
        "namespaceSelector": {},
        "podSelector": { "matchLabels": { "app.kubernetes.io/name": "prometheus-adapter" } },
    });
    assert_eq!(rules(of("questions")), [(adapter, Some(9090))]);
    let asked = read("k8s/prometheus.yaml");
    let service = asked.iter().find(|it| it["kind"] == "Service").unwrap();
    let selector = &service["spec"]["selector"];
    let means = &of("questions")["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/name"];
    assert_eq!(selector["app.kubernetes.io/name"], *means, "{selector}");
}
