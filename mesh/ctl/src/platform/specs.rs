//! How every service is run: its ports, its environment, its log.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::Result;
use mesh_local::{Declaration, Home, Ports, Postgres, ProcessSpec, Signal, write_private};
use serde::{Deserialize, Serialize};

use super::{Plan, identity::Identities, sidecars::Mesh};

/// How long a service may take to drain.
const DRAIN: &str = "5s";
/// The name of the process that several services share.
pub(super) const SHARED: &str = "in-process";

/// Where one replica of a service listens.
#[derive(Clone, Debug)]
pub struct Place {
    pub service: String,
    pub replica: u32,
    /// Which version of the service it is, if not the first.
    pub version: Option<String>,
    pub grpc: SocketAddr,
    pub admin: SocketAddr,
}

/// One service of a process that runs several: the arguments of its command line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServeEntry {
    /// The service.
    pub service: String,
    /// Its settings, as flags.
    pub args: Vec<String>,
}

/// What the services are given.
pub(super) struct Surroundings<'a> {
    pub home: &'a Home,
    pub plan: &'a Plan,
    /// The URL of the broker for every service that is a user of it.
    pub brokers: BTreeMap<String, String>,
    /// The server of the databases.
    pub postgres: &'a Postgres,
    /// The URL of every service's database.
    pub databases: BTreeMap<String, String>,
    pub identities: &'a Identities,
    /// The cluster that the services are part of, if they are.
    pub mesh: Option<&'a Mesh>,
    /// What each service declares: whom it calls, and which secrets it needs.
    pub declarations: &'a [Declaration],
    /// Where traces go, unless the environment says so.
    pub traces: Option<String>,
}

/// Gives every process of every service its two ports: the ones it had last time, if they are free.
pub fn places(ports: &mut Ports, plan: &Plan, order: &[String]) -> Result<Vec<Place>> {
    let mut places = Vec::new();
    for service in order {
        let plain = plan.replicas.get(service).copied().unwrap_or(1);
        let versions = (0..plain).map(|_| None);
        let versions = versions.chain(plan.canaries.get(service).cloned().map(Some));
        for (replica, version) in (0..).zip(versions) {
            places.push(Place::of(ports, service, replica, version)?);
        }
    }
    Ok(places)
}

impl Place {
    /// The place of one process, which has the ports that it had last time, if they are free.
    pub(super) fn of(
        ports: &mut Ports,
        service: &str,
        replica: u32,
        version: Option<String>,
    ) -> Result<Place> {
        let mut address = |port: &str| -> Result<SocketAddr> {
            let port = ports.port(&format!("{service}.{replica}.{port}"))?;
            Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        };
        let (grpc, admin) = (address("grpc")?, address("admin")?);
        Ok(Place { service: service.to_owned(), replica, version, grpc, admin })
    }
}

/// The processes to run, callees before their callers.
pub(super) fn specs(around: &Surroundings<'_>, places: &[Place]) -> Result<Vec<ProcessSpec>> {
    let discovery = discovery(places);
    let mut specs = Vec::new();
    let mut shared = Vec::new();
    for (number, place) in places.iter().enumerate() {
        let mut settings = settings(around, place, &discovery);
        if let Some(mesh) = around.mesh {
            let calls = calls(around.declarations, &place.service);
            told(&mut settings, mesh.settings(mesh.member(number), &calls));
        }
        if around.plan.in_process.contains(&place.service) {
            let args = settings.iter().flat_map(|(name, value)| [flag(name), value.clone()]);
            shared.push(ServeEntry { service: place.service.clone(), args: args.collect() });
        } else {
            let program = around.plan.binaries.join(&place.service);
            let env = [settings, exporting(around)].concat();
            let mut spec = spec(around.home, &place.service, place.replica, program, env)?;
            if let Some(replacement) = around.plan.replaced.get(&place.service) {
                replacement.run(&mut spec);
            }
            specs.push(spec);
        }
    }
    if !shared.is_empty() {
        // In a file that only its owner can read: everybody can see a command line.
        let file = around.home.run()?.join("serve.json");
        write_private(&file, &serde_json::to_string_pretty(&shared)?)?;
        let mut spec =
            spec(around.home, SHARED, 0, around.plan.meshctl.clone(), exporting(around))?;
        spec.args = vec!["serve".into(), file.into()];
        specs.push(spec);
    }
    Ok(specs)
}

fn settings(around: &Surroundings<'_>, place: &Place, discovery: &str) -> Vec<(String, String)> {
    let mut settings = vec![
        ("LISTEN_ADDR", place.grpc.to_string()),
        ("ADMIN_ADDR", place.admin.to_string()),
        ("DISCOVERY", discovery.to_owned()),
        ("DRAIN", DRAIN.to_owned()),
        ("LOG_FORMAT", "json".to_owned()),
    ];
    if let Some(url) = around.databases.get(&place.service) {
        settings.push(("DATABASE_URL", around.postgres.by_socket(url)));
    }
    if let Some(url) = around.brokers.get(&place.service) {
        settings.push(("NATS_URL", url.clone()));
    }
    let declared = around.declarations.iter().find(|it| it.service == place.service);
    let secrets = declared.map_or(&[][..], |it| it.secrets.as_slice());
    settings.extend(around.identities.settings(&place.service, secrets));
    if let Some(endpoint) = &around.traces {
        settings.push(("OTLP_ENDPOINT", endpoint.clone()));
        // The supervisor keeps nothing else: metrics are at the admin ports, lines in files.
        settings.push(("OTLP_SIGNALS", "traces".to_owned()));
    }
    if std::env::var_os("WORKER_THREADS").is_none() {
        settings.push(("WORKER_THREADS", "1".to_owned()));
    }
    settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// These settings in place of those that were there.
pub(super) fn told(settings: &mut Vec<(String, String)>, more: Vec<(&'static str, String)>) {
    for (name, value) in more {
        settings.retain(|(known, _)| known != name);
        settings.push((name.to_owned(), value));
    }
}

/// Whom a service calls.
pub(super) fn calls(declarations: &[Declaration], service: &str) -> Vec<String> {
    let declared = declarations.iter().find(|it| it.service == service);
    let calls = declared.into_iter().flat_map(|it| &it.calls);
    calls.map(|call| call.service.clone()).collect()
}

/// How spans are sent to the supervisor: so that they are there when somebody looks, and that a
/// burst of orders is there as a whole.
fn exporting(around: &Surroundings<'_>) -> Vec<(String, String)> {
    if around.traces.is_none() {
        return Vec::new();
    }
    let mine = [("OTEL_BSP_SCHEDULE_DELAY", "500"), ("OTEL_BSP_MAX_QUEUE_SIZE", "16384")];
    let open = mine.into_iter().filter(|(name, _)| std::env::var_os(name).is_none());
    open.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn spec(
    home: &Home,
    name: &str,
    replica: u32,
    program: PathBuf,
    env: Vec<(String, String)>,
) -> Result<ProcessSpec> {
    Ok(ProcessSpec {
        name: name.to_owned(),
        replica,
        program,
        args: Vec::new(),
        env,
        directory: None,
        log: home.logs()?.join(format!("{name}.{replica}.log")),
        pid_file: Some(home.run()?.join(format!("{name}.{replica}.pid"))),
        user: None,
        stop: Signal::TERM,
    })
}

/// `LISTEN_ADDR` becomes `--listen-addr`.
fn flag(variable: &str) -> String {
    format!("--{}", variable.to_ascii_lowercase().replace('_', "-"))
}

/// `orders=static:127.0.0.1:1,127.0.0.1:2;payments=static:127.0.0.1:3`
fn discovery(places: &[Place]) -> String {
    let mut endpoints: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for place in places {
        endpoints.entry(&place.service).or_default().push(place.grpc.to_string());
    }
    let services = endpoints.iter().map(|(name, all)| format!("{name}=static:{}", all.join(",")));
    services.collect::<Vec<_>>().join(";")
}

#[cfg(test)]
mod tests {
    use super::{Place, discovery, flag};

    #[test]
    fn discovery_lists_every_replica() {
        let place = |service: &str, replica, port| Place {
            service: service.to_owned(),
            replica,
            version: None,
            grpc: ([127, 0, 0, 1], port).into(),
            admin: ([127, 0, 0, 1], 1).into(),
        };
        let places = [place("b", 0, 5), place("a", 0, 6), place("b", 1, 7)];

        let text = discovery(&places);

        assert_eq!(text, "a=static:127.0.0.1:6;b=static:127.0.0.1:5,127.0.0.1:7");
        assert_eq!(flag("LISTEN_ADDR"), "--listen-addr");
    }
}
