//! `observe/compose.yaml`: the stores for the signals of a shop that runs without containers.

use std::collections::BTreeSet;
use std::fs;

use mesh_testkit::workspace;
use serde_json::Value;

use super::{containers, faults, names};

#[test]
fn what_it_names_is_there_and_only_this_machine_reaches_it() {
    let folder = workspace().join("observe");
    let text = fs::read_to_string(folder.join("compose.yaml")).unwrap();
    let file: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(faults(&file), Vec::<String>::new());
    let (volumes, mut mounted) = (names(&file["volumes"]), BTreeSet::new());
    for (name, container) in containers(&file) {
        for first in names(&container["depends_on"]) {
            assert!(containers(&file).contains_key(&first), "{name} waits for {first}");
        }
        for port in names(&container["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name} publishes {port}");
        }
        for volume in names(&container["volumes"]) {
            let from = volume.split(':').next().unwrap();
            match from.strip_prefix("./") {
                Some(path) => {
                    // An engine would make a folder of what is missing, and go on.
                    assert!(folder.join(path).exists(), "{name}: observe/{path} is not there");
                    assert!(volume.ends_with(":ro"), "{name} can write into {path}");
                }
                None => _ = mounted.insert(from.to_owned()),
            }
        }
    }
    assert_eq!(mounted, volumes);
}
