//! What an overlay adds to the shop while a new image of a service is tried beside the one that runs: its
//! processes, its migrations, and its share of the calls. The images themselves, too.

use anyhow::{Context as _, Result, ensure};
use mesh_local::Declaration;
use serde_json::{Map, Value, json};

use super::{jobs, reach, workload};
use crate::delivery::{Delivered, Image, Running};
use crate::generate::cluster::{Plan, Traffic};
use crate::generate::{Page, istio, yaml};
use crate::services;

/// The version of what is tried, which no service declares.
pub const VERSION: &str = "candidate";
/// The program of operators has an image beside those of services.
const OPERATORS: &str = "meshctl";
const OBJECTS: &str = "candidates.yaml";

/// The files of a component that an overlay adds: `folder/kustomization.yaml` and, if anything is tried,
/// its objects; made of what `source` says is delivered.
///
/// # Errors
/// It names what there is not, or a service whose calls are spread by hand already.
pub fn pages(
    declarations: &[Declaration],
    folder: &str,
    source: &str,
    delivered: &Delivered,
) -> Result<Vec<Page>> {
    let known = |name: &str| name == OPERATORS || declarations.iter().any(|it| it.service == name);
    let unknown = delivered.images.keys().find(|name| !known(name));
    ensure!(unknown.is_none(), "{source}: there is no image `{}`", unknown.map_or("", |it| it));
    let operators = delivered.images.get(OPERATORS);
    ensure!(
        operators.is_none_or(|it| it.candidate.is_none()),
        "{source}: {OPERATORS} answers no calls, so nothing of it can be tried: say which image runs"
    );
    let mut objects = Vec::new();
    let mut patches = Vec::from_iter(provided(declarations, delivered)?);
    for (service, running) in &delivered.images {
        let about = || format!("{source}: {service}");
        if let Some(declared) = declarations.iter().find(|it| it.service == *service) {
            patches.extend(migrated(declarations, declared, running)?);
            let tried = tried(declarations, declared, running).with_context(about)?;
            objects.extend(tried.objects);
            patches.extend(tried.patches);
        }
    }
    let names = declarations.iter().map(|it| it.service.as_str()).chain([OPERATORS]);
    let images: Vec<Value> = names.map(|name| image(name, delivered)).collect();
    let mut component = json!({
        "apiVersion": "kustomize.config.k8s.io/v1alpha1",
        "images": images,
        "kind": "Component",
    });
    let page = |name: &str, objects: &[Value]| Page {
        path: format!("{folder}/{name}"),
        text: yaml::made_by("deliver", source, objects),
    };
    let mut pages = Vec::new();
    if !objects.is_empty() {
        component["resources"] = json!([OBJECTS]);
        pages.push(page(OBJECTS, &objects));
    }
    if !patches.is_empty() {
        component["patches"] = patches.into();
    }
    pages.push(page("kustomization.yaml", &[component]));
    Ok(pages)
}

/// Where an image comes from; from this machine if nothing was delivered yet.
fn image(name: &str, delivered: &Delivered) -> Value {
    let short = format!("shopmesh/{name}");
    match delivered.images.get(name).and_then(|it| it.image.as_ref()) {
        Some(Image { name, digest }) => json!({ "digest": digest, "name": short, "newName": name }),
        None => json!({ "name": short, "newName": short }),
    }
}

/// Objects that are added, and patches of those that are there.
#[derive(Default)]
struct Tried {
    objects: Vec<Value>,
    patches: Vec<Value>,
}

/// A Job cannot be changed: that of an image is called after it.
fn migrated(
    declarations: &[Declaration],
    declared: &Declaration,
    running: &Running,
) -> Result<Option<Value>> {
    let Some(image) = &running.image else { return Ok(None) };
    let plan = Plan::new(declarations)?;
    let Some(job) = migration(&plan, declared) else { return Ok(None) };
    Ok(Some(renamed(&job["metadata"]["name"], &job_name(declared, image))))
}

/// That which makes streams as well, whose image is the operators'.
fn provided(declarations: &[Declaration], delivered: &Delivered) -> Result<Option<Value>> {
    let running = delivered.images.get(OPERATORS);
    let Some(image) = running.and_then(|it| it.image.as_ref()) else { return Ok(None) };
    let made = jobs::streams(&Plan::new(declarations)?);
    let job = made.iter().find(|object| object["kind"] == "Job").context("nobody makes streams")?;
    let name = job["metadata"]["name"].as_str().unwrap_or_default();
    Ok(Some(renamed(&name.into(), &format!("{name}-{}", image.short()))))
}

/// A patch by which a Job has another name.
fn renamed(job: &Value, name: &str) -> Value {
    json!({
        "options": { "allowNameChange": true },
        "patch": replaced("/metadata/name", &name.into()),
        "target": { "kind": "Job", "name": job },
    })
}

fn job_name(declared: &Declaration, image: &Image) -> String {
    format!("{}-{}", jobs::migrator(&declared.service), image.short())
}

fn migration(plan: &Plan<'_>, declared: &Declaration) -> Option<Value> {
    let member = plan.services.iter().find(|it| it.name() == declared.service)?;
    jobs::migration(member).into_iter().find(|object| object["kind"] == "Job")
}

fn tried(declarations: &[Declaration], declared: &Declaration, running: &Running) -> Result<Tried> {
    let Some(candidate) = &running.candidate else { return Ok(Tried::default()) };
    let service = &declared.service;
    let [version] = &declared.versions[..] else {
        anyhow::bail!(
            "it declares several versions, whose shares istio/traffic.toml says: leave one in its mesh.toml"
        );
    };
    let mut altered = declarations.to_vec();
    altered
        .iter_mut()
        .filter(|it| it.service == *service)
        .for_each(|it| it.versions.push(VERSION.to_owned()));
    let mut traffic = Traffic::parse(services::TRAFFIC.1, declarations)?;
    let route = traffic.routes.entry(service.clone()).or_default();
    route.weights =
        vec![(version.clone(), 100 - candidate.weight), (VERSION.to_owned(), candidate.weight)];
    // Of no calls it is sent none at all: it is not up yet, or is about to go.
    route.canary = (candidate.weight > 0).then(|| VERSION.to_owned());
    let plan = Plan::with(&altered, traffic)?;
    let member = plan.services.iter().find(|it| it.name() == service).context("it is not there")?;
    let name = format!("{service}-{VERSION}");
    let made = workload::of(member).into_iter().chain(reach::of(member));
    let mut tried = Tried::default();
    tried.objects.extend(made.filter(|object| object["metadata"]["name"] == name.as_str()));
    for object in &mut tried.objects {
        // Not by the name that stands for the image that runs.
        if let Some(image) = object.pointer_mut("/spec/template/spec/containers/0/image") {
            *image = candidate.image.to_string().into();
        }
    }
    // Once it is what runs as well, its migrations are those.
    let known = Plan::new(declarations)?;
    let job =
        migration(&known, declared).filter(|_| running.image.as_ref() != Some(&candidate.image));
    if let Some(mut job) = job {
        job["metadata"]["name"] = job_name(declared, &candidate.image).into();
        job["spec"]["template"]["spec"]["containers"][0]["image"] =
            candidate.image.to_string().into();
        tried.objects.push(job);
    }
    for object in istio::routes(&plan, member)? {
        let (kind, place) = match object["kind"].as_str() {
            Some("DestinationRule") => ("DestinationRule", "subsets"),
            Some("VirtualService") => ("VirtualService", "http"),
            _ => continue,
        };
        tried.patches.push(json!({
            "patch": replaced(&format!("/spec/{place}"), &object["spec"][place]),
            "target": { "kind": kind, "name": service },
        }));
    }
    Ok(tried)
}

/// A patch that replaces one value.
fn replaced(path: &str, value: &Value) -> String {
    let mut operation = Map::new();
    operation.insert("op".to_owned(), "replace".into());
    operation.insert("path".to_owned(), path.into());
    operation.insert("value".to_owned(), value.clone());
    Value::from(vec![Value::Object(operation)]).to_string()
}
