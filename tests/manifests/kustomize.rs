//! Overlays as `kubectl` puts them together: the same every time, nothing open, nothing double.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use mesh_local::cluster::Tools;
use mesh_testkit::{skipped, workspace};
use serde_json::Value;

use super::world::{documents, items};

const OVERLAYS: [&str; 4] = ["local", "staging", "production", "external"];

/// What an overlay makes, by the machine's `kubectl` or that of `cargo mesh cluster`; nothing where there
/// is neither.
fn built(folder: &str) -> Option<String> {
    let cache = Tools::cache_of_user().unwrap();
    let ours = Tools::built(&cache, "kubectl").map(PathBuf::into_os_string);
    let mut all = [Some("kubectl".into()), ours].into_iter().flatten();
    let ask = |it| Command::new(it).arg("kustomize").arg(workspace().join(folder)).output().ok();
    let Some(output) = all.find_map(ask) else {
        skipped("kubectl", "https://kubernetes.io/docs/tasks/tools, or `cargo mesh cluster up`");
        return None;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "kubectl kustomize {folder}\n{said}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn every_overlay_is_put_together_the_same_every_time() {
    for overlay in OVERLAYS {
        let folder = format!("k8s/overlays/{overlay}");
        let (Some(once), Some(again)) = (built(&folder), built(&folder)) else { return };

        assert_eq!(once, again, "{overlay}");
        let objects = documents(&once);
        let name = |it: &Value| {
            let meta = &it["metadata"];
            format!("{} {} {}", it["kind"], meta["namespace"], meta["name"])
        };
        let names: BTreeSet<_> = objects.iter().map(name).collect();
        assert_eq!(names.len(), objects.len(), "{overlay}: an object is there twice");
        assert!(objects.len() > 90, "{overlay}: {} objects", objects.len());
    }
}

#[test]
fn containers_are_locked_up_in_every_overlay() {
    for overlay in OVERLAYS {
        let Some(text) = built(&format!("k8s/overlays/{overlay}")) else { return };
        let objects = documents(&text);
        let runs = objects.iter().filter(|it| it["spec"]["template"]["spec"].is_object());
        let mut containers = 0;
        for object in runs {
            let name = format!("{overlay}: {}", object["metadata"]["name"]);
            let pod = &object["spec"]["template"]["spec"];
            let context = &pod["securityContext"];
            assert_eq!(context["runAsNonRoot"], true, "{name}");
            assert!(context["runAsUser"].as_u64() > Some(0), "{name}");
            assert_eq!(context["seccompProfile"]["type"], "RuntimeDefault", "{name}");
            assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
            assert!(pod["hostNetwork"].is_null() && pod["hostPID"].is_null(), "{name}");
            for container in items(&pod["containers"]).chain(items(&pod["initContainers"])) {
                containers += 1;
                let context = &container["securityContext"];
                assert_eq!(context["readOnlyRootFilesystem"], true, "{name}");
                assert_eq!(context["allowPrivilegeEscalation"], false, "{name}");
                assert_eq!(context["capabilities"]["drop"][0], "ALL", "{name}");
                for resource in ["/requests/cpu", "/requests/memory", "/limits/memory"] {
                    let given = container["resources"].pointer(resource);
                    assert!(given.is_some_and(Value::is_string), "{name}: {resource}");
                }
                if object["kind"] == "Job" {
                    continue;
                }
                for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
                    assert!(container[probe].is_object(), "{name}: {probe}");
                }
            }
        }
        assert!(containers > 6, "{overlay}: {containers} containers");
    }
}

/// A process is replaced when its settings change, since the name of its ConfigMap does.
#[test]
fn processes_are_given_the_settings_that_are_made_for_them() {
    let Some(text) = built("k8s/overlays/production") else { return };
    let objects = documents(&text);
    let of = |kind: &'static str| objects.iter().filter(move |it| it["kind"] == kind);
    let maps: BTreeSet<_> =
        of("ConfigMap").map(|it| it["metadata"]["name"].clone().to_string()).collect();

    for deployment in of("Deployment") {
        let pod = &deployment["spec"]["template"]["spec"];
        let given = pod["containers"][0]["envFrom"][0]["configMapRef"]["name"].to_string();
        assert!(maps.contains(&given) && given.contains('-'), "{given} of {maps:?}");
        let mounted = pod["volumes"][0]["configMap"]["name"].to_string();
        assert!(maps.contains(&mounted), "{mounted} of {maps:?}");
    }
    let policy = of("ConfigMap").find(|it| it["metadata"]["name"] == "policy").unwrap();
    let text = policy["data"]["policy.toml"].as_str().unwrap();
    mesh_policy::Overlay::parse(text).unwrap();
    let keys = policy["data"]["users.json"].as_str().unwrap();
    mesh_auth::Jwks::from_json(keys.as_bytes()).unwrap();
}

/// Whoever asks too often is refused, in every overlay; and browsers come back by TLS only, which ends before
/// the gateway.
#[test]
fn the_gateway_of_every_overlay_has_rates() {
    for overlay in OVERLAYS {
        let Some(text) = built(&format!("k8s/overlays/{overlay}")) else { return };
        let objects = documents(&text);
        let maps = || objects.iter().filter(|it| it["kind"] == "ConfigMap");
        let file = maps().find_map(|it| it["data"]["EDGE_FILE"].as_str()).unwrap();
        let name = file.strip_prefix("/etc/mesh/").unwrap();
        let policy = maps().find(|it| it["metadata"]["name"] == "policy").unwrap();
        let said: Vec<&str> = policy["data"][name].as_str().unwrap().lines().collect();

        for table in ["[rates.address]", "[rates.user]", "[rates.rpcs]"] {
            assert!(said.contains(&table), "{overlay}: {table}");
        }
        // As many share a rate as run at least, or more than it says gets through.
        let scaler = objects.iter().find(|it| {
            it["kind"] == "HorizontalPodAutoscaler" && it["metadata"]["name"] == "gateway-v1"
        });
        let least = scaler.unwrap()["spec"]["minReplicas"].as_u64().unwrap();
        let gateways = said.iter().find_map(|line| line.strip_prefix("gateways = ")).unwrap();
        assert!(gateways.parse::<u64>().unwrap() >= least, "{overlay}: {gateways} of {least}");
        let secure = "set = { strict-transport-security = \"max-age=";
        assert!(said.iter().any(|line| line.starts_with(secure)), "{overlay}");
    }
}

/// Whoever changes a weight changes no secret: none is in the tree.
#[test]
fn secrets_are_named_and_never_kept() {
    for overlay in OVERLAYS {
        let Some(text) = built(&format!("k8s/overlays/{overlay}")) else { return };

        assert!(documents(&text).iter().all(|it| it["kind"] != "Secret"), "{overlay}");
        let lower = text.to_ascii_lowercase();
        for sign in ["password:", "begin private key", "postgres://", "postgresql://"] {
            assert!(!lower.contains(sign), "{overlay} says {sign}");
        }
    }
}

/// Both kinds of store, our own and somebody's, are reached, and nobody else outside is.
#[test]
fn stores_are_three_in_production_one_at_home_and_none_where_somebody_else_has_them() {
    for (overlay, instances, backups) in [
        ("production", Some(3), true),
        ("staging", Some(3), false),
        ("local", Some(1), false),
        ("external", None, false),
    ] {
        let Some(text) = built(&format!("k8s/overlays/{overlay}")) else { return };
        let objects = documents(&text);
        let of = |kind: &'static str| objects.iter().filter(move |it| it["kind"] == kind);

        let found: BTreeSet<_> =
            of("Cluster").filter_map(|it| it["spec"]["instances"].as_u64()).collect();
        assert_eq!(found, instances.into_iter().collect(), "{overlay}");
        let broker: Vec<_> =
            of("StatefulSet").filter_map(|it| it["spec"]["replicas"].as_u64()).collect();
        assert_eq!(broker, Vec::from_iter(instances), "{overlay}");
        let archived = of("Cluster").all(|it| it["spec"]["backup"].is_object());
        assert_eq!(of("ScheduledBackup").count() > 0 && archived, backups, "{overlay}");
        let blocks = text.matches("ipBlock:").count();
        assert_eq!(blocks, if instances.is_none() { 2 } else { 0 }, "{overlay}");
    }
}

/// An instance that is away does not fill the disk of the log, and so stop the one that writes.
#[test]
fn what_is_kept_for_an_instance_that_is_away_fits_on_the_disk() {
    let megabytes = |value: &Value| -> u64 {
        let text = value.as_str().unwrap();
        let factor = if text.contains('G') { 1024 } else { 1 };
        text.trim_end_matches(|c: char| !c.is_ascii_digit()).parse::<u64>().unwrap() * factor
    };
    for overlay in ["local", "staging", "production"] {
        let Some(text) = built(&format!("k8s/overlays/{overlay}")) else { return };
        for database in documents(&text).iter().filter(|it| it["kind"] == "Cluster") {
            let spec = &database["spec"];
            let kept = &spec["postgresql"]["parameters"]["max_slot_wal_keep_size"];
            // Until the next checkpoint: max_wal_size, a gigabyte if nothing is said. One disk is for rows too.
            let (disk, more) = match &spec["walStorage"]["size"] {
                Value::Null => (&spec["storage"]["size"], 512),
                own => (own, 1024),
            };
            let (kept, disk) = (megabytes(kept), megabytes(disk));
            assert!(kept + more < disk, "{overlay}: {kept} MB of {disk} MB");
        }
    }
}

/// What `kubectl` makes of a folder, wherever that is; nothing where there is no `kubectl`.
pub fn put_together(folder: &std::path::Path) -> Option<Vec<Value>> {
    built(folder.to_str().unwrap()).map(|text| documents(&text))
}

/// Folders that every overlay consists of.
const EVERYWHERE: [&str; 4] =
    ["istio/generated", "k8s/base", "k8s/generated/jobs", "k8s/generated/services"];
/// And those of one.
const BESIDES: [(&str, &[&str]); 4] = [
    ("local", &["k8s/generated/databases", "k8s/nats"]),
    ("staging", &["k8s/generated/databases", "k8s/nats"]),
    ("production", &["k8s/generated/backups", "k8s/generated/databases", "k8s/nats"]),
    ("external", &["k8s/components/external-broker", "k8s/components/external-databases"]),
];

/// Kind, namespace and name; a generated ConfigMap's without the digest of what it says.
pub fn identity(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (kind, meta) = (text(&object["kind"]), &object["metadata"]);
    let name = text(&meta["name"]);
    let is_digest = |end: &str| end.len() == 10 && end.bytes().all(|it| it.is_ascii_alphanumeric());
    let name = match name.rsplit_once('-').filter(|(_, end)| kind == "ConfigMap" && is_digest(end))
    {
        Some((name, _)) => name.to_owned(),
        None => name,
    };
    format!("{kind} {}/{name}", text(&meta["namespace"]))
}

/// All that lies in a folder, whatever its list says, and the maps that the list makes.
fn lying_in(folder: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(workspace().join(folder)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|it| it != "yaml") {
            continue;
        }
        for object in documents(&std::fs::read_to_string(&path).unwrap()) {
            if !["Kustomization", "Component"].contains(&object["kind"].as_str().unwrap()) {
                found.insert(identity(&object));
            }
            let maps = items(&object["configMapGenerator"]);
            found.extend(maps.map(|map| {
                format!(
                    "ConfigMap {}/{}",
                    map["namespace"].as_str().unwrap(),
                    map["name"].as_str().unwrap()
                )
            }));
        }
    }
    found
}

/// What a delivery under way adds, and takes away.
fn is_delivered(overlay: &str, identity: &str) -> bool {
    // A Job is called after its image.
    let is_job = identity.contains("-migrate-") || identity.starts_with("Job shop/streams-");
    let of_candidate = identity.ends_with("-candidate") || is_job;
    overlay == "production" && of_candidate
}

/// What an overlay lacks of what lies in its folders, and has besides.
fn differences(overlay: &str, objects: &[Value]) -> Vec<String> {
    let (_, besides) = BESIDES.iter().find(|(name, _)| *name == overlay).unwrap();
    let folders = EVERYWHERE.iter().chain(*besides);
    let expected: BTreeSet<_> = folders.flat_map(|folder| lying_in(folder)).collect();
    let found: BTreeSet<_> = objects.iter().map(identity).collect();
    let all = expected.symmetric_difference(&found);
    all.filter(|it| !is_delivered(overlay, it)).cloned().collect()
}

/// A file that a list forgets is in no cluster, and no count of objects would tell.
#[test]
fn every_overlay_has_all_that_lies_in_its_folders_and_nothing_else() {
    for overlay in OVERLAYS {
        let folder = workspace().join("k8s/overlays").join(overlay);
        let Some(mut objects) = put_together(&folder) else { return };

        assert_eq!(differences(overlay, &objects), Vec::<String>::new(), "{overlay}");
        objects.retain(|it| identity(it) != "NetworkPolicy shop/deny-all");
        assert_eq!(differences(overlay, &objects), ["NetworkPolicy shop/deny-all"], "{overlay}");
    }
}
