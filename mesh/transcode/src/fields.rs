//! Fields by their path, and their values from the text of a URL.

use std::borrow::Cow;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use prost_reflect::{
    DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, Value,
};
use serde_json::json;

/// Base64 as clients write it: either alphabet, padded or not.
const FORGIVING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, FORGIVING);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, FORGIVING);

/// A field of a message, or of one within it.
#[derive(Clone, Debug)]
pub(crate) struct FieldPath {
    fields: Vec<FieldDescriptor>,
}

impl FieldPath {
    /// Finds `a.b.c`, each by its name or its JSON name; why there is no such field is the error.
    pub(crate) fn find(message: &MessageDescriptor, path: &str) -> Result<Self, &'static str> {
        let mut fields: Vec<FieldDescriptor> = Vec::new();
        let mut message = message.clone();
        for (n, name) in path.split('.').enumerate() {
            if n > 0 {
                message = within(&fields[n - 1])?;
            }
            fields.push(named(&message, name).ok_or("must be a field of the request")?);
        }
        Ok(Self { fields })
    }

    pub(crate) fn last(&self) -> &FieldDescriptor {
        &self.fields[self.fields.len() - 1]
    }

    /// The field in the request's own message that it is or is in.
    pub(crate) fn first(&self) -> &FieldDescriptor {
        &self.fields[0]
    }

    /// Names with dots between them, as the contract spells them.
    pub(crate) fn name(&self) -> String {
        self.fields.iter().map(FieldDescriptor::name).collect::<Vec<_>>().join(".")
    }

    /// Whether it is `other` or lies in it.
    pub(crate) fn is_within(&self, other: &FieldPath) -> bool {
        self.fields.starts_with(&other.fields)
    }

    /// What is there, if something is.
    pub(crate) fn get(&self, message: &DynamicMessage) -> Option<Value> {
        let (last, outer) = self.fields.split_last()?;
        let mut message = message.clone();
        for field in outer {
            message = match message.get_field(field).into_owned() {
                Value::Message(inner) => inner,
                _ => return None,
            };
        }
        message.has_field(last).then(|| message.get_field(last).into_owned())
    }

    /// Hands the message that has the field, and the field.
    pub(crate) fn with<T>(
        &self,
        message: &mut DynamicMessage,
        change: impl FnOnce(&mut DynamicMessage, &FieldDescriptor) -> T,
    ) -> Option<T> {
        let (last, outer) = self.fields.split_last()?;
        let mut message = message;
        for field in outer {
            message = message.get_field_mut(field).as_message_mut()?;
        }
        Some(change(message, last))
    }
}

/// The field that is called so in a contract or in JSON.
pub(crate) fn named(message: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    message.get_field_by_name(name).or_else(|| message.get_field_by_json_name(name))
}

fn within(field: &FieldDescriptor) -> Result<MessageDescriptor, &'static str> {
    match field.kind() {
        _ if field.is_list() => Err("must not be in a list"),
        _ if field.is_map() => Err("must not be in a map"),
        Kind::Message(message) => Ok(message),
        _ => Err("must not be in a field that has no fields"),
    }
}

/// Whether a text can be the field's value, or one of them.
pub(crate) fn is_text(field: &FieldDescriptor) -> bool {
    match field.kind() {
        _ if field.is_map() => false,
        Kind::Message(message) => is_simple(&message),
        _ => true,
    }
}

/// Whether JSON writes the message as a text or number: wrappers, Timestamp, Duration, FieldMask.
pub(crate) fn is_simple(message: &MessageDescriptor) -> bool {
    match message.full_name().strip_prefix("google.protobuf.") {
        Some("Timestamp" | "Duration" | "FieldMask") => true,
        Some(_) => is_wrapper(message),
        None => false,
    }
}

pub(crate) fn is_wrapper(message: &MessageDescriptor) -> bool {
    let name = message.full_name();
    name.starts_with("google.protobuf.") && name.ends_with("Value") && {
        let mut fields = message.fields();
        fields.len() == 1 && fields.all(|field| field.name() == "value" && !field.is_list())
    }
}

/// Reads a value of the field, or an element of a list; none if the text is not what is [`wanted`].
pub(crate) fn read(field: &FieldDescriptor, text: &str) -> Option<Value> {
    Some(match field.kind() {
        Kind::String => Value::String(text.to_owned()),
        Kind::Bool => Value::Bool(text.parse().ok()?),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(text.parse().ok()?),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(text.parse().ok()?),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(text.parse().ok()?),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(text.parse().ok()?),
        Kind::Float => {
            let value = float(text)?;
            let narrow = value as f32;
            if narrow.is_infinite() && value.is_finite() {
                return None;
            }
            Value::F32(narrow)
        }
        Kind::Double => Value::F64(float(text)?),
        Kind::Bytes => {
            let bytes = STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text));
            Value::Bytes(bytes.ok()?.into())
        }
        Kind::Enum(known) => Value::EnumNumber(enum_number(&known, text)?),
        Kind::Message(message) => Value::Message(simple(&message, text)?),
    })
}

/// What a field's value must be, or an element of its list: the rest of a sentence that the field begins.
///
/// It is all that is said of a value that cannot be read. What a reader says of it repeats the value, which
/// may be a secret.
pub(crate) fn wanted(field: &FieldDescriptor) -> Cow<'static, str> {
    Cow::Borrowed(match field.kind() {
        Kind::String => "must be a text",
        Kind::Bool => "must be true or false",
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => "must be a whole number of 32 bits",
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => "must be a whole number of 64 bits",
        Kind::Uint32 | Kind::Fixed32 => "must be a whole number of 32 bits, not negative",
        Kind::Uint64 | Kind::Fixed64 => "must be a whole number of 64 bits, not negative",
        Kind::Float => "must be a number that 32 bits can hold, NaN, Infinity or -Infinity",
        Kind::Double => "must be a number, NaN, Infinity or -Infinity",
        Kind::Bytes => "must be base64",
        Kind::Enum(known) => {
            return format!("must be the name or number of a value of {}", known.name()).into();
        }
        Kind::Message(message) if is_simple(&message) => match message.name() {
            "Timestamp" => "must be a time such as 2026-11-23T08:00:00Z",
            "Duration" => "must be seconds such as 1.5s",
            "FieldMask" => "must be names of fields with commas between them",
            // A wrapper is written as what is in it.
            _ => match message.get_field_by_name("value") {
                Some(value) => return wanted(&value),
                None => "must be a value",
            },
        },
        Kind::Message(message) => return format!("must be a {}", message.name()).into(),
    })
}

fn float(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        // What Rust reads besides, such as `inf`, is no number in JSON.
        _ if text.contains(|c: char| c.is_ascii_alphabetic() && !matches!(c, 'e' | 'E')) => None,
        _ => text.parse().ok().filter(|value: &f64| value.is_finite()),
    }
}

fn enum_number(known: &EnumDescriptor, text: &str) -> Option<i32> {
    let by_name = known.get_value_by_name(text).map(|value| value.number());
    by_name.or_else(|| text.parse().ok())
}

fn simple(message: &MessageDescriptor, text: &str) -> Option<DynamicMessage> {
    if is_wrapper(message) {
        let field = message.get_field_by_name("value")?;
        let mut wrapped = DynamicMessage::new(message.clone());
        wrapped.set_field(&field, read(&field, text)?);
        return Some(wrapped);
    }
    // A mask is often written as the contract spells it.
    let text = match message.name() {
        "FieldMask" => camel(text),
        "Timestamp" | "Duration" => text.to_owned(),
        _ => return None,
    };
    DynamicMessage::deserialize(message.clone(), json!(text)).ok()
}

fn camel(text: &str) -> String {
    let mut camel = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '_' => camel.extend(characters.next().map(|c| c.to_ascii_uppercase())),
            _ => camel.push(c),
        }
    }
    camel
}
