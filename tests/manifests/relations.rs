//! What makes sense only together: which objects there are at all, names that mean one another, ports,
//! versions, and the settings that tell a process of all that.

use std::collections::BTreeSet;

use mesh_local::{Declaration, Exposure};
use serde_json::{Value, json};

use super::job_rules;
use super::world::{World, items};

const GRPC: u64 = 50051;
const ADMIN: u64 = 9090;

pub fn faults(world: &World) -> Vec<String> {
    let mut faults = inventory(world);
    if !job_rules::makes_streams(world) {
        faults.push("the Job that makes streams".to_owned());
    }
    if !world.objects.iter().filter(|it| it["kind"] == "NetworkPolicy").all(has_directions) {
        faults.push("a NetworkPolicy is about other directions".to_owned());
    }
    for declared in &world.declarations {
        let mut look = |what: &str, is_so: bool| {
            if !is_so {
                faults.push(format!("{}: {what}", declared.service));
            }
        };
        look("settings", has_settings(world, declared));
        look("services and their ports", is_found(world, declared));
        look("versions and routes", is_routed(world, declared));
        look("the sidecar's view", sees_callees(world, declared));
        look("who migrates its database", job_rules::is_migrated(world, declared));
        for version in &declared.versions {
            look("its container", is_run(world, declared, version));
            look("its autoscaler", is_scaled(world, declared, version));
        }
        if declared.exposure == Exposure::Public {
            look("the way in", is_entered(world, declared));
        }
    }
    faults
}

/// Exactly the objects that there should be, of their kinds, names and namespaces.
fn inventory(world: &World) -> Vec<String> {
    let expected = expected(world);
    // A Job's name says what is declared, and has no meaning of its own.
    let generated =
        world.objects.iter().filter(|it| it["kind"] != "Kustomization" && it["kind"] != "Job");
    let name = |object: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let meta = &object["metadata"];
        format!("{} {}/{}", text(&object["kind"]), text(&meta["namespace"]), text(&meta["name"]))
    };
    let found: BTreeSet<_> = generated.map(name).collect();
    let missing = expected.difference(&found).map(|name| format!("{name} is missing"));
    let strange = found.difference(&expected).map(|name| format!("{name}: what is it?"));
    missing.chain(strange).collect()
}

/// Kind, namespace and name of every object that there should be.
fn expected(world: &World) -> BTreeSet<String> {
    let mut expected = BTreeSet::new();
    let mut add = |kind: &str, name: &str| expected.insert(format!("{kind} shop/{name}"));
    for (kind, name) in [
        ("AuthorizationPolicy", "deny-all"),
        ("NetworkPolicy", "deny-all"),
        ("NetworkPolicy", "names"),
        ("NetworkPolicy", "nats-clients"),
        ("NetworkPolicy", "streams"),
        ("PeerAuthentication", "default"),
        ("ServiceAccount", "streams"),
        ("ServiceMonitor", "services"),
        ("Telemetry", "default"),
    ] {
        add(kind, name);
    }
    for declared in &world.declarations {
        let service = &*declared.service;
        for kind in [
            "AuthorizationPolicy",
            "DestinationRule",
            "NetworkPolicy",
            "PodDisruptionBudget",
            "Service",
            "ServiceAccount",
            "Sidecar",
            "VirtualService",
        ] {
            add(kind, service);
        }
        add("Service", &format!("{service}-each"));
        for version in &declared.versions {
            add("Deployment", &format!("{service}-{version}"));
            add("HorizontalPodAutoscaler", &format!("{service}-{version}"));
        }
        if declared.store.is_some() {
            for kind in ["Cluster", "NetworkPolicy", "ScheduledBackup"] {
                add(kind, &format!("{service}-database"));
            }
            add("NetworkPolicy", &format!("{service}-migrate"));
        }
        if declared.exposure == Exposure::Public {
            for kind in ["Gateway", "Ingress", "RequestAuthentication"] {
                add(kind, service);
            }
        }
    }
    for door in world.declarations.iter().filter(|it| it.exposure == Exposure::Public) {
        let (namespace, service) = (&world.ingress.namespace, &door.service);
        expected.insert(format!("Certificate {namespace}/{service}-certificate"));
    }
    expected.insert("Namespace /shop".to_owned());
    expected
}

/// A policy closes what it says nothing of, so that it says of what it is.
fn has_directions(policy: &Value) -> bool {
    let name = policy["metadata"]["name"].as_str().unwrap_or_default();
    let directions = match name {
        "names" => json!(["Egress"]),
        "nats-clients" => json!(["Ingress"]),
        _ => json!(["Egress", "Ingress"]),
    };
    let everybody = ["names", "deny-all"].contains(&name);
    policy["spec"]["policyTypes"] == directions
        && (policy["spec"]["podSelector"] == json!({})) == everybody
}

fn has_settings(world: &World, declared: &Declaration) -> bool {
    let service = &declared.service;
    let host = |call: &mesh_local::Call| {
        format!("{0}=mesh:{0}.shop.svc.cluster.local:{GRPC}", call.service)
    };
    let calls: Vec<_> = declared.calls.iter().map(host).collect();
    let mut expected = vec![
        ("ADMIN_ADDR", format!("0.0.0.0:{ADMIN}")),
        ("DISCOVERY", calls.join(";")),
        ("DRAIN", "30s".to_owned()),
        ("LISTEN_ADDR", format!("0.0.0.0:{GRPC}")),
        ("LOG_FORMAT", "json".to_owned()),
        ("MESH_POLICY", "/etc/mesh/policy.toml".to_owned()),
        ("USER_KEYS", "/etc/mesh/users.json".to_owned()),
        ("OTLP_ENDPOINT", "http://collector.observe.svc.cluster.local:4317".to_owned()),
        ("OTLP_SIGNALS", "traces,logs".to_owned()),
        ("PRE_STOP", "0s".to_owned()),
        ("SIDECAR_ADDR", "127.0.0.6".to_owned()),
        ("SPIFFE_ID", format!("spiffe://cluster.local/ns/shop/sa/{service}")),
    ];
    // Whoever comes in through Istio's gateway is known by its address, and everybody by another.
    if declared.exposure == Exposure::Public {
        expected.push(("EDGE_FILE", "/etc/mesh/edge.toml".to_owned()));
        expected.push(("FORWARD_METADATA", "x-canary".to_owned()));
        expected.push(("TRUSTED_HOPS", "127.0.0.6/32".to_owned()));
    }
    // What services sign and believe is what sidecars believe.
    let Some(tokens) = world.of("RequestAuthentication").next() else { return false };
    let own = &tokens["spec"]["jwtRules"][0];
    for (name, value) in [("USER_AUDIENCE", &own["audiences"][0]), ("USER_ISSUER", &own["issuer"])]
    {
        expected.push((name, value.as_str().unwrap_or_default().to_owned()));
    }
    for (name, file) in files(declared) {
        // Longer than istiod's 20 minutes: it gives sidecars the keys.
        if name == "SIGNING_KEY" {
            expected.push(("SIGNING_KEY_AHEAD", "1500".to_owned()));
        }
        expected.push((name, format!("/etc/mesh-secrets/{file}")));
    }
    let expected = expected.into_iter().map(|(name, value)| (name.to_owned(), value));
    world.settings.get(service).is_some_and(|found| *found == expected.collect())
}

/// The secrets that a service finds in files.
fn files(declared: &Declaration) -> Vec<(&str, &str)> {
    let secrets = declared.secrets.iter();
    secrets.filter_map(|it| Some((it.name.as_str(), it.file.as_deref()?))).collect()
}

/// Volumes, and where they are mounted.
fn mounted(declared: &Declaration) -> (Value, Value) {
    let mut volumes = vec![json!({ "configMap": { "name": "policy" }, "name": "policy" })];
    let mut folders = vec![("/etc/mesh", "policy")];
    if !files(declared).is_empty() {
        let name = format!("{}-secrets", declared.service);
        let secret = json!({ "defaultMode": 0o440, "secretName": name });
        volumes.push(json!({ "name": "secrets", "secret": secret }));
        folders.push(("/etc/mesh-secrets", "secrets"));
    }
    let mount = |(folder, name)| json!({ "mountPath": folder, "name": name, "readOnly": true });
    (volumes.into(), folders.into_iter().map(mount).collect())
}

fn is_found(world: &World, declared: &Declaration) -> bool {
    let service = &declared.service;
    let protocol = match declared.exposure {
        Exposure::Public => "kubernetes.io/h2c",
        _ => "grpc",
    };
    let grpc =
        json!({ "appProtocol": protocol, "name": "grpc", "port": GRPC, "targetPort": "grpc" });
    let admin =
        json!({ "appProtocol": "http", "name": "admin", "port": ADMIN, "targetPort": "admin" });
    let is = |name: &str, ports: Value, headless: bool| {
        world.find("Service", name).is_some_and(|object| {
            let monitored = object["metadata"]["labels"].get("shopmesh.dev/monitored").is_some();
            object["spec"]["ports"] == ports
                && (object["spec"]["clusterIP"] == "None") == headless
                && (object["spec"].get("type").is_some()) != headless
                && monitored == headless
        })
    };
    is(service, json!([grpc.clone()]), false)
        && is(&format!("{service}-each"), json!([grpc, admin]), true)
}

fn is_routed(world: &World, declared: &Declaration) -> bool {
    let service = &declared.service;
    let (Some(rule), Some(routes)) =
        (world.find("DestinationRule", service), world.find("VirtualService", service))
    else {
        return false;
    };
    let subset = |version: &String| json!({ "labels": { "version": version }, "name": version });
    let subsets: Vec<_> = declared.versions.iter().map(subset).collect();
    let spec = &routes["spec"];
    let own = format!("{service}.shop.svc.cluster.local");
    let (hosts, gateways) = match declared.exposure {
        Exposure::Public => {
            let hosts = world.ingress.hosts.iter().cloned().chain([own]);
            (hosts.collect::<Vec<_>>(), json!(["mesh", service]))
        }
        _ => (vec![own], Value::Null),
    };
    let http: Vec<_> = items(&spec["http"]).collect();
    let [all] = http[..] else { return false };
    let to: Vec<_> = items(&all["route"]).map(|it| &it["destination"]["subset"]).collect();
    rule["spec"]["subsets"] == json!(subsets)
        && to == [&json!(declared.versions[0])]
        && spec["hosts"] == json!(hosts)
        && spec.get("gateways").unwrap_or(&Value::Null) == &gateways
}

fn sees_callees(world: &World, declared: &Declaration) -> bool {
    let Some(sidecar) = world.find("Sidecar", &declared.service) else { return false };
    let host = |call: &mesh_local::Call| format!("./{}.shop.svc.cluster.local", call.service);
    let mut expected: BTreeSet<_> = declared.calls.iter().map(host).collect();
    expected.insert("istio-system/*".to_owned());
    let hosts = items(&sidecar["spec"]["egress"][0]["hosts"]).filter_map(Value::as_str);
    hosts.map(str::to_owned).collect::<BTreeSet<_>>() == expected
        && items(&sidecar["spec"]["egress"]).count() == 1
}

fn is_run(world: &World, declared: &Declaration, version: &str) -> bool {
    let service = &declared.service;
    let Some(object) = world.find("Deployment", &format!("{service}-{version}")) else {
        return false;
    };
    let pod = &object["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let mut env = vec![json!({ "name": "SERVICE_VERSION", "value": version })];
    let mut secret = |name: &str, secret: String, key: &str| {
        let kept = json!({ "secretKeyRef": { "key": key, "name": secret } });
        env.push(json!({ "name": name, "valueFrom": kept }));
    };
    if declared.store.is_some() {
        // As CloudNativePG names what it makes for a Cluster.
        secret("DATABASE_URL", format!("{service}-database-app"), "uri");
    }
    let events = !(declared.publishes.is_empty() && declared.subscribes.is_empty());
    if events || !declared.buckets.is_empty() {
        secret("NATS_URL", format!("{service}-nats"), "url");
    }
    let ports = json!([
        { "containerPort": GRPC, "name": "grpc" },
        { "containerPort": ADMIN, "name": "admin" },
    ]);
    let spread = ["topology.kubernetes.io/zone", "kubernetes.io/hostname"].map(|over| {
        json!({
            "labelSelector": { "matchLabels": { "app": service, "version": version } },
            "maxSkew": 1,
            "topologyKey": over,
            "whenUnsatisfiable": "ScheduleAnyway",
        })
    });
    let probes = [("liveness", "/healthz"), ("readiness", "/readyz"), ("startup", "/healthz")];
    let probed = probes.into_iter().all(|(probe, path)| {
        let found = &container[format!("{probe}Probe")];
        let health = if probe == "readiness" { probe } else { "liveness" };
        let (how, expected, other) = match declared.exposure {
            Exposure::Public => ("httpGet", json!({ "path": path, "port": ADMIN }), "grpc"),
            _ => ("grpc", json!({ "port": GRPC, "service": health }), "httpGet"),
        };
        found[how] == expected && found.get(other).is_none()
    });
    let (volumes, mounts) = mounted(declared);
    container["env"] == json!(env)
        && pod["volumes"] == volumes
        && container["volumeMounts"] == mounts
        && container["ports"] == ports
        && probed
        && pod["topologySpreadConstraints"] == json!(spread)
        && world.find("ServiceAccount", service).is_some()
}

fn is_scaled(world: &World, declared: &Declaration, version: &str) -> bool {
    let name = format!("{}-{version}", declared.service);
    let Some(scaler) = world.find("HorizontalPodAutoscaler", &name) else { return false };
    let used = |resource: &str, percent: u32| {
        json!({ "containerResource": {
            "container": declared.service,
            "name": resource,
            "target": { "averageUtilization": percent, "type": "Utilization" },
        }, "type": "ContainerResource" })
    };
    let counted = match declared.exposure {
        Exposure::Public => "http_server_requests_per_second",
        _ => "rpc_server_calls_per_second",
    };
    let calls = json!({ "pods": {
        "metric": { "name": counted },
        "target": {
            "averageValue": declared.scale.calls_per_second.to_string(),
            "type": "AverageValue",
        },
    }, "type": "Pods" });
    let behavior = json!({
        "scaleDown": {
            "policies": [{ "periodSeconds": 60, "type": "Pods", "value": 1 }],
            "selectPolicy": "Max",
            "stabilizationWindowSeconds": 300,
        },
        "scaleUp": {
            "policies": [
                { "periodSeconds": 15, "type": "Percent", "value": 100 },
                { "periodSeconds": 15, "type": "Pods", "value": 2 },
            ],
            "selectPolicy": "Max",
            "stabilizationWindowSeconds": 0,
        },
    });
    scaler["spec"]["metrics"] == json!([used("cpu", 70), used("memory", 80), calls])
        && scaler["spec"]["behavior"] == behavior
        && scaler["spec"]["scaleTargetRef"]["name"] == name.as_str()
}

/// What the ingress gateway serves, it has a certificate for, and it serves nothing in plaintext.
fn is_entered(world: &World, declared: &Declaration) -> bool {
    let name = format!("{}-certificate", declared.service);
    let (Some(gateway), Some(certificate)) =
        (world.find("Gateway", &declared.service), world.find("Certificate", &name))
    else {
        return false;
    };
    let of = |protocol: &str| {
        let mut servers = items(&gateway["spec"]["servers"]);
        servers.find(|server| server["port"]["protocol"] == protocol)
    };
    let port = |protocol: &str, name: &str, number: u64| {
        of(protocol).is_some_and(|it| it["port"]["name"] == name && it["port"]["number"] == number)
    };
    let tls = of("HTTPS").map(|it| &it["tls"]);
    let plain = of("HTTP").map(|it| &it["tls"]);
    let hosts = json!(world.ingress.hosts);
    port("HTTPS", "https", 443)
        && port("HTTP", "http", 80)
        && tls.is_some_and(|it| it["mode"] == "SIMPLE" && it["credentialName"] == name.as_str())
        && tls.is_some_and(|it| it["minProtocolVersion"] == "TLSV1_2")
        && plain == Some(&json!({ "httpsRedirect": true }))
        && items(&gateway["spec"]["servers"]).all(|it| it["hosts"] == hosts)
        && certificate["spec"]["dnsNames"] == hosts
        && certificate["spec"]["secretName"] == name.as_str()
}
