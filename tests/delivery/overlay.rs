//! What an overlay says of an image that runs, and of one that is tried.

use mesh_testkit::workspace;
use meshctl::delivery::{self, Delivered, Image, Running, Step};
use meshctl::services;
use serde_json::{Value, json};

use super::{Copied, NEW, OLD};
use crate::manifests::{kustomize::put_together, world::items};

const OVERLAY: &str = "production";

#[test]
fn the_overlay_is_made_of_what_is_delivered() {
    let delivered = Delivered::read(&workspace(), OVERLAY).unwrap();

    let pages = delivered.pages(OVERLAY, &services::declarations().unwrap()).unwrap();

    let drift = delivery::drift(&workspace(), OVERLAY, &pages).unwrap();
    assert!(drift.is_empty(), "run `cargo mesh deliver orders`: {drift:?}");
}

/// A copy of what overlays are put together from.
struct Scene {
    copied: Copied,
    delivered: Delivered,
}

impl Scene {
    fn new() -> Self {
        let copied = Copied::of(&["k8s", "istio"]);
        let delivered = Delivered::read(&copied.0, OVERLAY).unwrap();
        Self { copied, delivered }
    }

    fn step(&mut self, step: Step) {
        self.delivered.step("orders", step).unwrap();
        let pages = self.delivered.pages(OVERLAY, &services::declarations().unwrap()).unwrap();
        delivery::write(&self.copied.0, OVERLAY, &pages).unwrap();
        assert_eq!(Delivered::read(&self.copied.0, OVERLAY).unwrap(), self.delivered);
    }

    /// What `kubectl` makes of it; nothing where there is none.
    fn built(&self) -> Option<Vec<Value>> {
        let folder = self.copied.0.join("k8s/overlays").join(OVERLAY);
        let built = put_together(&folder)?;
        assert_eq!(put_together(&folder).as_ref(), Some(&built), "the same every time");
        Some(built)
    }
}

fn find<'a>(objects: &'a [Value], kind: &str, name: &str) -> Option<&'a Value> {
    objects.iter().find(|it| it["kind"] == kind && it["metadata"]["name"] == name)
}

fn image<'a>(objects: &'a [Value], kind: &str, name: &str) -> Option<&'a str> {
    find(objects, kind, name)?["spec"]["template"]["spec"]["containers"][0]["image"].as_str()
}

/// Versions of the route of all calls, with their weights.
fn weights(objects: &[Value]) -> Vec<(String, u64)> {
    let route = find(objects, "VirtualService", "orders").unwrap();
    let all = items(&route["spec"]["http"]).find(|it| it["name"] == "all").unwrap();
    let of = |it: &Value| {
        let version = it["destination"]["subset"].as_str().unwrap().to_owned();
        (version, it["weight"].as_u64().unwrap())
    };
    items(&all["route"]).map(of).collect()
}

#[test]
fn a_candidate_has_processes_migrations_and_its_share_of_calls_until_it_runs() {
    let mut scene = Scene::new();
    let Some(before) = scene.built() else { return };
    scene.step(Step::Try(OLD.parse().unwrap(), 5));
    let tried = scene.built().unwrap();

    assert_eq!(image(&tried, "Deployment", "orders-candidate"), Some(OLD));
    assert_eq!(image(&tried, "Deployment", "orders-v1"), Some("shopmesh/orders:v1"));
    assert_eq!(image(&tried, "Job", "orders-migrate-00000000"), Some(OLD));
    assert_eq!(weights(&tried), [("v1".to_owned(), 95), ("candidate".to_owned(), 5)]);
    let subsets = &find(&tried, "DestinationRule", "orders").unwrap()["spec"]["subsets"];
    assert_eq!(subsets[1], json!({ "labels": { "version": "candidate" }, "name": "candidate" }));
    assert!(find(&tried, "HorizontalPodAutoscaler", "orders-candidate").is_some());
    let of = |name: &str| &find(&tried, "Deployment", name).unwrap()["spec"]["template"]["spec"];
    let settings = |name: &str| of(name)["containers"][0]["envFrom"].clone();
    assert_eq!(settings("orders-candidate"), settings("orders-v1"), "it is told the same");
    let routes = &find(&tried, "VirtualService", "orders").unwrap()["spec"]["http"];
    assert_eq!(routes[0]["route"][0]["destination"]["subset"], "candidate", "by x-canary");

    scene.step(Step::Try(OLD.parse().unwrap(), 100));
    scene.step(Step::Promote);
    let promoted = scene.built().unwrap();
    assert_eq!(weights(&promoted), [("candidate".to_owned(), 100)]);
    for name in ["orders-v1", "orders-candidate"] {
        assert_eq!(image(&promoted, "Deployment", name), Some(OLD));
    }
    // A Job is not changed: the same one, of the same content.
    let job = |objects: &[Value]| find(objects, "Job", "orders-migrate-00000000").unwrap().clone();
    assert_eq!(job(&promoted), job(&tried));
    assert!(find(&promoted, "Job", "orders-migrate-v1").is_none());

    scene.step(Step::Withdraw);
    let done = scene.built().unwrap();
    assert_eq!(done.len(), before.len());
    assert_eq!(weights(&done), weights(&before));
    assert_eq!(image(&done, "Deployment", "orders-v1"), Some(OLD));

    // The next one beside it, and back.
    scene.step(Step::Try(NEW.parse().unwrap(), 1));
    let next = scene.built().unwrap();
    assert_eq!(image(&next, "Deployment", "orders-v1"), Some(OLD));
    assert_eq!(image(&next, "Job", "orders-migrate-88888888"), Some(NEW));
    assert_eq!(job(&next), job(&tried));
    scene.step(Step::Withdraw);
    assert_eq!(scene.built().unwrap(), done, "nothing of it is left");
}

/// Its processes are there, and can be named, before any call is led to them; and they go after calls do.
#[test]
fn of_no_calls_a_candidate_has_processes_and_nobody_is_led_to_them() {
    let mut scene = Scene::new();
    let Some(before) = scene.built() else { return };
    let routes = |objects: &[Value]| find(objects, "VirtualService", "orders").unwrap().clone();
    let look = |scene: &mut Scene| {
        scene.step(Step::Try(OLD.parse().unwrap(), 0));
        let built = scene.built().unwrap();
        assert_eq!(image(&built, "Deployment", "orders-candidate"), Some(OLD));
        let subsets = &find(&built, "DestinationRule", "orders").unwrap()["spec"]["subsets"];
        assert_eq!(subsets[1]["name"], "candidate");
        assert_eq!(routes(&built), routes(&before));
        built
    };
    look(&mut scene);
    scene.step(Step::Try(OLD.parse().unwrap(), 100));
    assert_ne!(routes(&scene.built().unwrap()), routes(&before));
    scene.step(Step::Promote);
    let built = look(&mut scene);
    assert_eq!(image(&built, "Deployment", "orders-v1"), Some(OLD));
}

/// The Job that makes streams runs the operators' image: as it cannot be changed, another image's is another
/// Job, which makes the same again.
#[test]
fn another_image_of_the_operators_has_another_job_for_streams() {
    let mut scene = Scene::new();
    let of_streams = |objects: &[Value]| {
        let is_it = |it: &&Value| {
            let name = it["metadata"]["name"].as_str().unwrap();
            it["kind"] == "Job" && name.starts_with("streams-")
        };
        let found: Vec<_> = objects.iter().filter(is_it).cloned().collect();
        let [job] = &found[..] else { panic!("{found:?}") };
        job["metadata"]["name"].as_str().unwrap().to_owned()
    };
    let Some(before) = scene.built() else { return };
    let mut names = vec![of_streams(&before)];
    for name in [OLD, NEW] {
        let name: Image = name.replace("orders", "meshctl").parse().unwrap();
        let running = Running { image: Some(name), candidate: None };
        scene.delivered.images.insert("meshctl".to_owned(), running);
        let pages = scene.delivered.pages(OVERLAY, &services::declarations().unwrap()).unwrap();
        delivery::write(&scene.copied.0, OVERLAY, &pages).unwrap();
        let built = scene.built().unwrap();
        names.push(of_streams(&built));
        assert_eq!(built.len(), before.len());
    }
    let first = names[0].clone();
    assert_eq!(names, [first.clone(), format!("{first}-00000000"), format!("{first}-88888888")]);
}

#[test]
fn what_cannot_be_delivered_is_refused() {
    let mut scene = Scene::new();
    let declarations = services::declarations().unwrap();
    let refused = |delivered: &Delivered| {
        format!("{:#}", delivered.pages(OVERLAY, &declarations).unwrap_err())
    };

    assert!(scene.delivered.step("orders", Step::Promote).is_err());
    scene.delivered.step("orders", Step::Try(OLD.parse().unwrap(), 5)).unwrap();
    let other = scene.delivered.step("orders", Step::Try(NEW.parse().unwrap(), 5)).unwrap_err();
    assert!(other.to_string().contains("is tried: promote or withdraw it first"), "{other}");

    let mut strange = Delivered::default();
    strange.step("nobody", Step::Try(OLD.parse().unwrap(), 5)).unwrap();
    assert!(refused(&strange).contains("there is no image `nobody`"), "{}", refused(&strange));
    let mut operators = Delivered::default();
    operators.step("meshctl", Step::Try(OLD.parse().unwrap(), 5)).unwrap();
    assert!(refused(&operators).contains("answers no calls"), "{}", refused(&operators));
    let mut several = declarations.clone();
    several.iter_mut().for_each(|it| it.versions.push("v2".to_owned()));
    let said = format!("{:#}", scene.delivered.pages(OVERLAY, &several).unwrap_err());
    assert!(said.contains("orders: it declares several versions"), "{said}");
}
