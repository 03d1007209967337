//! Every pair of a caller and an RPC, decided as Istio decides: allowed if and only if it is declared.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::world::{CONTRACTS, World, items, selects};

const GRPC: &str = "50051";
const HEALTH: &str = "/grpc.health.v1.Health/Check";

/// Who asks: the id of the certificate, if there is one.
type Caller = Option<String>;

pub fn faults(world: &World) -> Vec<String> {
    let mut faults = Vec::new();
    let callers = callers(world);
    // And somebody who has no policy of its own.
    let services = world.graph.services.iter().map(String::as_str).chain(["stranger"]);
    for service in services {
        let policies = policies(world, service);
        if !policies.iter().all(|policy| is_explicit(policy)) {
            faults.push(format!("{service}: a policy does not say what it does, or to whom"));
        }
        let (paths, declared) = (paths(world, service), declared(world, service));
        for caller in &callers {
            for path in &paths {
                for (method, port) in [("POST", GRPC), ("GET", GRPC), ("POST", "9090")] {
                    let is = is_allowed(&policies, caller, method, path, port);
                    let should = port == GRPC
                        && match caller {
                            None => false,
                            // A door is open for whatever comes by the ingress.
                            Some(caller) if is_public(world, service) => *caller == ingress(world),
                            Some(caller) => {
                                method == "POST"
                                    && declared.contains(&(caller.clone(), path.clone()))
                            }
                        };
                    if is != should {
                        let who = caller.as_deref().unwrap_or("somebody in plaintext");
                        let verdict = if is { "may" } else { "may not" };
                        faults.push(format!("{who} {verdict} {method} {path} of {service}:{port}"));
                    }
                }
            }
        }
    }
    faults
}

/// What denies all says nothing; every other policy says everything.
fn is_explicit(policy: &Value) -> bool {
    let spec = &policy["spec"];
    let said = spec["action"] == "ALLOW" && spec["selector"]["matchLabels"]["app"].is_string();
    *spec == json!({}) || said
}

fn is_public(world: &World, service: &str) -> bool {
    let exposure = world.declared(service).map(|declared| declared.exposure);
    exposure == Some(mesh_local::Exposure::Public)
}

/// Who may ask a service what.
fn declared(world: &World, service: &str) -> BTreeSet<(String, String)> {
    let mut declared = BTreeSet::new();
    for edge in world.graph.calls.iter().filter(|edge| edge.to == service) {
        let caller = id("shop", &edge.from);
        let paths = edge.names.iter().map(|name| (caller.clone(), format!("/{name}")));
        declared.extend(paths);
        if is_public(world, &edge.from) {
            declared.insert((caller, HEALTH.to_owned()));
        }
    }
    declared
}

/// What there is to ask of a service: its contract, what every service answers, and what none has.
fn paths(world: &World, service: &str) -> BTreeSet<String> {
    let declared = world.declared(service);
    let its = CONTRACTS.methods().filter(|method| {
        declared.is_some_and(|it| it.serves(method.service()))
            || method.service().starts_with("mesh.operator.v1.")
    });
    let mut paths: BTreeSet<String> = its.map(|method| format!("/{}", method.path)).collect();
    paths.extend([HEALTH, "/", "/v1/products"].map(str::to_owned));
    paths
}

/// Every service, the ingress, and those who look like them.
fn callers(world: &World) -> Vec<Caller> {
    let mut callers = vec![None, Some(id("shop", "default")), Some(id("default", "orders"))];
    callers.extend(world.graph.services.iter().map(|service| Some(id("shop", service))));
    callers.push(Some(ingress(world)));
    callers.push(Some(id("shop", &world.ingress.service_account)));
    callers.push(Some("elsewhere.local/ns/shop/sa/orders".to_owned()));
    callers
}

fn id(namespace: &str, account: &str) -> String {
    format!("cluster.local/ns/{namespace}/sa/{account}")
}

fn ingress(world: &World) -> String {
    id(&world.ingress.namespace, &world.ingress.service_account)
}

/// The policies that a service's pods are under.
fn policies<'a>(world: &'a World, service: &str) -> Vec<&'a Value> {
    let pod = json!({ "app": service, "version": "v1" });
    let all = world.of("AuthorizationPolicy").filter(|policy| {
        let selector = policy["spec"].get("selector");
        policy["metadata"]["namespace"] == "shop"
            && selector.is_none_or(|it| selects(&it["matchLabels"], &pod))
    });
    all.collect()
}

/// As Istio decides: without any policy everything is allowed; with some, what a rule of one allows.
fn is_allowed(policies: &[&Value], caller: &Caller, method: &str, path: &str, port: &str) -> bool {
    let rule_allows = |rule: &Value| {
        let from = rule.get("from").is_none_or(|from| {
            items(from).any(|it| {
                let principals = &it["source"]["principals"];
                caller.as_ref().is_some_and(|caller| has(principals, caller))
            })
        });
        let to = rule.get("to").is_none_or(|to| {
            items(to).map(|it| &it["operation"]).any(|what| {
                let allows = |key: &str, value| what.get(key).is_none_or(|all| has(all, value));
                allows("methods", method) && allows("paths", path) && allows("ports", port)
            })
        });
        from && to
    };
    let allows = |policy: &&Value| {
        let action = policy["spec"].get("action");
        action.is_none_or(|it| it == "ALLOW") && items(&policy["spec"]["rules"]).any(rule_allows)
    };
    policies.is_empty() || policies.iter().any(allows)
}

/// Whether a list of values, of which one may end in a star, means a value.
fn has(list: &Value, value: &str) -> bool {
    items(list).filter_map(Value::as_str).any(|known| match known.strip_suffix('*') {
        Some(begin) => value.starts_with(begin),
        None => known == value,
    })
}

#[test]
fn every_caller_may_call_what_it_declares_and_nothing_else() {
    let world = World::read();

    let faults = faults(&world);

    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
    let allowed: usize = world.graph.calls.iter().map(|edge| edge.names.len()).sum();
    assert!(allowed > 30, "{allowed} pairs are allowed");
}

#[test]
fn one_rpc_more_or_less_is_noticed() {
    let mut world = World::read();
    let policy = |world: &World| {
        let is = |it: &Value| {
            it["kind"] == "AuthorizationPolicy" && it["metadata"]["name"] == "payments"
        };
        world.objects.iter().position(is).unwrap()
    };
    let at = policy(&world);
    let undeclared = "/shop.payments.v1.PaymentsService/ListPayments";

    let paths = &mut world.objects[at]["spec"]["rules"][0]["to"][0]["operation"]["paths"];
    let lost = paths.as_array_mut().unwrap().pop().unwrap();
    paths.as_array_mut().unwrap().push(json!(undeclared));

    let who = "cluster.local/ns/shop/sa/orders";
    let lost = lost.as_str().unwrap();
    let expected = [
        format!("{who} may POST {undeclared} of payments:{GRPC}"),
        format!("{who} may not POST {lost} of payments:{GRPC}"),
    ];
    let mut found = faults(&world);
    found.sort();
    let mut expected = expected.to_vec();
    expected.sort();
    assert_eq!(found, expected);
}
