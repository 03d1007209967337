//! Every variable that a service requires is set, none that it does not know, and none is a secret that
//! stands in the file.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use clap::{CommandFactory as _, Parser as _};
use mesh_local::{Declaration, broker_users, copy_tree};
use mesh_runtime::ServiceConfig;
use mesh_testkit::workspace;
use meshctl::{caller, services};

use super::{containers, environment, file};

/// A service's settings, and how it reads them.
struct Settings {
    command: clap::Command,
    read: fn(Vec<String>) -> Result<ServiceConfig, clap::Error>,
}

macro_rules! settings_of {
    ($name:expr, $($service:ident),*) => {
        match $name {
            $(stringify!($service) => Settings {
                command: $service::Config::command(),
                read: |arguments| Ok($service::Config::try_parse_from(arguments)?.service),
            },)*
            other => panic!("{other}: name it here"),
        }
    };
}

fn settings(service: &str) -> Settings {
    settings_of!(
        service, catalog, gateway, inventory, orders, payments, processor, shipping, storefront,
        users
    )
}

/// What stands for secrets in a test.
pub fn with_secrets(text: &str, secret: impl Fn(&str) -> String) -> String {
    let mut told = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (variable, after) = after.split_once('}').unwrap();
        told += before;
        match variable.split_once(":?") {
            Some((variable, _)) => told += &secret(variable),
            None => told += variable.split_once(":-").unwrap().1,
        }
        rest = after;
    }
    told + rest
}

#[test]
fn every_service_is_given_all_that_it_requires_and_nothing_it_does_not_know() {
    let file = file();
    for declaration in services::declarations().unwrap() {
        let name = &declaration.service;
        let Settings { command, read } = settings(name);
        let given: BTreeMap<_, _> = environment(&file, name)
            .into_iter()
            .map(|(variable, value)| (variable, with_secrets(&value, |_| "x".to_owned())))
            .collect();
        let mut flags = BTreeMap::new();
        for argument in command.get_arguments() {
            let Some(variable) = argument.get_env() else { continue };
            let variable = variable.to_str().unwrap().to_owned();
            let required = argument.is_required_set();
            assert!(!required || given.contains_key(&variable), "{name} lacks {variable}");
            flags.insert(variable, format!("--{}", argument.get_long().unwrap()));
        }
        let unknown: Vec<_> = given.keys().filter(|it| !flags.contains_key(*it)).collect();
        assert!(unknown.is_empty(), "{name} does not know {unknown:?}");

        let arguments = given.iter().flat_map(|(name, value)| [flags[name].clone(), value.clone()]);
        let arguments = std::iter::once(name.clone()).chain(arguments).collect();
        let read = read(arguments).unwrap_or_else(|error| panic!("{name}: {error}"));
        required(&declaration, &read, &given);
    }
}

/// What no flag says that it is required, since a test of a service may do without.
fn required(declaration: &Declaration, read: &ServiceConfig, given: &BTreeMap<String, String>) {
    let name = &declaration.service;
    assert_eq!(read.database_url.is_some(), declaration.store.is_some(), "{name}: DATABASE_URL");
    assert_eq!(read.nats_url.is_some(), declaration.uses_broker(), "{name}: NATS_URL");
    assert!(read.service_key.is_some() && read.service_keys.is_some(), "{name}: who is it?");
    assert!(read.user_keys.is_some(), "{name}: whom does it believe?");
    assert!(read.otlp_endpoint.is_some(), "{name}: OTLP_ENDPOINT");
    assert!(read.listen_addr.ip().is_unspecified() && read.listen_addr.port() > 0, "{name}");
    assert!(read.admin_addr.ip().is_unspecified() && read.admin_addr.port() > 0, "{name}");
    let found = mesh_runtime::parse_discovery(&read.discovery).unwrap();
    let found: BTreeSet<_> = found.iter().map(|target| target.service.as_str()).collect();
    for call in &declaration.calls {
        assert!(found.contains(call.service.as_str()), "{name} cannot find {}", call.service);
    }
    for secret in &declaration.secrets {
        assert!(given.contains_key(&secret.name), "{name} lacks {}", secret.name);
    }
}

/// Nobody may ask without end: the door is given rates, where it finds them.
#[test]
fn the_door_has_rates() {
    let file = file();
    let door = environment(&file, services::GATEWAY);
    let mounts = super::names(&file["services"][services::GATEWAY]["volumes"]);
    let (folder, name) = door["EDGE_FILE"].rsplit_once('/').unwrap();
    let mount = mounts.iter().find_map(|it| it.strip_suffix(&format!(":{folder}:ro"))).unwrap();
    let text = fs::read_to_string(workspace().join(mount).join(name)).unwrap();
    for table in ["[rates.address]", "[rates.user]", "[rates.rpcs]"] {
        assert!(text.lines().any(|line| line == table), "{table}");
    }
}

#[test]
fn no_secret_stands_in_the_file_and_each_user_has_one_of_its_own() {
    let file = file();
    let secret = |variable: &str| format!("SECRET({variable})");
    let mut of_broker = BTreeSet::new();
    let declarations = services::declarations().unwrap();
    for name in containers(&file).keys() {
        for (variable, value) in environment(&file, name) {
            let told = with_secrets(&value, secret);
            let is_address = variable.ends_with("_URL");
            let wants_one = is_address || variable.contains("PASSWORD");
            assert!(!wants_one || told.contains("SECRET("), "{name}: {variable} is in the open");
            if variable == "NATS_URL" {
                assert!(of_broker.insert(told), "{name}: another's password");
            }
        }
    }
    // The broker is given the passwords that its users are given.
    let broker = environment(&file, "nats");
    for user in broker_users(&declarations, caller::NAME) {
        let variable = format!("NATS_PASSWORD_{}", user.name().to_uppercase());
        assert_eq!(with_secrets(&broker[&variable], secret), format!("\"SECRET({variable})\""));
        let url = format!("nats://{}:SECRET({variable})@nats:4222", user.name());
        assert!(of_broker.remove(&url), "{url} is nobody's");
    }
    assert!(of_broker.is_empty(), "{of_broker:?}");
}

#[test]
fn secrets_are_made_once_for_all_that_is_wanted_and_for_their_owner_only() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("secrets");
    let _ = fs::remove_dir_all(&folder);
    copy_tree(&workspace().join("compose"), &folder.join("compose")).unwrap();
    fs::copy(workspace().join("compose.yaml"), folder.join("compose.yaml")).unwrap();
    let make = || {
        let made = Command::new("sh").arg(folder.join("compose/secrets.sh")).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        fs::read_to_string(folder.join(".env")).unwrap()
    };

    let first = make();
    let lines: Vec<_> = first.lines().map(|line| line.split_once('=').unwrap()).collect();
    let made: BTreeSet<_> = lines.iter().map(|(name, _)| (*name).to_owned()).collect();
    let wanted = RefCell::new(BTreeSet::new());
    let file = file();
    for name in containers(&file).keys() {
        for value in environment(&file, name).values() {
            let _ = with_secrets(value, |variable| {
                wanted.borrow_mut().insert(variable.to_owned());
                String::new()
            });
        }
    }
    assert_eq!(made, wanted.into_inner());
    assert!(lines.iter().all(|(_, secret)| secret.len() == 48));
    let different: BTreeSet<_> = lines.iter().map(|(_, secret)| secret).collect();
    assert_eq!(different.len(), lines.len());
    let mode = fs::metadata(folder.join(".env")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let lost = first.lines().skip(1).map(|line| format!("{line}\n")).collect::<String>();
    fs::write(folder.join(".env"), &lost).unwrap();
    let again = make();
    assert!(again.starts_with(&lost) && again.lines().count() == first.lines().count(), "{again}");
}
