//! JSON that becomes a message. What is wrong with it is told by field.

use mesh_rpc::{Invalid, Violation};
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage as _,
};
use serde_json::{Deserializer, Map, Value, error::Category};

use crate::{
    Refusal,
    fields::{is_simple, named, wanted},
};

/// What a body is called where a field's name is asked for.
const BODY: &str = "body";

/// Reads a message; nothing at all is a message in which nothing is said.
pub(crate) fn read(descriptor: &MessageDescriptor, json: &[u8]) -> Result<DynamicMessage, Refusal> {
    if json.iter().all(u8::is_ascii_whitespace) {
        return Ok(DynamicMessage::new(descriptor.clone()));
    }
    let mut source = Deserializer::from_slice(json);
    let read = DynamicMessage::deserialize(descriptor.clone(), &mut source);
    match read.and_then(|message| source.end().map(|()| message)) {
        Ok(message) => Ok(message),
        Err(_) => Err(refuse(descriptor, json)),
    }
}

/// Reads the value of one field, and puts it into `message`.
pub(crate) fn read_field(
    message: &mut DynamicMessage,
    field: &FieldDescriptor,
    json: &[u8],
) -> Result<(), Refusal> {
    if let (Kind::Message(inner), false) = (field.kind(), field.is_list() || field.is_map())
        && !is_known(&inner)
    {
        let value = read(&inner, json).map_err(|refusal| within(field.name(), refusal))?;
        message.set_field(field, prost_reflect::Value::Message(value));
        return Ok(());
    }
    if json.iter().all(u8::is_ascii_whitespace) {
        return Ok(());
    }
    let value = parse(json)?;
    let wrapped = Value::Object(Map::from_iter([(field.json_name().to_owned(), value)]));
    match DynamicMessage::deserialize(message.descriptor(), &wrapped) {
        Ok(read) => {
            message.set_field(field, read.get_field(field).into_owned());
            Ok(())
        }
        Err(_) => Err(explain(&message.descriptor(), &wrapped)),
    }
}

/// Reads JSON of any kind.
pub(crate) fn parse(json: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(json).map_err(|error| malformed(&error))
}

/// Refuses what could not be read: the JSON, or a field of it.
fn refuse(descriptor: &MessageDescriptor, json: &[u8]) -> Refusal {
    match serde_json::from_slice(json) {
        Ok(value) => explain(descriptor, &value),
        Err(error) => malformed(&error),
    }
}

fn malformed(error: &serde_json::Error) -> Refusal {
    let what = match error.classify() {
        Category::Eof => "must be JSON that is complete".to_owned(),
        // It names what was expected and where, and nothing of what stands there.
        Category::Syntax => format!("must be JSON: {error}"),
        Category::Data | Category::Io => "must be JSON".to_owned(),
    };
    Refusal::field(BODY, "JSON_MALFORMED", what)
}

fn explain(descriptor: &MessageDescriptor, value: &Value) -> Refusal {
    let (field, reason, description) = blame(descriptor, "", value).unwrap_or_else(|| {
        // What is there twice is here the last of it, which can be read.
        let what = "must have each field once, and one of fields that exclude each other";
        (BODY.to_owned(), "VALUE_MALFORMED", what.to_owned())
    });
    Refusal::field(field, reason, description)
}

type Blame = (String, &'static str, String);

/// Finds the first field that cannot be read, by reading each alone, and then what is in it.
fn blame(descriptor: &MessageDescriptor, path: &str, value: &Value) -> Option<Blame> {
    let Value::Object(fields) = value else {
        let field = if path.is_empty() { BODY } else { path };
        return Some((field.to_owned(), "VALUE_MALFORMED", "must be an object".to_owned()));
    };
    for (name, value) in fields {
        let at = |name: &str| match (path, name) {
            // A place without a name would be no place.
            ("", "") => "\"\"".to_owned(),
            ("", name) => name.to_owned(),
            (path, "") => format!("{path}.\"\""),
            (path, name) => format!("{path}.{name}"),
        };
        let Some(field) = named(descriptor, name) else {
            return Some((at(name), "FIELD_UNKNOWN", "must be a field of the request".to_owned()));
        };
        let alone = Value::Object(Map::from_iter([(name.clone(), value.clone())]));
        if DynamicMessage::deserialize(descriptor.clone(), &alone).is_err() {
            let at = at(field.name());
            return Some(
                inside(&field, &at, value)
                    .unwrap_or_else(|| (at, "VALUE_MALFORMED", whole(&field))),
            );
        }
    }
    let (field, what) = (rival(descriptor, fields)?, "must not be there with another of its kind");
    let at = if path.is_empty() { field } else { format!("{path}.{field}") };
    Some((at, "FIELD_CONFLICT", what.to_owned()))
}

/// Finds a field that is there with another, of which only one may be.
fn rival(descriptor: &MessageDescriptor, fields: &Map<String, Value>) -> Option<String> {
    let mut oneofs = Vec::new();
    let mut there = fields.iter().filter(|(_, value)| !value.is_null());
    there.find_map(|(name, _)| {
        let field = named(descriptor, name)?;
        let oneof = field.containing_oneof()?;
        if oneofs.contains(&oneof) {
            return Some(field.name().to_owned());
        }
        oneofs.push(oneof);
        None
    })
}

/// Looks for what is to blame in the elements of a list, or in a message.
fn inside(field: &FieldDescriptor, path: &str, value: &Value) -> Option<Blame> {
    let message = match field.kind() {
        Kind::Message(message) if !field.is_map() && !is_known(&message) => Some(message),
        _ => None,
    };
    match value {
        Value::Array(elements) if field.is_list() => {
            let mut all = elements.iter().enumerate();
            all.find_map(|(n, element)| {
                let at = format!("{path}[{n}]");
                match &message {
                    Some(message) => blame(message, &at, element),
                    None => {
                        let list = Value::Array(vec![element.clone()]);
                        let one = Map::from_iter([(field.json_name().to_owned(), list)]);
                        let parent = field.parent_message().clone();
                        let read = DynamicMessage::deserialize(parent, &Value::Object(one));
                        let description = wanted(field).into_owned();
                        read.is_err().then_some((at, "VALUE_MALFORMED", description))
                    }
                }
            })
        }
        _ if !field.is_list() => blame(message.as_ref()?, path, value),
        _ => None,
    }
}

/// Whether JSON has a form of its own for the message.
fn is_known(message: &MessageDescriptor) -> bool {
    let own = ["Any", "Struct", "Value", "ListValue", "Empty"];
    let name = message.full_name().strip_prefix("google.protobuf.");
    is_simple(message) || name.is_some_and(|name| own.contains(&name))
}

/// What all of a field's value must be, where nothing in it is to blame.
fn whole(field: &FieldDescriptor) -> String {
    match field.kind() {
        Kind::Message(entry) if field.is_map() => {
            format!(
                "must be an object; each value in it {}",
                wanted(&entry.map_entry_value_field())
            )
        }
        _ if field.is_list() => format!("must be a list; each of it {}", wanted(field)),
        _ => wanted(field).into_owned(),
    }
}

/// Puts a message's name before the fields that are to blame in it.
fn within(field: &str, refusal: Refusal) -> Refusal {
    let Refusal::Invalid(Invalid(violations)) = refusal else { return refusal };
    let violations = violations.into_iter().map(|violation| match violation.field.as_str() {
        BODY => violation,
        inner => Violation { field: format!("{field}.{inner}"), ..violation },
    });
    Refusal::Invalid(Invalid(violations.collect()))
}

/// The fields that a body speaks of, as the contract spells them: what a mask is made of that nobody
/// gave.
pub(crate) fn mask(descriptor: &MessageDescriptor, json: &[u8]) -> Result<Vec<String>, Refusal> {
    let mut paths = Vec::new();
    if !json.iter().all(u8::is_ascii_whitespace) {
        add_paths(descriptor, "", &parse(json)?, &mut paths);
    }
    Ok(paths)
}

fn add_paths(descriptor: &MessageDescriptor, path: &str, value: &Value, paths: &mut Vec<String>) {
    let Value::Object(fields) = value else { return };
    for (name, value) in fields {
        let Some(field) = named(descriptor, name) else { continue };
        let at = match path {
            "" => field.name().to_owned(),
            path => format!("{path}.{}", field.name()),
        };
        match (field.kind(), value) {
            (Kind::Message(inner), Value::Object(some))
                if !some.is_empty() && !field.is_map() && !is_known(&inner) =>
            {
                add_paths(&inner, &at, value, paths);
            }
            _ => paths.push(at),
        }
    }
}
