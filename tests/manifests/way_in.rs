//! Ingress by nginx in place of Istio's gateway: only the way in is another one, and one of both is open.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use mesh_testkit::workspace;
use serde_json::{Value, json};

use super::kustomize::{identity, put_together};
use super::world::{World, documents, items};
use crate::delivery::Copied;

/// Somebody's own overlay.
const ALTERNATIVE: &str = "\
resources: [../production]
components: [../../components/ingress]
";

/// Writes somebody's own overlay, as docs/DEPLOY.md has it, into a copy of `k8s`, and says where.
pub fn behind_an_ingress(copied: &Copied) -> PathBuf {
    let page = fs::read_to_string(workspace().join("docs/DEPLOY.md")).unwrap();
    assert!(page.contains(&format!("```\n{ALTERNATIVE}```")), "docs/DEPLOY.md says otherwise");
    let folder = copied.0.join("k8s/overlays/behind-an-ingress");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("kustomization.yaml"), ALTERNATIVE).unwrap();
    folder
}

#[test]
fn the_component_of_ingress_changes_who_comes_in_and_nothing_else() {
    let copied = Copied::of(&["k8s", "istio"]);
    let own = behind_an_ingress(&copied);
    let production = copied.0.join("k8s/overlays/production");
    let Some(before) = put_together(&production) else { return };
    let after = put_together(&own).unwrap();

    let lacks = |object: &&Value, others: &[Value]| !others.contains(object);
    let changed = before.iter().filter(|it| lacks(it, &after));
    let changed = changed.chain(after.iter().filter(|it| lacks(it, &before)));
    let changed: BTreeSet<_> = changed.map(identity).collect();
    let expected = [
        "AuthorizationPolicy shop/gateway",
        "Certificate istio-ingress/gateway-certificate",
        "Gateway shop/gateway",
        "Ingress shop/gateway",
        "NetworkPolicy shop/gateway",
        "VirtualService shop/gateway",
    ];
    assert_eq!(changed, expected.map(str::to_owned).into());

    let find = |kind: &str| {
        let name = format!("{kind} shop/gateway");
        after.iter().find(|it| identity(it) == name)
    };
    // Nobody listens for Istio's routes, and nobody asks for a certificate that is not used.
    assert!(find("Gateway").is_none());
    assert!(after.iter().all(|it| it["kind"] != "Certificate"));
    assert_eq!(find("VirtualService").unwrap()["spec"].get("gateways"), None);
    // One controller, by certificate and by address, to one port.
    let policy = &find("AuthorizationPolicy").unwrap()["spec"];
    let principals = json!(["cluster.local/ns/ingress-nginx/sa/ingress-nginx"]);
    let source = json!([{ "source": { "principals": principals } }]);
    let to = json!([{ "operation": { "ports": ["50051"] } }]);
    assert_eq!(policy["rules"], json!([{ "from": source, "to": to }]));
    let rules: Vec<_> = items(&find("NetworkPolicy").unwrap()["spec"]["ingress"]).collect();
    let peer = json!({
        "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "ingress-nginx" } },
        "podSelector": { "matchLabels": { "app.kubernetes.io/name": "ingress-nginx" } },
    });
    let port = json!([{ "port": 50051, "protocol": "TCP" }]);
    assert_eq!(rules[0], &json!({ "from": [peer], "ports": port }));
    let operators = &rules[1]["from"][0]["namespaceSelector"]["matchLabels"];
    assert_eq!((rules.len(), &operators["kubernetes.io/metadata.name"]), (2, &json!("observe")));
    // All of it by TLS, for the hosts that it has a certificate for.
    let ingress = &find("Ingress").unwrap()["spec"];
    let hosts: Vec<_> = items(&ingress["rules"]).map(|it| it["host"].clone()).collect();
    assert!(!hosts.is_empty());
    assert_eq!(ingress["tls"], json!([{ "hosts": hosts, "secretName": "gateway-certificate" }]));
}

/// Istio's own way in is the pods that routes and policies mean.
#[test]
fn the_ingress_gateway_is_whom_the_shop_lets_in() {
    let world = World::read();
    let text = fs::read_to_string(workspace().join("k8s/ingress-gateway/gateway.yaml")).unwrap();
    let objects = documents(&text);
    let find = |kind: &str| objects.iter().find(|it| it["kind"] == kind).unwrap();
    let ingress = &world.ingress;

    assert_eq!(find("Namespace")["metadata"]["name"], *ingress.namespace);
    assert_eq!(find("Namespace")["metadata"]["labels"]["istio-injection"], "enabled");
    let others = objects.iter().filter(|it| it["kind"] != "Namespace");
    assert!(others.into_iter().all(|it| it["metadata"]["namespace"] == *ingress.namespace));
    assert_eq!(find("ServiceAccount")["metadata"]["name"], *ingress.service_account);
    let pod = &find("Deployment")["spec"]["template"];
    assert_eq!(pod["spec"]["serviceAccountName"], *ingress.service_account);
    assert_eq!(pod["metadata"]["labels"]["istio"], *ingress.label);
    assert_eq!(pod["metadata"]["annotations"]["inject.istio.io/templates"], "gateway");
    let label = json!({ "istio": ingress.label });
    assert_eq!(find("Service")["spec"]["selector"], label);
    assert_eq!(find("PodDisruptionBudget")["spec"]["selector"]["matchLabels"], label);
    assert_eq!(find("Deployment")["spec"]["selector"]["matchLabels"], label);
    // The ports that the shop's Gateway opens, and no other.
    let gateway = world.of("Gateway").next().unwrap();
    let numbers = |list: &Value, place: &str| {
        let of = |it: &Value| it.pointer(place).and_then(Value::as_u64);
        items(list).filter_map(of).collect::<BTreeSet<_>>()
    };
    let opened = numbers(&gateway["spec"]["servers"], "/port/number");
    assert_eq!(numbers(&find("Service")["spec"]["ports"], "/targetPort"), opened);
    // It reads certificates where the shop has them made.
    let certificate = world.of("Certificate").next().unwrap();
    assert_eq!(certificate["metadata"]["namespace"], *ingress.namespace);
    assert_eq!(find("Role")["rules"][0]["resources"], json!(["secrets"]));
    assert_eq!(find("RoleBinding")["subjects"][0]["name"], *ingress.service_account);
}

const RECOVERY: &str = "\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [../production]
components: [../../components/recovery]
";

/// From the archive of the one that was, as the same users know it, and into another archive.
#[test]
fn a_database_is_recovered_from_its_own_archive_and_archives_elsewhere() {
    let copied = Copied::of(&["k8s", "istio"]);
    let overlays = copied.0.join("k8s/overlays");
    fs::create_dir(overlays.join("mine")).unwrap();
    fs::write(overlays.join("mine/kustomization.yaml"), RECOVERY).unwrap();
    let Some(before) = put_together(&overlays.join("production")) else { return };
    let after = put_together(&overlays.join("mine")).unwrap();

    let changed: Vec<_> = after.iter().filter(|it| !before.contains(it)).collect();
    let [cluster] = changed[..] else { panic!("{} objects are changed", changed.len()) };
    assert_eq!(identity(cluster), "Cluster shop/orders-database");
    let old = before.iter().find(|it| identity(it) == identity(cluster)).unwrap();
    let (new, old) = (&cluster["spec"], &old["spec"]);
    let recovery = &new["bootstrap"]["recovery"];
    for key in ["database", "owner"] {
        assert_eq!(recovery[key], old["bootstrap"]["initdb"][key], "{key}");
    }
    assert!(new["bootstrap"].get("initdb").is_none());
    assert!(recovery["recoveryTarget"]["targetTime"].is_string());
    let source = &new["externalClusters"][0];
    assert_eq!(source["name"], recovery["source"]);
    let (from, to) = (&source["barmanObjectStore"], &new["backup"]["barmanObjectStore"]);
    for key in ["destinationPath", "s3Credentials"] {
        assert_eq!(from[key], old["backup"]["barmanObjectStore"][key], "{key}");
        assert_eq!(to[key], from[key], "{key}");
    }
    // An archive is named after its Cluster if nothing else is said.
    assert_eq!(from["serverName"], cluster["metadata"]["name"]);
    assert_ne!(to["serverName"], from["serverName"]);
    assert!(to["serverName"].is_string());
}
