//! What is shipped, before an API server and istiod's validation.

use std::path::PathBuf;

use mesh_local::cluster::Kubectl;
use mesh_testkit::workspace;
use meshctl::{
    delivery::{self, Delivered, Step},
    services,
};
use serde_json::{Value, json};
use tokio::process::Command;

use super::lab::Lab;
use super::schemas::{self, Schemas};
use crate::{
    delivery::{Copied, OLD},
    manifests::{way_in, world::documents},
};

const OVERLAYS: [&str; 4] = ["local", "staging", "production", "external"];
/// To which images are delivered.
const TRIED: &str = "production";

/// What else can be applied, by the folder, and more objects than how many: Istio's way in, the way in
/// without it, where operators come in, and what observes.
const BESIDE: [(&str, usize); 4] = [
    ("k8s/ingress-gateway", 6),
    ("k8s/generated/ingress", 0),
    ("k8s/generated/operator", 5),
    ("observe", 10),
];
/// Than so many an overlay has more.
const OBJECTS: usize = 90;

/// Something that can be applied.
struct Folder {
    name: String,
    path: PathBuf,
    /// It has more objects.
    least: usize,
    /// The whole shop.
    is_overlay: bool,
}

impl Folder {
    fn overlay(name: &str, path: PathBuf) -> Self {
        Self { name: name.to_owned(), path, least: OBJECTS, is_overlay: true }
    }

    fn beside(name: &str, least: usize) -> Self {
        Self { name: name.to_owned(), path: workspace().join(name), least, is_overlay: false }
    }
}

/// Everything that can be applied: what is shipped, and what somebody makes of it.
fn folders(tried: &Copied) -> Vec<Folder> {
    let shipped = OVERLAYS.map(|name| format!("k8s/overlays/{name}"));
    let mut all: Vec<_> =
        shipped.into_iter().map(|name| Folder::overlay(&name, workspace().join(&name))).collect();
    all.extend(BESIDE.map(|(name, least)| Folder::beside(name, least)));
    let candidate = tried.0.join("k8s/overlays").join(TRIED);
    all.push(Folder::overlay("a candidate of orders", candidate));
    all.push(Folder::overlay("behind an Ingress", way_in::behind_an_ingress(tried)));
    all
}

/// A copy in which a new image of orders is tried.
fn candidate() -> Copied {
    let copied = Copied::of(&["k8s", "istio"]);
    let mut delivered = Delivered::read(&copied.0, TRIED).unwrap();
    delivered.step("orders", Step::Try(OLD.parse().unwrap(), 5)).unwrap();
    let pages = delivered.pages(TRIED, &services::declarations().unwrap()).unwrap();
    delivery::write(&copied.0, TRIED, &pages).unwrap();
    copied
}

#[tokio::test(flavor = "multi_thread")]
async fn every_manifest_is_accepted_by_the_api_server_and_by_istio() {
    let Some(lab) = Lab::open("accepted").await else { return };
    let kubectl = lab.kubectl();
    // Who is there before: nothing of a namespace is tried without it.
    for name in ["shop", "istio-ingress", "observe"] {
        lab.apply(&[
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }),
        ])
        .await;
    }
    let (tried, mut count) = (candidate(), 0);
    let folders = folders(&tried);
    for Folder { name, path, least, .. } in &folders {
        let folder = path.display().to_string();
        let once = kubectl.run(&["kustomize", &folder]).await.unwrap();
        assert_eq!(once, kubectl.run(&["kustomize", &folder]).await.unwrap(), "{name}");

        let try_it = ["apply", "--server-side", "--dry-run=server", "--kustomize", &folder];
        let said = kubectl.run(&try_it).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let objects =
            said.lines().filter(|line| line.ends_with("serverside-applied (server dry run)"));
        let objects = objects.count();
        assert!(objects > *least && objects == documents(&once).len(), "{name}: {said}");
        count += objects;
    }
    refused(&kubectl).await;
    for folder in &folders {
        analyzed(&lab, folder).await;
    }
    conform(&lab, &folders).await;
    let by = "the API server, istiod, istioctl analyze and kubeconform";
    let places = folders.len();
    println!(
        "  {:<52}  {count} objects of {places} folders, by {by}",
        "every manifest is accepted"
    );
}

/// Each object, of every folder, is what its schema says and has nothing besides; by a program that asks
/// no server.
async fn conform(lab: &Lab, folders: &[Folder]) {
    let kubectl = lab.kubectl();
    let described = kubectl.run(&["get", "--raw", "/openapi/v2"]).await.unwrap();
    let schemas = Schemas::of(&serde_json::from_str(&described).unwrap());
    let schemata = lab.home.path("schemas");
    schemas.write(&schemata);
    for Folder { name, path, .. } in folders {
        let text = kubectl.run(&["kustomize", &path.display().to_string()]).await.unwrap();
        let count = documents(&text).len();

        let said = schemas::validated(lab, &schemata, &text);

        let bad: Vec<_> = said.iter().filter(|it| it["status"] != "statusValid").collect();
        assert!(
            bad.is_empty() && said.len() == count,
            "{name}: {} of {count}, {bad:#?}",
            said.len()
        );
        for (is, wrong) in [
            ("minReadySeconds", "minReadySecs"),
            ("kind: VirtualService", "kind: VirtualServices"),
            ("subset: v1", "subset: 1"),
            ("maxUnavailable: 1", "maxUnavailable: [1]"),
        ] {
            let places = text.matches(is).count();
            let said = schemas::validated(lab, &schemata, &text.replace(is, wrong));
            let bad = said.iter().filter(|it| it["status"] != "statusValid").count();
            assert!(bad > 6 || places < 6 && (bad > 0) == (places > 0), "{name}: {wrong}: {bad}");
        }
    }
}

/// What is wrong is refused: by the API server's rules, by a definition's, by istiod.
async fn refused(kubectl: &Kubectl) {
    let meta = json!({ "name": "wrong", "namespace": "shop" });
    let object = |api: &str, kind: &str, spec: Value| {
        json!({ "apiVersion": api, "kind": kind, "metadata": meta, "spec": spec }).to_string()
    };
    let route = |weights: [u32; 2]| {
        let to = |weight| json!({ "destination": { "host": "orders" }, "weight": weight });
        json!({ "hosts": ["orders"], "http": [{ "route": weights.map(to) }] })
    };
    let istio = "networking.istio.io/v1";
    let no_selector = json!({ "template": {} });
    for (text, why) in [
        (object("apps/v1", "Deployment", no_selector), "spec.selector: Required value"),
        (object(istio, "VirtualService", route([0, 0])), "total destination weight = 0"),
        (
            object(istio, "DestinationRule", json!({ "hots": "orders" })),
            "field not declared in schema",
        ),
    ] {
        let try_it = ["apply", "--server-side", "--dry-run=server", "--filename", "-"];
        let said = kubectl.run_with(&try_it, &text).await.unwrap_err().to_string();
        assert!(said.contains(why), "{said}");
    }
}

/// Istio's own analysis of everything together has nothing to say above `info`.
async fn analyzed(lab: &Lab, folder: &Folder) {
    let (name, path) = (&folder.name, folder.path.display().to_string());
    let shipped = documents(&lab.kubectl().run(&["kustomize", &path]).await.unwrap());
    let made = by_controllers(&shipped);
    let all: Vec<_> = shipped.iter().chain(&made).map(ToString::to_string).collect();
    let text = all.join("\n---\n");
    let said = analysis(lab, &text).await;
    assert!(said.is_empty(), "{name}\n{}\n", said.join("\n"));

    if !folder.is_overlay {
        return;
    }
    assert!(made.len() > 7, "{name}: {} objects", made.len());
    // It has something to say where something is wrong.
    let said = analysis(lab, &text.replace("\"subset\":\"v1\"", "\"subset\":\"v9\"")).await;
    assert!(said.len() > 6 && said[0].contains("IST0101"), "{name}: {said:?}");
}

/// What `istioctl analyze` says of a text above `info`.
async fn analysis(lab: &Lab, text: &str) -> Vec<String> {
    let file = lab.home.path("analyzed.yaml");
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(lab.cluster.tools().program("istioctl"));
    command.args(["analyze", "--use-kube=false", "--output", "json", "--all-namespaces"]);
    let output = command.arg(&file).output().await.unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    });
    let messages = said.as_array().unwrap().iter();
    messages.filter(|it| it["level"] != "Info").map(ToString::to_string).collect()
}

/// What the controllers of a cluster would make of objects: pods, and the secrets of certificates. And the
/// pod of the ingress gateway, which is there before.
fn by_controllers(objects: &[Value]) -> Vec<Value> {
    let mut made = vec![json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "ingress", "namespace": "istio-ingress", "labels": { "istio": "ingress" },
        },
        "spec": { "containers": [{ "name": "istio-proxy", "image": "auto" }] },
    })];
    for object in objects {
        let meta = &object["metadata"];
        let template = &object["spec"]["template"];
        if object["kind"] == "Deployment" {
            let mut pod = json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"],
                "spec": template["spec"],
            });
            pod["metadata"]["name"] = meta["name"].clone();
            pod["metadata"]["namespace"] = meta["namespace"].clone();
            made.push(pod);
        }
        if object["kind"] == "Certificate" {
            let name = &object["spec"]["secretName"];
            made.push(json!({
                "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
                "metadata": { "name": name, "namespace": meta["namespace"] },
            }));
        }
    }
    made
}
