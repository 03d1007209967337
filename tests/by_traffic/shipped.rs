//! What is in the cluster is what is shipped.

use std::collections::BTreeSet;

use mesh_testkit::workspace;
use serde_json::Value;

use super::lab::Lab;
use crate::manifests::world::documents;

/// What `up --istio` applies.
const OVERLAY: &str = "k8s/overlays/local";
/// What it has applied besides, in place of pods and of nothing else.
const STAND_IN: &str = "stand-in.yaml";

fn name(object: &Value) -> String {
    let of = |it: &Value| it.as_str().unwrap_or_default().to_owned();
    let meta = &object["metadata"];
    [&object["kind"], &meta["namespace"], &meta["name"]].map(of).join("/")
}

/// An object without what the server says of its keeping.
fn said_of(object: &Value) -> Value {
    let mut said = object.clone();
    for field in ["managedFields", "resourceVersion", "generation"] {
        said["metadata"].as_object_mut().unwrap().remove(field);
    }
    said
}

/// Each object of the overlay is there as it is shipped, whatever was changed meanwhile to show something:
/// to apply it once more would change nothing. What Istio reads is the same to the letter; Kubernetes adds
/// what nobody has said.
pub async fn what_is_there_is_what_is_shipped(lab: &Lab) -> String {
    let kubectl = lab.kubectl();
    let folder = workspace().join(OVERLAY).display().to_string();
    let mut shipped = documents(&kubectl.run(&["kustomize", &folder]).await.unwrap());
    let all = shipped.len();
    let stand_in = std::fs::read_to_string(lab.cluster.dir().join(STAND_IN)).unwrap();
    let stand_in: BTreeSet<_> = documents(&stand_in).iter().map(name).collect();
    shipped.retain(|object| !stand_in.contains(&name(object)));
    let kinds: BTreeSet<_> = stand_in.iter().map(|it| it.split('/').next().unwrap()).collect();
    let expected =
        ["AuthorizationPolicy", "Namespace", "ServiceAccount", "Sidecar", "WorkloadEntry"];
    assert_eq!(kinds, expected.into(), "what stands in for pods");
    assert!(shipped.len() > 90 && all - shipped.len() < 10, "{} of {all}", shipped.len());

    let text = shipped.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n---\n");
    let listed = async |what: &[&str]| -> Vec<Value> {
        let all = [what, &["--output", "json", "--filename", "-"]].concat();
        let said = kubectl.run_with(&all, &text).await.unwrap();
        let list: Value = serde_json::from_str(&said).unwrap();
        list["items"].as_array().unwrap().iter().map(said_of).collect()
    };
    let again = ["apply", "--server-side", "--force-conflicts", "--dry-run=server"];
    let (live, again) = (listed(&["get"]).await, listed(&again).await);
    assert_eq!((live.len(), again.len()), (shipped.len(), shipped.len()));
    for (is, would_be) in live.iter().zip(&again) {
        assert_eq!(is, would_be, "{} is another", name(is));
    }
    let mut same = 0;
    let is_istios = |it: &&Value| it["apiVersion"].as_str().unwrap().contains(".istio.io/");
    for object in shipped.iter().filter(is_istios) {
        let live = live.iter().find(|it| name(it) == name(object));
        assert_eq!(live.unwrap()["spec"], object["spec"], "{}", name(object));
        same += 1;
    }
    assert!(same > 30, "{same} of Istio's kinds");
    format!(
        "{} of {all} objects, {same} of them Istio's; {} stand in",
        shipped.len(),
        stand_in.len()
    )
}
