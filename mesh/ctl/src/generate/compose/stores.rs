//! The containers of others: where services keep what they know, and where people look at them.

use mesh_local::{Declaration, broker_users};
use serde_json::{Map, Value, json};

use super::{FOLDER, hardened, merge, parts::NOBODY, secret};
use crate::caller;
use crate::generate::{broker, observe};

/// Each image is one that exact version names; others are built on images of the Dockerfile.
const POSTGRES: &str = "postgres:17.6-bookworm";
const PROMETHEUS: &str = "prom/prometheus:v3.8.0";
const JAEGER: &str = "jaegertracing/jaeger:2.13.0";
const COLLECTOR: &str = "otel/opentelemetry-collector-contrib:0.161.0";
const GRAFANA: &str = "grafana/grafana:12.3.0";

pub(super) fn postgres() -> Value {
    let mut container = hardened(json!({ "image": POSTGRES }), "999:999");
    merge(
        &mut container,
        json!({
            "command": ["postgres", "-c", "max_connections=200"],
            "environment": {
                "POSTGRES_PASSWORD": secret("POSTGRES_PASSWORD"),
                "POSTGRES_INITDB_ARGS": "--data-checksums --auth-host=scram-sha-256",
                "PGDATA": "/var/lib/postgresql/data/pgdata",
            },
            "volumes": ["postgres:/var/lib/postgresql/data"],
            "tmpfs": ["/var/run/postgresql:uid=999,gid=999", "/tmp:uid=999,gid=999"],
            "healthcheck": health(&["CMD", "pg_isready", "--host=127.0.0.1", "--username=postgres"]),
            // A fast shutdown: sessions are ended, and what is committed stays.
            "stop_signal": "SIGINT",
            "stop_grace_period": "60s",
            "shm_size": "256m",
            "networks": ["mesh"],
        }),
    );
    container
}

pub(super) fn nats(declarations: &[Declaration]) -> Value {
    let mut environment = Map::new();
    environment.insert("SERVER_NAME".to_owned(), "nats".into());
    for user in broker_users(declarations, caller::NAME) {
        let variable = broker::variable(user.name());
        // In quotes, so that nats-server takes it for a text.
        environment.insert(variable.clone(), format!("\"{}\"", secret(&variable)).into());
    }
    let mut container = hardened(built("nats"), NOBODY);
    merge(
        &mut container,
        json!({
            "command": ["--config", "/etc/nats/nats.conf"],
            "environment": environment,
            "volumes": ["nats:/data", "./nats:/etc/nats:ro"],
            "healthcheck": answers("http://127.0.0.1:8222/healthz"),
            "stop_grace_period": "30s",
            "networks": ["mesh"],
        }),
    );
    container
}

/// Collector, stores and dashboards. The collector's image has no program that could ask how it is, and
/// nobody waits for it: services send when it is there.
pub(super) fn observers() -> [(&'static str, Value); 5] {
    [
        ("collector", collector()),
        ("victorialogs", victorialogs()),
        ("jaeger", jaeger()),
        ("prometheus", prometheus()),
        ("grafana", grafana()),
    ]
}

fn collector() -> Value {
    observer(
        json!({ "image": COLLECTOR }),
        "10001:10001",
        json!({
            "command": ["--config=/etc/collector/config.yaml", "--config=/etc/collector/stores.yaml"],
            "environment": {
                "COLLECTOR_LISTEN": "0.0.0.0:4317",
                "TRACES_ENDPOINT": "jaeger:4317",
                "LOGS_ENDPOINT": "http://victorialogs:9428/insert/opentelemetry/v1/logs",
            },
            "volumes": ["./observe/collector:/etc/collector:ro"],
            "depends_on": healthy(&["jaeger", "victorialogs"]),
        }),
    )
}

fn victorialogs() -> Value {
    observer(
        built("logs"),
        NOBODY,
        json!({
            "command": ["-storageDataPath=/data", "-retentionPeriod=7d"],
            "volumes": ["logs:/data"],
            "healthcheck": answers("http://127.0.0.1:9428/health"),
        }),
    )
}

fn jaeger() -> Value {
    let health = json!({ "healthcheck": answers("http://127.0.0.1:16686/") });
    observer(json!({ "image": JAEGER }), "10001:10001", health)
}

/// It scrapes, so that the alerts know who is gone; and so it waits for nobody.
fn prometheus() -> Value {
    let rules = observe::FOLDER;
    observer(
        json!({ "image": PROMETHEUS }),
        "65534:65534",
        json!({
            "command": [
                "--config.file=/etc/prometheus/prometheus.yaml",
                "--storage.tsdb.path=/prometheus",
                "--storage.tsdb.retention.time=15d",
                "--enable-feature=exemplar-storage",
            ],
            "volumes": [
                format!("./{FOLDER}/prometheus.yaml:/etc/prometheus/prometheus.yaml:ro"),
                format!("./{rules}/rules:/etc/prometheus/rules:ro"),
                "metrics:/prometheus",
            ],
            "healthcheck": answers("http://127.0.0.1:9090/-/ready"),
        }),
    )
}

fn grafana() -> Value {
    let provisioning = "/etc/grafana/provisioning";
    let provided = |kind: &str| {
        format!("./observe/grafana/{kind}.yaml:{provisioning}/{kind}/shopmesh.yaml:ro")
    };
    observer(
        json!({ "image": GRAFANA }),
        "472:472",
        json!({
            "environment": {
                "GF_SECURITY_ADMIN_PASSWORD": secret("GRAFANA_PASSWORD"),
                "GF_AUTH_ANONYMOUS_ENABLED": "true",
                "GF_AUTH_ANONYMOUS_ORG_ROLE": "Viewer",
                "GF_PLUGINS_PREINSTALL": "victoriametrics-logs-datasource",
            },
            "volumes": [
                "dashboards:/var/lib/grafana",
                provided("datasources"),
                provided("dashboards"),
                format!("./{}/dashboards:/var/lib/grafana/dashboards:ro", observe::FOLDER),
            ],
            "tmpfs": ["/tmp:uid=472,gid=472"],
            "ports": ["127.0.0.1:${GRAFANA_PORT:-3000}:3000"],
            "healthcheck": answers("http://127.0.0.1:3000/api/health"),
            "depends_on": healthy(&["jaeger", "prometheus", "victorialogs"]),
            "networks": ["front", "observe"],
        }),
    )
}

/// They have to answer before.
fn healthy(names: &[&str]) -> Map<String, Value> {
    let condition = json!({ "condition": "service_healthy" });
    names.iter().map(|name| ((*name).to_owned(), condition.clone())).collect()
}

fn observer(image: Value, user: &str, more: Value) -> Value {
    let mut container = hardened(image, user);
    merge(&mut container, json!({ "networks": ["observe"] }));
    merge(&mut container, more);
    container
}

/// One of the images of the Dockerfile: somebody else's, with a folder that nobody may write into.
fn built(target: &str) -> Value {
    json!({
        "image": format!("shopmesh/{target}:${{SHOPMESH_VERSION:-dev}}"),
        "build": { "context": ".", "target": target },
    })
}

/// By the one program that asks by HTTP and is in all of these images.
fn answers(url: &str) -> Value {
    health(&["CMD", "wget", "--quiet", "--spider", url])
}

fn health(test: &[&str]) -> Value {
    json!({
        "test": test,
        "interval": "5s",
        "timeout": "3s",
        "retries": 5,
        "start_period": "30s",
        "start_interval": "1s",
    })
}
