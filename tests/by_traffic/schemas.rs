//! What a cluster says of its objects, as the JSON schemas that `kubeconform` takes: of Kubernetes' own
//! kinds and of those that were defined in it, Istio's among them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Map, Value, json};

use super::lab::Lab;

/// Where a definition refers to another.
const REFERENCE: &str = "#/definitions/";
/// How `kubeconform` finds a file: by group (which the core has not: its version stands there), kind and
/// version.
const FILE: &str = "{{.Group}}_{{.ResourceKind}}_{{.ResourceAPIVersion}}.json";

/// Schemas by the name of their file.
pub struct Schemas(BTreeMap<String, Value>);

impl Schemas {
    /// From what `/openapi/v2` says.
    pub fn of(described: &Value) -> Self {
        let definitions: Map<String, Value> = described["definitions"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, schema)| (name.clone(), strict(schema.clone())))
            .collect();
        let mut files = BTreeMap::new();
        for (name, schema) in &definitions {
            let kinds = schema["x-kubernetes-group-version-kind"].as_array();
            for kind in kinds.into_iter().flatten() {
                let of = |key: &str| kind[key].as_str().unwrap_or_default().to_owned();
                let (group, version) = (of("group"), of("version"));
                let group = if group.is_empty() { version.clone() } else { group };
                let file = format!("{group}_{}_{version}.json", of("kind").to_lowercase());
                files.insert(file, alone(name, &definitions));
            }
        }
        assert!(files.len() > 100, "{} kinds", files.len());
        Self(files)
    }

    pub fn write(&self, folder: &Path) {
        fs::create_dir_all(folder).unwrap();
        for (name, schema) in &self.0 {
            fs::write(folder.join(name), schema.to_string()).unwrap();
        }
    }
}

/// What `kubeconform` says of each object of a text.
pub fn validated(lab: &Lab, schemas: &Path, text: &str) -> Vec<Value> {
    let mut command = Command::new(lab.cluster.tools().program("kubeconform"));
    command.args(["-strict", "-verbose", "-output", "json", "-schema-location"]);
    command.arg(schemas.join(FILE)).arg("-");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let text = text.to_owned();
    let writing = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    said["resources"].as_array().unwrap().clone()
}

/// A definition with those that it refers to, and no others.
fn alone(name: &str, definitions: &Map<String, Value>) -> Value {
    let mut needed = BTreeSet::new();
    let mut open = vec![name.to_owned()];
    while let Some(name) = open.pop() {
        if needed.insert(name.clone()) {
            references(&definitions[&name], &mut open);
        }
    }
    let needed: Map<String, Value> =
        needed.into_iter().map(|name| (name.clone(), definitions[&name].clone())).collect();
    json!({ "$ref": format!("{REFERENCE}{name}"), "definitions": needed })
}

fn references(schema: &Value, into: &mut Vec<String>) {
    match schema {
        Value::Object(fields) => {
            let reference = fields.get("$ref").and_then(Value::as_str);
            into.extend(reference.and_then(|it| it.strip_prefix(REFERENCE)).map(str::to_owned));
            fields.values().for_each(|value| references(value, into));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, into)),
        _ => {}
    }
}

/// Nothing besides what is described, as an API server takes it with strict validation; and what may be a
/// number or a text may be both.
fn strict(mut schema: Value) -> Value {
    if let Some(fields) = schema.as_object_mut() {
        let is_either = fields.get("format").is_some_and(|it| it == "int-or-string");
        if is_either || fields.contains_key("x-kubernetes-int-or-string") {
            return json!({ "type": ["integer", "string"] });
        }
        for (name, inner) in fields.iter_mut() {
            match inner {
                // Names of fields are none of words of schemas.
                Value::Object(named) if name == "properties" => {
                    for inner in named.values_mut() {
                        *inner = strict(inner.take());
                    }
                }
                Value::Object(_) => *inner = strict(inner.take()),
                Value::Array(items) => {
                    for inner in items {
                        *inner = strict(inner.take());
                    }
                }
                _ => {}
            }
        }
        let is_open = fields.contains_key("additionalProperties")
            || fields.contains_key("x-kubernetes-preserve-unknown-fields");
        if fields.contains_key("properties") && !is_open {
            fields.insert("additionalProperties".to_owned(), json!(false));
        }
    }
    schema
}
