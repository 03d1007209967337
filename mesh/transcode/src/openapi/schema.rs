//! Schemas of messages, as canonical protobuf JSON writes them.

use std::collections::BTreeMap;

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::comment;
use crate::fields::is_wrapper;

const STATUS: &str = "google.rpc.Status";

/// The schemas that something refers to.
#[derive(Default)]
pub(super) struct Schemas {
    known: BTreeMap<String, Value>,
}

impl Schemas {
    pub(super) fn finish(self) -> Value {
        json!(self.known)
    }

    /// A message by reference.
    pub(super) fn message(&mut self, message: &MessageDescriptor) -> Value {
        if let Some(own) = known(message) {
            return own;
        }
        if is_wrapper(message) {
            return message
                .get_field_by_name("value")
                .map_or_else(|| json!({}), |it| self.field(&it));
        }
        let name = message.full_name();
        if !self.known.contains_key(name) {
            // Noted before it is read: it may have itself in it.
            self.known.insert(name.to_owned(), Value::Null);
            let schema = self.without(message, &[]);
            self.known.insert(name.to_owned(), schema);
        }
        reference(name)
    }

    /// A message's own schema, without some of its fields.
    pub(super) fn without(
        &mut self,
        message: &MessageDescriptor,
        left: &[FieldDescriptor],
    ) -> Value {
        let mut properties = Map::new();
        for field in message.fields().filter(|field| !left.contains(field)) {
            let about = comment(&message.parent_file(), field.path());
            let mut schema = self.field(&field);
            if !about.is_empty() {
                schema["description"] = json!(about);
            }
            properties.insert(field.json_name().to_owned(), schema);
        }
        let mut schema = json!({ "type": "object", "properties": properties });
        let about = comment(&message.parent_file(), message.path());
        if !about.is_empty() {
            schema["description"] = json!(about);
        }
        schema
    }

    /// The value of a field.
    pub(super) fn field(&mut self, field: &FieldDescriptor) -> Value {
        match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                let value = self.field(&entry.map_entry_value_field());
                json!({ "type": "object", "additionalProperties": value })
            }
            kind if field.is_list() => json!({ "type": "array", "items": self.kind(&kind) }),
            kind => self.kind(&kind),
        }
    }

    fn kind(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::String => json!({ "type": "string" }),
            Kind::Bool => json!({ "type": "boolean" }),
            Kind::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                json!({ "type": "integer", "format": "int32" })
            }
            Kind::Uint32 | Kind::Fixed32 => {
                json!({ "type": "integer", "format": "int64", "minimum": 0 })
            }
            // As texts: JavaScript's numbers have 53 bits.
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                json!({ "type": "string", "format": "int64" })
            }
            Kind::Uint64 | Kind::Fixed64 => json!({ "type": "string", "format": "uint64" }),
            Kind::Float => json!({ "type": ["number", "string"], "format": "float" }),
            Kind::Double => json!({ "type": ["number", "string"], "format": "double" }),
            Kind::Enum(known) => self.enumeration(known),
            Kind::Message(message) => self.message(message),
        }
    }

    fn enumeration(&mut self, known: &EnumDescriptor) -> Value {
        let name = known.full_name();
        if !self.known.contains_key(name) {
            let values: Vec<_> = known.values().map(|value| value.name().to_owned()).collect();
            let file = known.parent_file();
            let mut about = comment(&file, known.path());
            for value in known.values() {
                let meaning = comment(&file, value.path()).replace('\n', " ");
                about.push_str(&format!("\n- `{}`: {meaning}", value.name()));
            }
            let schema = json!({ "type": "string", "enum": values, "description": about });
            self.known.insert(name.to_owned(), schema);
        }
        reference(name)
    }

    /// An answer that is an error.
    pub(super) fn error(&mut self, about: &str) -> Value {
        json!({
            "description": about,
            "content": { "application/json": { "schema": self.status() } },
        })
    }

    /// What errors are.
    fn status(&mut self) -> Value {
        let detail = json!({
            "type": "object",
            "properties": { "@type": { "type": "string" } },
            "required": ["@type"],
            "additionalProperties": true,
        });
        let schema = json!({
            "type": "object",
            "description": "google.rpc.Status: `details` have ErrorInfo with a stable reason, BadRequest \
                            where fields are to blame, and RequestInfo with the request's id.",
            "properties": {
                "code": { "type": "integer", "format": "int32", "description": "google.rpc.Code." },
                "message": { "type": "string" },
                "details": { "type": "array", "items": detail },
            },
        });
        self.known.entry(STATUS.to_owned()).or_insert(schema);
        reference(STATUS)
    }
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// Messages for which JSON has a form of its own.
fn known(message: &MessageDescriptor) -> Option<Value> {
    let name = message.full_name().strip_prefix("google.protobuf.")?;
    Some(match name {
        "Timestamp" => json!({ "type": "string", "format": "date-time" }),
        "Duration" => json!({ "type": "string", "pattern": "^-?[0-9]+(\\.[0-9]{1,9})?s$" }),
        "FieldMask" => json!({ "type": "string" }),
        "Struct" => json!({ "type": "object" }),
        "ListValue" => json!({ "type": "array" }),
        "Value" => json!({}),
        "Empty" => json!({ "type": "object" }),
        "Any" => json!({ "type": "object", "properties": { "@type": { "type": "string" } } }),
        _ => return None,
    })
}
