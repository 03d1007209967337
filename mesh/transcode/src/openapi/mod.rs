//! What can be asked for by HTTP, as OpenAPI 3.1, with the contracts' comments.

mod access;
mod comments;
mod path;
mod schema;

use std::collections::HashMap;

use mesh_policy::Table;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};
use serde_json::{Map, Value, json};

use crate::{
    Binding, Transcoder,
    binding::Body,
    fields::{FieldPath, is_text},
};
use comments::comment;
use path::Path;
use schema::Schemas;

/// How deep a query's parameters may lie in messages.
const DEPTH: usize = 3;

/// Describes every binding, and who may ask for it by the access rules of `contracts`. Schemas are those
/// of canonical protobuf JSON.
pub fn openapi(transcoder: &Transcoder, contracts: &Table, title: &str, version: &str) -> Value {
    let mut schemas = Schemas::default();
    let mut paths: Map<String, Value> = Map::new();
    let mut tags: Map<String, Value> = Map::new();
    let (mut ids, mut shapes) = (Ids::default(), HashMap::new());
    for binding in transcoder.bindings() {
        let service = binding.rpc().parent_service();
        let about = comment(&service.parent_file(), service.path());
        tags.entry(service.name().to_owned())
            .or_insert_with(|| json!({ "name": service.name(), "description": about }));
        let mut path = Path::of(binding.template());
        // OpenAPI tells paths apart by what is fixed in them: names are those of the first.
        path.adopt(shapes.entry(path.shape()).or_insert_with(|| path.names()));
        let mut operation = operation(binding, &path, &mut schemas);
        operation["operationId"] = json!(ids.next(binding));
        if let Some(contract) = contracts.method(&rpc_path(binding.rpc())) {
            access::describe(&mut operation, &contract.access, &mut schemas);
        }
        let place = paths.entry(path.to_string()).or_insert_with(|| json!({}));
        place[binding.method().as_str().to_ascii_lowercase()] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": title, "version": version },
        "tags": tags.into_iter().map(|(_, tag)| tag).collect::<Vec<_>>(),
        "paths": paths,
        "components": { "schemas": schemas.finish(), "securitySchemes": access::schemes() },
    })
}

/// `package.Service/Method`.
fn rpc_path(rpc: &MethodDescriptor) -> String {
    format!("{}/{}", rpc.parent_service().full_name(), rpc.name())
}

/// Names of operations: an RPC's own, with a number from its second binding on.
#[derive(Default)]
struct Ids(HashMap<String, u32>);

impl Ids {
    fn next(&mut self, binding: &Binding) -> String {
        let rpc = binding.rpc();
        let name = format!("{}_{}", rpc.parent_service().name(), rpc.name());
        let count = self.0.entry(rpc.full_name().to_owned()).or_default();
        *count += 1;
        if *count == 1 { name } else { format!("{name}_{count}") }
    }
}

fn operation(binding: &Binding, path: &Path, schemas: &mut Schemas) -> Value {
    let rpc = binding.rpc();
    let service = rpc.parent_service();
    let about = comment(&rpc.parent_file(), rpc.path());
    let summary = about.split("\n\n").next().unwrap_or_default();
    let summary = summary.split_once(". ").map_or(summary, |(first, _)| first);
    let mut operation = json!({
        "summary": summary.trim_end_matches('.').replace('\n', " "),
        "description": about,
        "tags": [service.name()],
        "parameters": parameters(binding, path, schemas),
        "responses": {
            "200": { "description": "OK", "content": answer(binding, schemas) },
            "default": schemas.error("An error."),
        },
    });
    if rpc.method_descriptor_proto().options.as_ref().is_some_and(|it| it.deprecated()) {
        operation["deprecated"] = json!(true);
    }
    let body = match &binding.body {
        Body::Nothing => return operation,
        Body::Everything => schemas.without(&rpc.input(), &bound(binding)),
        Body::Field(path) => schemas.field(path.first()),
    };
    operation["requestBody"] =
        json!({ "required": true, "content": { "application/json": { "schema": body } } });
    operation
}

/// Fields of the request's own message that the path has.
fn bound(binding: &Binding) -> Vec<FieldDescriptor> {
    let alone = |path: &&FieldPath| path.first() == path.last();
    binding.variables.iter().filter(alone).map(|path| path.last().clone()).collect()
}

fn answer(binding: &Binding, schemas: &mut Schemas) -> Value {
    let schema = match &binding.response_body {
        Some(field) => schemas.field(field),
        None => schemas.message(&binding.rpc().output()),
    };
    if binding.rpc().is_server_streaming() {
        return json!({
            "application/x-ndjson": { "schema": schema },
            "text/event-stream": { "schema": schema },
        });
    }
    json!({ "application/json": { "schema": schema } })
}

fn parameters(binding: &Binding, path: &Path, schemas: &mut Schemas) -> Vec<Value> {
    let mut all = Vec::new();
    for open in &path.open {
        let field = open.variable.map(|at| &binding.variables[at]);
        let schema = match field.filter(|_| open.is_whole) {
            Some(path) => schemas.field(path.last()),
            None => json!({ "type": "string" }),
        };
        all.push(parameter(&open.name, "path", schema, field.map(FieldPath::last)));
    }
    if !matches!(binding.body, Body::Everything) {
        let in_body = match &binding.body {
            Body::Field(path) => Some(path.first().clone()),
            _ => None,
        };
        let mut query = Query { binding, in_body, schemas, found: &mut all };
        query.add(&binding.rpc().input(), "", 0);
    }
    all
}

/// Collects what a query may name.
struct Query<'a> {
    binding: &'a Binding,
    in_body: Option<FieldDescriptor>,
    schemas: &'a mut Schemas,
    found: &'a mut Vec<Value>,
}

impl Query<'_> {
    fn add(&mut self, message: &MessageDescriptor, within: &str, depth: usize) {
        for field in message.fields() {
            let name = format!("{within}{}", field.name());
            let is_bound = self.binding.variables.iter().any(|path| path.name() == name);
            if is_bound || (depth == 0 && self.in_body.as_ref() == Some(&field)) {
                continue;
            }
            if is_text(&field) {
                let schema = self.schemas.field(&field);
                self.found.push(parameter(&name, "query", schema, Some(&field)));
            } else if let (Kind::Message(inner), false, true) =
                (field.kind(), field.is_list() || field.is_map(), depth < DEPTH)
            {
                self.add(&inner, &format!("{name}."), depth + 1);
            }
        }
    }
}

fn parameter(name: &str, place: &str, schema: Value, field: Option<&FieldDescriptor>) -> Value {
    let mut parameter =
        json!({ "name": name, "in": place, "required": place == "path", "schema": schema });
    let about = field.map(|field| comment(&field.parent_message().parent_file(), field.path()));
    if let Some(about) = about.filter(|about| !about.is_empty()) {
        parameter["description"] = json!(about);
    }
    parameter
}
