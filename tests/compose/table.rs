//! Container by container, all that compose.yaml says besides variables: whom each waits for and until when,
//! how it is asked how it is, what it keeps, who it is. What is changed or left out is not in the table.

use std::collections::BTreeSet;
use std::fs;

use mesh_local::{Declaration, Exposure};
use mesh_testkit::workspace;
use meshctl::services;
use serde_json::{Map, Value, json};

use super::{containers, file};

/// The containers of others, and the job before all.
const OTHERS: [&str; 8] = [
    "collector",
    "grafana",
    "jaeger",
    "nats",
    "postgres",
    "prometheus",
    "provision",
    "victorialogs",
];

/// What holds for each, with what is its own.
fn container(user: u32, networks: &[&str], own: Value) -> Value {
    let mut all = json!({
        "cap_drop": ["ALL"],
        "networks": networks,
        "pids_limit": 512,
        "read_only": true,
        "restart": "unless-stopped",
        "security_opt": ["no-new-privileges:true"],
        "user": format!("{user}:{user}"),
    });
    all.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
    all
}

fn built(name: &str, build: &Value) -> Value {
    json!({ "build": build, "image": format!("shopmesh/{name}:${{SHOPMESH_VERSION:-dev}}") })
}

fn with(mut object: Value, more: Value) -> Value {
    object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    object
}

/// Until these are well.
fn well(names: &[&str]) -> Map<String, Value> {
    let until = json!({ "condition": "service_healthy" });
    names.iter().map(|name| ((*name).to_owned(), until.clone())).collect()
}

fn health(test: &[&str]) -> Value {
    json!({ "interval": "5s", "retries": 5, "start_interval": "1s", "start_period": "30s",
            "test": test, "timeout": "3s" })
}

fn page(url: &str) -> Value {
    health(&["CMD", "wget", "--quiet", "--spider", url])
}

fn service(declared: &Declaration) -> Value {
    let name = declared.service.as_str();
    let is_door = declared.exposure == Exposure::Public;
    let mut before = Vec::new();
    if declared.store.is_some() {
        before.push("postgres");
    }
    if declared.uses_broker() {
        before.push("nats");
    }
    if is_door {
        before.extend(declared.calls.iter().map(|call| call.service.as_str()));
    }
    let mut before = well(&before);
    before.insert("provision".to_owned(), json!({ "condition": "service_completed_successfully" }));
    let own = json!({
        "depends_on": before,
        "healthcheck": {
            "interval": "5s", "retries": 3, "start_interval": "1s", "start_period": "60s",
            "test": ["CMD", "/service", "health"], "timeout": "4s",
        },
        "stop_grace_period": "35s",
        "volumes": [format!("keys-{name}:/keys:ro")],
    });
    let build = json!({ "args": { "SERVICE": name }, "context": ".", "target": "service" });
    let own = with(built(name, &build), own);
    match is_door {
        true => {
            let volumes =
                [format!("keys-{name}:/keys:ro"), "./compose/gateway:/etc/gateway:ro".to_owned()];
            let ports = ["127.0.0.1:${GATEWAY_PORT:-8080}:7000"];
            let own = with(own, json!({ "ports": ports, "volumes": volumes }));
            container(65532, &["front", "mesh", "observe"], own)
        }
        false => container(65532, &["mesh", "observe"], own),
    }
}

fn other(name: &str) -> Value {
    let target = |target: &str| json!({ "context": ".", "target": target });
    match name {
        "postgres" => container(
            999,
            &["mesh"],
            json!({
                "command": ["postgres", "-c", "max_connections=200"],
                "healthcheck": health(&["CMD", "pg_isready", "--host=127.0.0.1", "--username=postgres"]),
                "image": "postgres:17.6-bookworm",
                "shm_size": "256m",
                "stop_grace_period": "60s",
                "stop_signal": "SIGINT",
                "tmpfs": ["/var/run/postgresql:uid=999,gid=999", "/tmp:uid=999,gid=999"],
                "volumes": ["postgres:/var/lib/postgresql/data"],
            }),
        ),
        "nats" => container(
            65532,
            &["mesh"],
            with(
                built("nats", &target("nats")),
                json!({
                    "command": ["--config", "/etc/nats/nats.conf"],
                    "healthcheck": page("http://127.0.0.1:8222/healthz"),
                    "stop_grace_period": "30s",
                    "volumes": ["nats:/data", "./nats:/etc/nats:ro"],
                }),
            ),
        ),
        "provision" => container(
            65532,
            &["mesh"],
            with(
                built("meshctl", &target("meshctl")),
                json!({
                    "command": ["provision", "databases", "streams", "keys"],
                    "depends_on": well(&["nats", "postgres"]),
                    "restart": "on-failure:5",
                    "volumes": keys(),
                }),
            ),
        ),
        observer => watching(observer),
    }
}

/// What shows how the others are: none of them is waited for by a service.
fn watching(name: &str) -> Value {
    match name {
        "collector" => container(
            10001,
            &["observe"],
            json!({
                "command": ["--config=/etc/collector/config.yaml", "--config=/etc/collector/stores.yaml"],
                "depends_on": well(&["jaeger", "victorialogs"]),
                "image": "otel/opentelemetry-collector-contrib:0.161.0",
                "volumes": ["./observe/collector:/etc/collector:ro"],
            }),
        ),
        "jaeger" => container(
            10001,
            &["observe"],
            json!({
                "healthcheck": page("http://127.0.0.1:16686/"),
                "image": "jaegertracing/jaeger:2.13.0",
            }),
        ),
        "victorialogs" => {
            let build = json!({ "context": ".", "target": "logs" });
            container(
                65532,
                &["observe"],
                with(
                    built("logs", &build),
                    json!({
                        "command": ["-storageDataPath=/data", "-retentionPeriod=7d"],
                        "healthcheck": page("http://127.0.0.1:9428/health"),
                        "volumes": ["logs:/data"],
                    }),
                ),
            )
        }
        shows => showing(shows),
    }
}

/// What shows figures.
fn showing(name: &str) -> Value {
    match name {
        "prometheus" => container(
            65534,
            &["observe"],
            json!({
                "command": [
                    "--config.file=/etc/prometheus/prometheus.yaml",
                    "--storage.tsdb.path=/prometheus",
                    "--storage.tsdb.retention.time=15d",
                    "--enable-feature=exemplar-storage",
                ],
                "healthcheck": page("http://127.0.0.1:9090/-/ready"),
                "image": "prom/prometheus:v3.8.0",
                "volumes": [
                    "./compose/generated/prometheus.yaml:/etc/prometheus/prometheus.yaml:ro",
                    "./observe/generated/rules:/etc/prometheus/rules:ro",
                    "metrics:/prometheus",
                ],
            }),
        ),
        "grafana" => container(
            472,
            &["front", "observe"],
            json!({
                "depends_on": well(&["jaeger", "prometheus", "victorialogs"]),
                "healthcheck": page("http://127.0.0.1:3000/api/health"),
                "image": "grafana/grafana:12.3.0",
                "ports": ["127.0.0.1:${GRAFANA_PORT:-3000}:3000"],
                "tmpfs": ["/tmp:uid=472,gid=472"],
                "volumes": [
                    "dashboards:/var/lib/grafana",
                    "./observe/grafana/datasources.yaml:/etc/grafana/provisioning/datasources/shopmesh.yaml:ro",
                    "./observe/grafana/dashboards.yaml:/etc/grafana/provisioning/dashboards/shopmesh.yaml:ro",
                    "./observe/generated/dashboards:/var/lib/grafana/dashboards:ro",
                ],
            }),
        ),
        name => panic!("{name} is not in the table"),
    }
}

/// A volume for each service's keys, and the operator's.
fn keys() -> Vec<String> {
    let names: BTreeSet<_> = services::names().unwrap().into_iter().collect();
    let names = names.into_iter().chain(["operator".to_owned()]);
    names.map(|name| format!("keys-{name}:/keys/{name}")).collect()
}

#[test]
fn every_container_is_what_the_table_says() {
    let file = file();
    let mut expected = Map::new();
    for declared in services::declarations().unwrap() {
        expected.insert(declared.service.clone(), service(&declared));
    }
    for name in OTHERS {
        expected.insert(name.to_owned(), other(name));
    }

    let mut found = containers(&file).clone();
    for container in found.values_mut() {
        // Whose values other tests know.
        container.as_object_mut().unwrap().remove("environment");
    }

    let names = |all: &Map<String, Value>| all.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&found), names(&expected));
    for (name, container) in &found {
        let (container, expected) = (container.as_object().unwrap(), &expected[name]);
        for (key, value) in container {
            assert_eq!(Some(value), expected.get(key), "{name}: {key}");
        }
        assert_eq!(names(container), names(expected.as_object().unwrap()), "{name}");
    }
}

/// Whoever is waited for ends well or says how it is; and nobody waits in a circle.
#[test]
fn whoever_is_waited_for_says_how_it_is() {
    let file = file();
    let containers = containers(&file);
    let mut started: Vec<&String> = Vec::new();
    while started.len() < containers.len() {
        let next = containers.iter().find(|(name, container)| {
            let before = container.get("depends_on").and_then(Value::as_object);
            let mut before = before.into_iter().flat_map(Map::keys);
            !started.contains(name) && before.all(|it| started.contains(&it))
        });
        let (name, container) = next.unwrap_or_else(|| panic!("a circle beyond {started:?}"));
        started.push(name);
        // A plain list waits for a process, and not for what it does.
        for (first, until) in
            container.get("depends_on").into_iter().flat_map(|it| it.as_object().unwrap())
        {
            let is_checked = containers[first].get("healthcheck").is_some();
            let ends = containers[first]["restart"] != "unless-stopped";
            let expected = if ends { "service_completed_successfully" } else { "service_healthy" };
            assert_eq!(until["condition"], expected, "{name} waits for {first}");
            assert!(is_checked != ends, "{first} does not say how it is");
        }
    }
}

/// The broker in containers reads the users that are shipped, and nobody else gets in.
#[test]
fn the_broker_knows_the_users_that_are_shipped() {
    let text = fs::read_to_string(workspace().join("nats/nats.conf")).unwrap();
    assert!(text.contains("authorization {\n  include \"generated/users.conf\"\n}"), "{text}");
    assert!(!text.contains("no_auth_user") && !text.contains("accounts"), "{text}");
}
