//! Every Secret that somebody names, somebody makes: `k8s/secrets.sh`, or an operator.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use mesh_local::broker_users;
use mesh_testkit::{program, workspace};
use meshctl::{caller, services};
use serde_json::Value;

use super::world::{documents, items};

/// Makes secrets, and returns what each of them holds.
pub async fn make(
    folder: &Path,
    variables: &[(&str, &str)],
) -> BTreeMap<String, BTreeMap<String, String>> {
    let meshctl = program("meshctl").await;
    let script = workspace().join("k8s/secrets.sh");
    let mut command = Command::new("sh");
    command.arg(script).arg(folder).env("MESHCTL", meshctl).envs(variables.iter().copied());
    let made = command.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let file = folder.join("secrets.yaml");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let secret = |object: &Value| {
        let meta = &object["metadata"];
        assert_eq!(object["kind"], "Secret");
        assert_eq!(meta["namespace"], "shop");
        let values = object["stringData"].as_object().unwrap();
        let values = values.iter().map(|(key, value)| (key.clone(), text(value))).collect();
        (text(&meta["name"]), values)
    };
    documents(&fs::read_to_string(file).unwrap()).iter().map(secret).collect()
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    folder
}

/// Every Secret's name and key that objects refer to; the key is empty where all of it is mounted.
fn named(value: &Value, found: &mut BTreeSet<(String, String)>) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                match key.as_str() {
                    "secretKeyRef" | "accessKeyId" | "secretAccessKey" => {
                        found.insert((text(&inner["name"]), text(&inner["key"])));
                    }
                    "secret" => _ = found.insert((text(&inner["secretName"]), String::new())),
                    _ => named(inner, found),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|it| named(it, found)),
        _ => {}
    }
}

/// What all overlays refer to, as it lies in the tree: also what only patches say.
fn referred_to() -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    let mut folders = vec![workspace().join("k8s")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "yaml") {
                for object in documents(&fs::read_to_string(path).unwrap()) {
                    named(&object, &mut found);
                    for patch in items(&object["patches"]) {
                        let patch = documents(patch["patch"].as_str().unwrap());
                        patch.iter().for_each(|it| named(it, &mut found));
                    }
                }
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn every_secret_that_is_named_is_made() {
    let store = [("BACKUP_ACCESS_KEY", "who"), ("BACKUP_SECRET_KEY", "it's")];
    let declarations = services::declarations().unwrap();
    let stores = declarations.iter().filter(|it| it.store.is_some());
    let urls: Vec<_> = stores
        .map(|it| {
            let name = format!("DATABASE_URL_{}", it.service.to_uppercase());
            (name, format!("postgres://{}:x@elsewhere/it", it.service))
        })
        .collect();
    let urls = urls.iter().map(|(name, url)| (name.as_str(), url.as_str()));
    let given: Vec<_> = store.into_iter().chain(urls).collect();
    let folder = folder("every-secret");

    let made = make(&folder, &given).await;

    let named = referred_to();
    assert!(named.len() > 15, "{named:?}");
    let mut wanted = BTreeSet::new();
    for (name, key) in named {
        let values = made.get(&name).unwrap_or_else(|| panic!("nobody makes {name}"));
        let filled = |key: &str| values.get(key).is_some_and(|it| !it.trim().is_empty());
        assert!(key.is_empty() || filled(&key), "{name} has no {key}");
        wanted.insert(name);
    }
    assert_eq!(wanted, made.keys().cloned().collect(), "what nobody wants");
    assert_eq!(made["backups"]["secret-key"], "it's");
    for declared in &declarations {
        let files = declared.secrets.iter().filter_map(|it| it.file.as_ref());
        for file in files {
            assert!(made[&format!("{}-secrets", declared.service)].contains_key(file), "{file}");
        }
    }
    // PostgreSQL in the cluster is CloudNativePG's, which makes these by itself.
    let ours = make(&folder, &[]).await;
    let others: BTreeSet<_> = made.keys().filter(|it| !ours.contains_key(*it)).collect();
    let expected = |it: &&String| it.ends_with("-database-app") || *it == "backups";
    assert!(others.iter().all(expected) && others.len() == given.len() - 1, "{others:?}");
    let same = |it: &String| ours[it] == made[it];
    assert!(ours.keys().all(same), "what is there stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_is_given_the_passwords_that_its_users_are_given() {
    let folder = folder("users-of-the-broker");
    let made = make(&folder, &[("NATS_ADDRESS", "broker:4222")]).await;
    let auth = &made["nats-auth"]["auth.conf"];
    let mut passwords = BTreeSet::new();

    for user in broker_users(&services::declarations().unwrap(), caller::NAME) {
        let secret = match user.name() {
            caller::NAME => "streams-nats".to_owned(),
            service => format!("{service}-nats"),
        };
        let url = &made[&secret]["url"];
        let password = url.strip_prefix(&format!("nats://{}:", user.name())).unwrap();
        let password = password.strip_suffix("@broker:4222").unwrap();
        assert!(auth.contains(&user.configuration(&format!("\"{password}\""))), "{secret}");
        assert!(password.len() == 48 && passwords.insert(password.to_owned()), "{secret}");
    }
    assert!(!auth.contains("password: $"), "{auth}");
    assert!(auth.starts_with("authorization {\n") && auth.trim_end().ends_with('}'));
    let keys = fs::read(folder.join("users.json")).unwrap();
    assert_eq!(mesh_auth::Jwks::from_json(&keys).unwrap().keys.len(), 1);
}
