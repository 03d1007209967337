//! What the page of OpenAPI says.

use mesh_policy::Table;
use mesh_transcode::openapi;
use serde_json::{Value, json};

use crate::support::shelves;

fn page() -> Value {
    openapi(shelves(), &Table::default(), "Shelves", "1.0.0")
}

/// A path without the names in it.
fn shape(path: &str) -> String {
    let parts = path.split('{').map(|part| part.split_once('}').map_or(part, |(_, rest)| rest));
    parts.collect::<Vec<_>>().join("{}")
}

#[test]
fn every_binding_is_an_operation_with_its_comment() {
    let page = page();
    let paths = page["paths"].as_object().unwrap();

    let mut shapes: Vec<_> = paths.keys().map(|path| shape(path)).collect();
    shapes.sort();
    shapes.dedup();
    assert_eq!(shapes.len(), paths.len(), "paths are told apart by what is fixed in them");
    let operations = paths.values().flat_map(|path| path.as_object().unwrap().values());
    let mut ids: Vec<_> = operations.map(|it| it["operationId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), shelves().bindings().len());
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), shelves().bindings().len(), "{ids:?}");
    let preview = &paths["/v1/shelves/{shelf}/books/{book}:preview"]["get"];
    assert_eq!(preview["operationId"], "ShelvesService_PreviewBook");
    assert_eq!(preview["summary"], "Shows some pages");
    let list = &paths["/v1/books"]["get"];
    assert_eq!(list["summary"], "Finds books");
    assert_eq!(list["description"], "Finds books. All of a query's kinds of fields are here.");
    let stream = &paths["/v1/files/{path}"]["get"]["responses"]["200"]["content"];
    assert!(stream["application/x-ndjson"].is_object() && stream["text/event-stream"].is_object());
}

#[test]
fn parameters_are_what_a_request_may_have() {
    let page = page();
    let named = |path: &str, method: &str| {
        let parameters = page["paths"][path][method]["parameters"].as_array().unwrap();
        let named = parameters
            .iter()
            .map(|it| format!("{} {}", it["in"].as_str().unwrap(), it["name"].as_str().unwrap()));
        named.collect::<Vec<_>>()
    };

    let list = named("/v1/shelves/{shelf}/books", "get");
    for some in ["path shelf", "query page_size", "query author.given_name", "query read_mask"] {
        assert!(list.contains(&some.to_owned()), "{some}: {list:?}");
    }
    assert!(!list.iter().any(|name| name.contains("others") || name.contains("notes")), "{list:?}");
    assert!(!list.contains(&"query parent".to_owned()));
    assert_eq!(named("/v1/shelves/{shelf}/books/{book}", "put"), ["path shelf", "path book"]);
    let put = &page["paths"]["/v1/shelves/{shelf}/books/{book}"]["put"]["requestBody"];
    let fields = &put["content"]["application/json"]["schema"]["properties"];
    assert_eq!(fields.as_object().unwrap().keys().collect::<Vec<_>>(), ["book"]);
}

#[test]
fn schemas_are_those_of_canonical_json_and_every_reference_leads_somewhere() {
    let page = page();
    let schemas = &page["components"]["schemas"];
    let book = &schemas["shelves.v1.Book"]["properties"];

    assert_eq!(book["copies"], json!({ "type": "string", "format": "int64" }));
    assert_eq!(book["printed"]["format"], "date-time");
    assert_eq!(book["lent"]["type"], "boolean");
    assert_eq!(book["author"]["$ref"], "#/components/schemas/shelves.v1.Author");
    assert_eq!(book["notes"]["additionalProperties"]["type"], "string");
    assert_eq!(schemas["shelves.v1.Format"]["enum"][1], "FORMAT_PLAIN");
    let text = page.to_string();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas[name].is_object(), "{name}");
    }
}
