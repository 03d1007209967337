//! Where operators come in, if an overlay has it: what they may ask by it, whom it reaches, and that it
//! changes nothing else.

use std::collections::BTreeSet;
use std::fs;

use mesh_testkit::workspace;
use serde_json::{Value, json};

use super::kustomize::{identity, put_together};
use super::world::{CONTRACTS, World, documents, items};
use crate::delivery::Copied;

const FILE: &str = "k8s/generated/operator/operator.yaml";
/// Somebody's own overlay.
const WITH_IT: &str = "\
resources: [../production]
components: [../../components/operator]
";
const OBJECTS: [&str; 6] = [
    "AuthorizationPolicy shop/operator",
    "Deployment shop/operator",
    "NetworkPolicy shop/operator",
    "NetworkPolicy shop/operator-calls",
    "ServiceAccount shop/operator",
    "Sidecar shop/operator",
];

fn objects() -> Vec<Value> {
    documents(&fs::read_to_string(workspace().join(FILE)).unwrap())
}

fn spec(objects: &[Value], what: &str) -> Value {
    objects.iter().find(|it| identity(it) == what).unwrap_or_else(|| panic!("{what}"))["spec"]
        .clone()
}

#[test]
fn operators_may_ask_for_what_some_permission_is_for_and_nothing_else() {
    let world = World::read();
    let policy = spec(&objects(), "AuthorizationPolicy shop/operator");

    let [rule] = &policy["rules"].as_array().unwrap()[..] else { panic!("{policy}") };
    assert_eq!(policy["action"], "ALLOW");
    let who = json!([{ "source": { "principals": ["cluster.local/ns/shop/sa/operator"] } }]);
    assert_eq!(rule["from"], who);
    let [to] = &rule["to"].as_array().unwrap()[..] else { panic!("{rule}") };
    let what = &to["operation"];
    assert_eq!((&what["methods"], &what["ports"]), (&json!(["POST"]), &json!(["50051"])));
    let found: BTreeSet<String> =
        items(&what["paths"]).map(|it| it.as_str().unwrap().to_owned()).collect();
    let is_asked = |name: &str| {
        name.starts_with("mesh.operator.v1.") || world.declarations.iter().any(|it| it.serves(name))
    };
    let staffs = CONTRACTS.methods().filter(|method| {
        let access = &method.access;
        is_asked(method.service()) && (access.operator || !access.permissions.is_empty())
    });
    let mut expected: BTreeSet<String> = staffs.map(|it| format!("/{}", it.path)).collect();
    for platform in [
        "/grpc.health.v1.Health/Check",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ] {
        expected.insert(platform.to_owned());
    }
    assert_eq!(found, expected);
    let may = |name: &str| found.iter().any(|path| path.ends_with(&format!("/{name}")));
    // What the runbook and the page about deploying have them do.
    for name in [
        "AdjustStock",
        "CompensateSaga",
        "CreateProduct",
        "GrantRole",
        "ListSagas",
        "ReceiveStock",
        "RecordCarrierUpdate",
        "RedriveDeadLetters",
        "RefundPayment",
        "ResolveSaga",
        "RetrySaga",
    ] {
        assert!(may(name), "{name}");
    }
    for between_services in ["AuthorizeCharge", "ReserveStock", "CapturePayment", "CreateShipment"]
    {
        assert!(!may(between_services), "{between_services}");
    }
}

#[test]
fn their_pod_calls_services_and_nobody_calls_it() {
    let (world, objects) = (World::read(), objects());
    let found: Vec<_> = objects.iter().map(identity).collect();
    assert_eq!(found.iter().cloned().collect::<BTreeSet<_>>(), OBJECTS.map(str::to_owned).into());
    assert_eq!(found.len(), OBJECTS.len());
    let pod = &spec(&objects, "Deployment shop/operator")["template"];
    assert_eq!(pod["metadata"]["labels"], json!({ "app": "operator" }));
    assert_eq!(pod["spec"]["serviceAccountName"], "operator");
    assert_eq!(pod["spec"]["automountServiceAccountToken"], false);
    assert_eq!(pod["spec"]["securityContext"]["runAsNonRoot"], true);
    let context = &pod["spec"]["containers"][0]["securityContext"];
    assert_eq!(context["readOnlyRootFilesystem"], true);
    assert_eq!(context["capabilities"]["drop"], json!(["ALL"]));

    // Only whoever is in the pod, which is where port-forward ends, is taken calls of.
    let view = spec(&objects, "Sidecar shop/operator");
    let egress = json!([{
        "bind": "127.0.0.1",
        "captureMode": "NONE",
        "hosts": ["./*", "istio-system/*"],
        "port": { "name": "grpc-out", "number": 50051, "protocol": "GRPC" },
    }]);
    assert_eq!(view["egress"], egress);
    assert_eq!(view["workloadSelector"]["labels"], json!({ "app": "operator" }));

    let port = |port: u16| json!([{ "port": port, "protocol": "TCP" }]);
    let near = |name: &str| json!({ "podSelector": { "matchLabels": { "app": name } } });
    let services: Vec<&str> = world.declarations.iter().map(|it| it.service.as_str()).collect();
    let istiod = json!({
        "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "istio-system" } },
        "podSelector": { "matchLabels": { "app": "istiod" } },
    });
    let all: Vec<_> = services.iter().map(|it| near(it)).collect();
    let out = json!([
        { "ports": port(15012), "to": [istiod] },
        { "ports": port(50051), "to": all },
    ]);
    let own = spec(&objects, "NetworkPolicy shop/operator");
    assert_eq!(own["egress"], out);
    assert_eq!(own["podSelector"], json!({ "matchLabels": { "app": "operator" } }));
    assert_eq!(own["policyTypes"], json!(["Egress", "Ingress"]));
    assert!(own.get("ingress").is_none());
    let calls = spec(&objects, "NetworkPolicy shop/operator-calls");
    assert_eq!(calls["ingress"], json!([{ "from": [near("operator")], "ports": port(50051) }]));
    assert_eq!(calls["policyTypes"], json!(["Ingress"]));
    let selector = json!([{ "key": "app", "operator": "In", "values": services }]);
    assert_eq!(calls["podSelector"], json!({ "matchExpressions": selector }));
}

#[test]
fn the_component_of_operators_adds_them_and_changes_nothing() {
    let page = fs::read_to_string(workspace().join("docs/DEPLOY.md")).unwrap();
    assert!(page.contains(&format!("```\n{WITH_IT}```")), "docs/DEPLOY.md says otherwise");
    let copied = Copied::of(&["k8s", "istio"]);
    let folder = copied.0.join("k8s/overlays/with-operators");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("kustomization.yaml"), WITH_IT).unwrap();
    let Some(before) = put_together(&copied.0.join("k8s/overlays/production")) else { return };
    let after = put_together(&folder).unwrap();

    let added = after.iter().filter(|it| !before.contains(it));
    let added: BTreeSet<_> = added.map(identity).collect();
    assert_eq!(added, OBJECTS.map(str::to_owned).into());
    assert!(before.iter().all(|it| after.contains(it)));
}
