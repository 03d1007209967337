//! The containers of this repository: the services, and the job before them.

use mesh_local::Declaration;
use serde_json::{Map, Value, json};

use super::{ADMIN, GRPC, OPERATOR, database_password, hardened, is_door, keys_of, merge, secret};
use crate::caller;
use crate::generate::broker;

/// The user of distroless images that is nobody.
pub(super) const NOBODY: &str = "65532:65532";
/// How long a service may take to drain, and its container to end.
const DRAIN: (&str, &str) = ("20s", "35s");
const COLLECTOR: &str = "http://collector:4317";
/// Where an engine takes its networks from. The one of calls is internal, and holds nothing else.
const PRIVATE: &str = "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fd00::/8";
/// What the gateway does at its door: where that lies here, and in its container. A folder, so that the
/// container sees a file that takes the place of another.
const DOOR: (&str, &str) = ("./compose/gateway", "/etc/gateway");
/// Where a service finds its key, and everybody's public ones.
const KEYS: &str = "/keys";

/// One service.
pub(super) fn service(declaration: &Declaration, all: &[Declaration]) -> Value {
    let name = &declaration.service;
    let image = json!({
        "image": format!("shopmesh/{name}:${{SHOPMESH_VERSION:-dev}}"),
        "build": { "context": ".", "target": "service", "args": { "SERVICE": name } },
    });
    let mut container = hardened(image, NOBODY);
    merge(
        &mut container,
        json!({
            "environment": environment(declaration, all),
            "volumes": [format!("{}:{KEYS}:ro", keys_of(name))],
            "depends_on": depends_on(declaration),
            "healthcheck": {
                "test": ["CMD", "/service", "health"],
                "interval": "5s",
                "timeout": "4s",
                "retries": 3,
                "start_period": "60s",
                "start_interval": "1s",
            },
            "stop_grace_period": DRAIN.1,
            "networks": ["mesh", "observe"],
        }),
    );
    if is_door(declaration) {
        // On this machine only: whoever opens it to others puts TLS before it.
        let ports = [format!("127.0.0.1:${{GATEWAY_PORT:-8080}}:{GRPC}")];
        let volumes = [format!("{}:{KEYS}:ro", keys_of(name)), format!("{}:{}:ro", DOOR.0, DOOR.1)];
        let networks = ["front", "mesh", "observe"];
        merge(&mut container, json!({ "networks": networks, "ports": ports, "volumes": volumes }));
    }
    container
}

/// Every setting that differs from a service's defaults.
fn environment(declaration: &Declaration, all: &[Declaration]) -> Map<String, Value> {
    let name = &declaration.service;
    let mut settings: Vec<(&str, String)> = vec![
        ("LISTEN_ADDR", format!("0.0.0.0:{GRPC}")),
        ("ADMIN_ADDR", format!("0.0.0.0:{ADMIN}")),
        ("SERVICE_KEY", format!("{KEYS}/service.key")),
        ("SERVICE_KEYS", format!("{KEYS}/keys.json")),
        ("SERVICE_TOKENS_FROM", PRIVATE.to_owned()),
        ("USER_KEYS", format!("{KEYS}/users.json")),
        ("DRAIN", DRAIN.0.to_owned()),
        ("LOG_FORMAT", "json".to_owned()),
        ("OTLP_ENDPOINT", COLLECTOR.to_owned()),
        // Metrics are scraped.
        ("OTLP_SIGNALS", "traces,logs".to_owned()),
    ];
    let found: Vec<&str> = match is_door(declaration) {
        // It says how all of them are.
        true => all.iter().map(|it| it.service.as_str()).filter(|it| it != name).collect(),
        false => declaration.calls.iter().map(|call| call.service.as_str()).collect(),
    };
    if !found.is_empty() {
        let found: Vec<_> = found.iter().map(|it| format!("{it}=dns:{it}:{GRPC}")).collect();
        settings.push(("DISCOVERY", found.join(";")));
    }
    if is_door(declaration) {
        settings.push(("EDGE_FILE", format!("{}/edge.toml", DOOR.1)));
    }
    if declaration.store.is_some() {
        let password = secret(&database_password(name));
        settings.push(("DATABASE_URL", format!("postgres://{name}:{password}@postgres/{name}")));
    }
    if declaration.uses_broker() {
        settings.push(("NATS_URL", broker_url(name)));
    }
    for needed in &declaration.secrets {
        let given = match &needed.file {
            Some(file) => format!("{KEYS}/{file}"),
            None => secret(&needed.name),
        };
        settings.push((&needed.name, given));
    }
    settings.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
}

fn broker_url(user: &str) -> String {
    format!("nats://{user}:{}@nats:4222", secret(&broker::variable(user)))
}

fn depends_on(declaration: &Declaration) -> Map<String, Value> {
    let mut first = vec![("provision".to_owned(), "service_completed_successfully")];
    if declaration.store.is_some() {
        first.push(("postgres".to_owned(), "service_healthy"));
    }
    if declaration.uses_broker() {
        first.push(("nats".to_owned(), "service_healthy"));
    }
    // Who is called is found whenever it comes; customers come last.
    let callees = declaration.calls.iter().filter(|_| is_door(declaration));
    first.extend(callees.map(|call| (call.service.clone(), "service_healthy")));
    let condition = |condition: &str| json!({ "condition": condition });
    first.into_iter().map(|(name, until)| (name, condition(until))).collect()
}

/// The job that makes databases, streams and keys: again whenever the containers are started, since it
/// changes nothing that is there.
pub(super) fn provision(all: &[Declaration]) -> Value {
    let mut environment = Map::new();
    let mut put = |name: String, value: String| environment.insert(name, value.into());
    let superuser = secret("POSTGRES_PASSWORD");
    put("POSTGRES_URL".to_owned(), format!("postgres://postgres:{superuser}@postgres/postgres"));
    put("NATS_URL".to_owned(), broker_url(caller::NAME));
    put("KEYS".to_owned(), KEYS.to_owned());
    for declaration in all.iter().filter(|it| it.store.is_some()) {
        let password = database_password(&declaration.service);
        put(password.clone(), secret(&password));
    }
    let names = all.iter().map(|it| it.service.as_str()).chain([OPERATOR]);
    let volumes = names.map(|name| format!("{}:{KEYS}/{name}", keys_of(name)));
    let image = json!({
        "image": "shopmesh/meshctl:${SHOPMESH_VERSION:-dev}",
        "build": { "context": ".", "target": "meshctl" },
    });
    let mut container = hardened(image, NOBODY);
    merge(
        &mut container,
        json!({
            "command": ["provision", "databases", "streams", "keys"],
            "environment": environment,
            "volumes": volumes.collect::<Vec<_>>(),
            "depends_on": {
                "postgres": { "condition": "service_healthy" },
                "nats": { "condition": "service_healthy" },
            },
            "restart": "on-failure:5",
            "networks": ["mesh"],
        }),
    );
    container
}
