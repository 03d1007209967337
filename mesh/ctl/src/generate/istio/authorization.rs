//! Who may call what: nobody anything, but each declared caller the RPCs that it declares.

use serde_json::{Value, json};

use crate::generate::cluster::{self, GRPC, HEALTH, Member, Plan, principal};

const API: &str = "security.istio.io/v1";

/// Whoever is not allowed is refused.
pub(super) fn shared(plan: &Plan<'_>) -> Vec<Value> {
    // A policy without rules allows nothing, and is there where a service has no other.
    let mut objects =
        vec![cluster::object(API, "AuthorizationPolicy", "deny-all", json!({ "spec": {} }))];
    objects.extend(plan.public().map(|door| tokens(plan, door)));
    objects
}

/// What a service's callers may do.
pub(super) fn of(plan: &Plan<'_>, member: &Member<'_>) -> Vec<Value> {
    let mut rules: Vec<Value> = member
        .callers
        .iter()
        .map(|(caller, paths)| {
            let mut paths = paths.clone();
            // A door says how those behind it are.
            if plan.public().any(|door| door.name() == *caller) {
                paths.push(HEALTH.to_owned());
            }
            paths.sort();
            rule(
                &principal(cluster::NAMESPACE, caller),
                json!({ "methods": ["POST"], "paths": paths }),
            )
        })
        .collect();
    if member.is_public() {
        let ingress = &plan.traffic.ingress;
        let who = principal(&ingress.namespace, &ingress.service_account);
        rules.push(rule(&who, json!({})));
    }
    // Nobody calls it: what denies all is enough.
    if rules.is_empty() {
        return Vec::new();
    }
    let spec = json!({ "spec": {
        "action": "ALLOW",
        "rules": rules,
        "selector": { "matchLabels": cluster::label(member.name()) },
    } });
    vec![cluster::object(API, "AuthorizationPolicy", member.name(), spec)]
}

fn rule(who: &str, mut what: Value) -> Value {
    if let Some(what) = what.as_object_mut() {
        what.insert("ports".to_owned(), json!([GRPC.to_string()]));
    }
    json!({ "from": [{ "source": { "principals": [who] } }], "to": [{ "operation": what }] })
}

/// A token that is shown has to be good, wherever the world comes in. Whether one is needed, the
/// contract's access rule says, and the application holds to it.
fn tokens(plan: &Plan<'_>, door: &Member<'_>) -> Value {
    let issuers = plan.traffic.issuers.iter().map(|issuer| {
        json!({
            "audiences": issuer.audiences,
            // The services behind verify it themselves.
            "forwardOriginalToken": true,
            "issuer": issuer.issuer,
            "jwksUri": issuer.jwks_uri,
        })
    });
    let spec = json!({ "spec": {
        "jwtRules": issuers.collect::<Vec<_>>(),
        "selector": { "matchLabels": cluster::label(door.name()) },
    } });
    cluster::object(API, "RequestAuthentication", door.name(), spec)
}
