//! Starts a platform.

use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result};
use mesh_local::{
    Declaration, Home, ProcessSpec, Secret, ServiceKeys, Signal, Supervised, UserKeys,
    broker_users, ensure_streams, free_port, leaves_first,
};

use super::{Platform, PlatformOptions, ServiceProcess};
use crate::isolated::own_home;
use crate::{Database, build, isolated_postgres, nats_with, paths, superuser_url};

/// Who looks after the platform, and at the broker makes streams and reads all, as `up` has it.
pub(super) const OPERATOR: &str = "meshctl";

/// Who calls besides the services: an operator's program, and one that nobody declares.
const CALLERS: [&str; 2] = [OPERATOR, "stranger"];

/// Where one replica of a service listens.
struct Place {
    service: String,
    replica: u32,
    grpc: SocketAddr,
    admin: SocketAddr,
}

impl Place {
    /// Whether `name` means this replica: `orders`, or `orders.1`.
    fn is_called(&self, name: &str) -> bool {
        let replica = name.strip_prefix(self.service.as_str());
        replica.is_some_and(|it| {
            it.is_empty() || it.strip_prefix('.') == Some(&self.replica.to_string())
        })
    }
}

pub(super) async fn start(options: PlatformOptions) -> Result<Platform> {
    let binaries = build::binaries(&options.services).await?;
    let declarations = declarations(&options.services)?;
    let nats = nats_with(broker_users(&declarations, OPERATOR)).await;
    ensure_streams(&nats.url_of(OPERATOR), &declarations).await?;

    let postgres = if options.isolated_postgres { Some(isolated_postgres().await) } else { None };
    let mut databases = Vec::new();
    let mut owned = Vec::new();
    for declaration in declarations.iter().filter(|d| d.store.is_some()) {
        let service = &declaration.service;
        let url = if let Some(postgres) = &postgres {
            postgres.database(service).await?
        } else {
            let database = Database::blank(service).await;
            let url = database.url().to_owned();
            owned.push(database);
            url
        };
        databases.push((service.clone(), url));
    }
    let superuser = match &postgres {
        Some(postgres) => postgres.superuser_url(),
        None => superuser_url().await,
    };

    let places = places(&leaves_first(&declarations), &options)?;
    let discovery = discovery(&places);
    let home = own_home()?;
    let identities = home.path("identity");
    let mut names = every_service()?;
    names.extend(CALLERS.map(str::to_owned));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let service_keys = ServiceKeys::make(&identities, &names)?;
    let user_keys = UserKeys::open(&identities)?;
    let mut platform = Platform {
        services: Vec::new(),
        databases,
        superuser,
        discovery,
        broker_users: users_of(&declarations),
        secrets: secrets_of(&declarations),
        nats,
        postgres,
        home,
        service_keys,
        user_keys,
        _owned: owned,
    };
    for place in places {
        let spec = spec(&platform, &options, &place, &binaries)?;
        let process = Supervised::start(spec);
        platform.services.push(ServiceProcess { grpc: place.grpc, admin: place.admin, process });
    }
    if options.patient_start {
        platform.ready().await;
        for process in &platform.services {
            process.connected(|target| !options.has_source(process, target)).await;
        }
    }
    Ok(platform)
}

/// The services that are users of the broker.
fn users_of(declarations: &[Declaration]) -> Vec<String> {
    let users = declarations.iter().filter(|it| it.uses_broker());
    users.map(|it| it.service.clone()).collect()
}

/// The settings that say where a service's secrets are.
fn secrets_of(declarations: &[Declaration]) -> Vec<(String, Secret)> {
    let of = |it: &Declaration| {
        let own = it.secrets.iter().map(|secret| (it.service.clone(), secret.clone()));
        own.collect::<Vec<_>>()
    };
    declarations.iter().flat_map(of).collect()
}

/// The declarations of these services, from `services/NAME/mesh.toml`.
fn declarations(services: &[String]) -> Result<Vec<Declaration>> {
    let read = |service: &String| {
        let file = paths::workspace().join("services").join(service).join("mesh.toml");
        let text = fs::read_to_string(&file);
        let text = text.with_context(|| format!("cannot read {}", file.display()))?;
        Declaration::parse(&text).with_context(|| file.display().to_string())
    };
    services.iter().map(read).collect()
}

/// All that have a declaration: a test calls as one that its platform does not run.
fn every_service() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(paths::workspace().join("services"))? {
        let entry = entry?;
        if entry.path().join("mesh.toml").is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

fn places(order: &[String], options: &PlatformOptions) -> Result<Vec<Place>> {
    let mut places = Vec::new();
    for service in order {
        for replica in 0..options.replicas.get(service).copied().unwrap_or(1) {
            places.push(Place {
                service: service.clone(),
                replica,
                grpc: SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?)),
                admin: SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?)),
            });
        }
    }
    Ok(places)
}

/// `orders=static:127.0.0.1:1,127.0.0.1:2;payments=static:127.0.0.1:3`
fn discovery(places: &[Place]) -> String {
    let mut text = String::new();
    for place in places {
        if place.replica == 0 {
            let separator = if text.is_empty() { "" } else { ";" };
            text.push_str(&format!("{separator}{}=static:{}", place.service, place.grpc));
        } else {
            text.push_str(&format!(",{}", place.grpc));
        }
    }
    text
}

/// The discovery of one replica, with the sources that are its own.
fn discovery_of(platform: &Platform, options: &PlatformOptions, place: &Place) -> String {
    let own = |target: &str| {
        let mut sources = options.sources.iter().rev();
        sources.find(|(caller, to, _)| to == target && place.is_called(caller))
    };
    let entry = |entry: &str| match entry.split_once('=').and_then(|(target, _)| own(target)) {
        Some((_, target, source)) => format!("{target}={source}"),
        None => entry.to_owned(),
    };
    platform.discovery.split(';').map(entry).collect::<Vec<_>>().join(";")
}

fn spec(
    platform: &Platform,
    options: &PlatformOptions,
    place: &Place,
    binaries: &Path,
) -> Result<ProcessSpec> {
    let Place { service, replica, .. } = place;
    let mut env = vec![
        ("LISTEN_ADDR".to_owned(), place.grpc.to_string()),
        ("ADMIN_ADDR".to_owned(), place.admin.to_string()),
        ("DISCOVERY".to_owned(), discovery_of(platform, options, place)),
        ("WORKER_THREADS".to_owned(), "1".to_owned()),
        ("LOG_FORMAT".to_owned(), "json".to_owned()),
        ("DRAIN".to_owned(), "5s".to_owned()),
    ];
    if !options.open {
        env.extend(known(platform, service));
        env.extend(secrets(platform, service));
    }
    if let Some((_, url)) = platform.databases.iter().find(|(name, _)| name == service) {
        env.push(("DATABASE_URL".to_owned(), url.clone()));
    }
    if platform.broker_users.contains(service) {
        env.push(("NATS_URL".to_owned(), broker_of(platform, options, service)));
    }
    let meant = |to: &String| place.is_called(to);
    let asked = options.env.iter().filter(|(to, ..)| to.as_ref().is_none_or(meant));
    env.extend(asked.map(|(_, name, value)| (name.clone(), value.clone())));
    let unique = unique_of(&platform.home);
    let program = options.programs.iter().rfind(|(of, _)| place.is_called(of));
    let program = program.map_or_else(|| binaries.join(service), |(_, path)| path.clone());
    Ok(ProcessSpec {
        name: service.clone(),
        replica: *replica,
        program,
        args: Vec::<OsString>::new(),
        env,
        directory: None,
        log: platform.home.logs()?.join(format!("{service}.{replica}.log")),
        pid_file: Some(paths::home().run()?.join(format!("{unique}.{service}.{replica}.pid"))),
        user: None,
        stop: Signal::TERM,
    })
}

/// Who a service is, and by what it knows others.
fn known(platform: &Platform, service: &str) -> [(String, String); 4] {
    [
        ("SERVICE_KEY", text(&platform.service_keys.private(service))),
        ("SERVICE_KEYS", text(&platform.service_keys.public())),
        ("USER_KEYS", text(&platform.user_keys.public())),
        ("OPERATORS", OPERATOR.to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
}

/// The broker's URL for a service, which may be told another address than the broker's.
fn broker_of(platform: &Platform, options: &PlatformOptions, service: &str) -> String {
    let url = platform.nats.url_of(service);
    let asked = options.brokers.iter().find(|(of, _)| of == service);
    match (asked, url.rsplit_once('@')) {
        (Some((_, address)), Some((user, _))) => format!("{user}@{address}"),
        _ => url,
    }
}

/// Where a service's secrets are, as far as they are in files.
fn secrets(platform: &Platform, service: &str) -> Vec<(String, String)> {
    let own = platform.secrets.iter().filter(|(owner, _)| owner == service);
    let in_file = |(_, secret): &(String, Secret)| {
        let file = platform.user_keys.beside(secret.file.as_ref()?);
        Some((secret.name.clone(), text(&file)))
    };
    own.filter_map(in_file).collect()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn unique_of(home: &Home) -> String {
    home.root().file_name().unwrap_or_default().to_string_lossy().into_owned()
}
