//! A request of HTTP becomes a request of an RPC.

use http::{HeaderMap, Method, header};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage as _, Value};

use crate::{
    Refusal,
    binding::{Binding, Body},
    body,
    fields::{self, FieldPath},
    percent::{Place, decode},
};

const UPDATE_MASK: &str = "update_mask";
const MASK: &str = "google.protobuf.FieldMask";
/// What a request says of itself, by the names that AIP-134, 154, 155 and 163 have for it.
const ABOUT: [&str; 5] = [UPDATE_MASK, "request_id", "etag", "allow_missing", "validate_only"];

/// What a path led to: the binding, and what of the path are values.
#[derive(Debug)]
pub struct Route<'a> {
    pub(crate) binding: &'a Binding,
    pub(crate) segments: Vec<&'a str>,
}

impl<'a> Route<'a> {
    /// The binding.
    pub fn binding(&self) -> &'a Binding {
        self.binding
    }

    /// Checks the type of a body that is there; to be asked before it is read.
    ///
    /// # Errors
    /// It is not JSON.
    pub fn check_type(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(value) = headers.get(header::CONTENT_TYPE) else {
            return Err(Refusal::UnsupportedMediaType);
        };
        let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
        let mut parts = text.split(';').map(str::trim);
        let is_json = parts.next() == Some("application/json");
        let is_utf8 = parts.all(|part| match part.split_once('=') {
            Some(("charset", set)) => set.trim_matches('"') == "utf-8",
            _ => true,
        });
        if is_json && is_utf8 { Ok(()) } else { Err(Refusal::UnsupportedMediaType) }
    }

    /// Builds the RPC's request from the path, the query and the body.
    ///
    /// # Errors
    /// Something in it cannot be; the refusal names the field.
    pub fn request(&self, query: Option<&str>, json: &[u8]) -> Result<DynamicMessage, Refusal> {
        let input = self.binding.rpc().input();
        let mut message = match &self.binding.body {
            Body::Everything => body::read(&input, json)?,
            Body::Field(path) => {
                let mut message = DynamicMessage::new(input);
                body::read_field(&mut message, path.first(), json)?;
                message
            }
            Body::Nothing if json.is_empty() => DynamicMessage::new(input),
            Body::Nothing => {
                return Err(Refusal::field("body", "BODY_UNEXPECTED", "must not be there"));
            }
        };
        self.read_query(query.unwrap_or_default(), &mut message)?;
        self.read_path(&mut message)?;
        self.fill_mask(json, &mut message)?;
        Ok(message)
    }

    fn read_path(&self, message: &mut DynamicMessage) -> Result<(), Refusal> {
        let template = self.binding.template();
        for (variable, path) in template.variables().iter().zip(&self.binding.variables) {
            let range = template.value(variable, self.segments.len());
            let is_multi = template.is_multi(variable);
            let place = if is_multi { Place::Segments } else { Place::Segment };
            let raw = self.segments.get(range).unwrap_or_default().join("/");
            let name = path.name();
            let text = decode(&raw, place).ok_or_else(|| {
                Refusal::field(&name, "PATH_MALFORMED", "must be percent-encoded UTF-8")
            })?;
            let value = value_of(path, &name, &text)?;
            if path.get(message).is_some_and(|given| given != value) {
                let what = "must be the same in the path and elsewhere";
                return Err(Refusal::field(name, "FIELD_CONFLICT", what));
            }
            path.with(message, |message, field| message.set_field(field, value));
        }
        Ok(())
    }

    fn read_query(&self, query: &str, message: &mut DynamicMessage) -> Result<(), Refusal> {
        let mut given: Vec<FieldPath> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let malformed = |name: &str| {
                Refusal::field(name, "QUERY_MALFORMED", "must be percent-encoded UTF-8")
            };
            let name = decode(name, Place::Query).ok_or_else(|| malformed(name))?;
            if name.is_empty() {
                return Err(Refusal::field("query", "FIELD_UNKNOWN", "has a value without a name"));
            }
            let value = decode(value, Place::Query).ok_or_else(|| malformed(&name))?;
            let path = self.parameter(&name)?;
            let is_again = given.iter().any(|other| other.name() == path.name());
            if is_again && !path.last().is_list() {
                return Err(Refusal::field(&*name, "FIELD_REPEATED", "must be there once"));
            }
            let value = value_of(&path, &name, &value)?;
            let put = path.with(message, |message, field| put(message, field, value));
            put.unwrap_or(Ok(())).map_err(|what| Refusal::field(&*name, "FIELD_CONFLICT", what))?;
            given.push(path);
        }
        Ok(())
    }

    /// The field that a parameter of the query is.
    fn parameter(&self, name: &str) -> Result<FieldPath, Refusal> {
        let unknown = |what: &str| Refusal::field(name, "FIELD_UNKNOWN", what);
        let path = FieldPath::find(&self.binding.rpc().input(), name).map_err(unknown)?;
        if self.binding.variables.iter().any(|variable| path.is_within(variable)) {
            return Err(Refusal::field(name, "FIELD_BOUND", "must be in the path alone"));
        }
        let in_body = match &self.binding.body {
            Body::Nothing => false,
            Body::Everything => true,
            Body::Field(body) => path.is_within(body),
        };
        if in_body {
            return Err(Refusal::field(name, "FIELD_BOUND", "must be in the body alone"));
        }
        if !fields::is_text(path.last()) {
            return Err(unknown("must be given field by field"));
        }
        Ok(path)
    }

    /// A PATCH changes what it speaks of, unless it says otherwise, and is refused where it speaks of
    /// nothing: a mask that names nothing means everything (AIP-134). What a body speaks of that is the
    /// whole request, is what shall be changed, and not which thing, nor how.
    fn fill_mask(&self, json: &[u8], message: &mut DynamicMessage) -> Result<(), Refusal> {
        let Some(field) = message.descriptor().get_field_by_name(UPDATE_MASK) else {
            return Ok(());
        };
        let Kind::Message(mask) = field.kind() else { return Ok(()) };
        let is_mask = mask.full_name() == MASK && !field.is_list();
        if !is_mask || self.binding.method() != Method::PATCH || names_fields(message, &field) {
            return Ok(());
        }
        let paths = match &self.binding.body {
            Body::Nothing => return Ok(()),
            Body::Field(path) => match path.last().kind() {
                Kind::Message(resource) => body::mask(&resource, json)?,
                _ => return Ok(()),
            },
            Body::Everything => {
                let bound: Vec<_> = self.binding.variables.iter().map(FieldPath::name).collect();
                let mut paths = body::mask(&self.binding.rpc().input(), json)?;
                paths.retain(|path| {
                    let first = path.split('.').next().unwrap_or_default();
                    !ABOUT.contains(&first) && !bound.contains(path)
                });
                paths
            }
        };
        if paths.is_empty() {
            return Err(Refusal::field("body", "BODY_EMPTY", "must name a field to change"));
        }
        let mut given = DynamicMessage::new(mask);
        let paths = paths.into_iter().map(Value::String).collect();
        given.set_field_by_name("paths", Value::List(paths));
        message.set_field(&field, Value::Message(given));
        Ok(())
    }
}

/// The value that a text of the URL is, of the field that is called so there.
fn value_of(path: &FieldPath, name: &str, text: &str) -> Result<Value, Refusal> {
    let field = path.last();
    fields::read(field, text)
        .ok_or_else(|| Refusal::field(name, "VALUE_MALFORMED", fields::wanted(field)))
}

/// Whether the mask that a message has names anything.
fn names_fields(message: &DynamicMessage, mask: &FieldDescriptor) -> bool {
    let given = message.get_field(mask);
    let paths = given.as_message().and_then(|mask| mask.get_field_by_name("paths"));
    paths.is_some_and(|paths| paths.as_list().is_some_and(|paths| !paths.is_empty()))
}

/// Sets a value, or adds it to a list. What is wrong with that is the error.
fn put(
    message: &mut DynamicMessage,
    field: &FieldDescriptor,
    value: Value,
) -> Result<(), &'static str> {
    if field.is_list() {
        if let Some(list) = message.get_field_mut(field).as_list_mut() {
            list.push(value);
        }
        return Ok(());
    }
    let others = field
        .containing_oneof()
        .into_iter()
        .flat_map(|oneof| oneof.fields().filter(|other| other != field).collect::<Vec<_>>());
    if others.into_iter().any(|other| message.has_field(&other)) {
        return Err("must not be there with another of its kind");
    }
    message.set_field(field, value);
    Ok(())
}
