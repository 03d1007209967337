//! What can be wrong with a request, by its descriptor.

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage as _, Value};

use super::bounds;

/// Longer than any text that anybody takes.
const LONG: usize = 100_000;
/// More than any list may hold.
const MANY: usize = 10_000;
/// A field that no contract will ever have.
const NOBODYS: u64 = 18_999;

/// A request that differs from a good one in one field.
#[derive(Clone, Debug)]
pub struct Variant {
    /// Path of the field, as answers name it: `lines[0].sku`.
    pub field: String,
    /// What was done to it.
    pub what: &'static str,
    /// True if nobody may accept it.
    pub wrong: bool,
    pub request: DynamicMessage,
}

impl Variant {
    /// True if another field decides which of the values that the contract names may be.
    pub fn depends(&self) -> bool {
        let of = self.request.descriptor();
        DEPENDENT.contains(&(of.full_name(), self.field.as_str()))
    }
}

/// What may leave the shelf is not what may come to it: the reason says which.
const DEPENDENT: [(&str, &str); 1] = [("shop.inventory.v1.AdjustStockRequest", "quantity")];

/// A good request with each of its fields missing, empty, oversized, of a wrong form and beyond its
/// bounds, one at a time.
pub fn variants(good: &DynamicMessage) -> Vec<Variant> {
    let mut found = Vec::new();
    visit(good, "", &mut |field, what, wrong, request| {
        found.push(Variant { field, what, wrong, request });
    });
    found
}

/// A good request of which every message carries a field that its receiver does not know.
pub fn with_foreign_fields(good: &DynamicMessage) -> Bytes {
    let mut whole = good.clone();
    for (field, value) in good.fields() {
        let inside = |value: &Value| match value {
            Value::Message(inner) => {
                let bytes = with_foreign_fields(inner);
                Value::Message(DynamicMessage::decode(inner.descriptor(), bytes).unwrap())
            }
            other => other.clone(),
        };
        match value {
            Value::List(all) => {
                whole.set_field(&field, Value::List(all.iter().map(inside).collect()));
            }
            one => whole.set_field(&field, inside(one)),
        }
    }
    let mut bytes = whole.encode_to_vec();
    prost::encoding::encode_varint(NOBODYS << 3, &mut bytes);
    prost::encoding::encode_varint(7, &mut bytes);
    bytes.into()
}

type Found<'f> = &'f mut dyn FnMut(String, &'static str, bool, DynamicMessage);

fn visit(message: &DynamicMessage, prefix: &str, found: Found<'_>) {
    for field in message.descriptor().fields() {
        let path = format!("{prefix}{}", field.name());
        let mut with = |what, wrong, value: Option<Value>| {
            let mut changed = message.clone();
            match value {
                Some(value) => changed.set_field(&field, value),
                None => changed.clear_field(&field),
            }
            found(path.clone(), what, wrong, changed);
        };
        with("missing", field.name() == "request_id", None);
        let value = message.get_field(&field).into_owned();
        if field.is_list() {
            let Value::List(elements) = &value else { continue };
            let Some(element) = elements.first() else { continue };
            with("oversized", true, Some(Value::List(vec![element.clone(); MANY])));
            for (what, wrong, value) in bounds::list(&field, element) {
                with(what, wrong, Some(value));
            }
            each_element(message, &field, elements, &path, found);
        } else if let Value::Message(inner) = &value {
            if message.has_field(&field) {
                visit(inner, &format!("{path}."), &mut |deep, what, wrong, inner| {
                    let mut changed = message.clone();
                    changed.set_field(&field, Value::Message(inner));
                    found(deep, what, wrong, changed);
                });
            }
        } else {
            for (what, wrong, value) in
                scalars(&field, &path).into_iter().chain(bounds::scalars(&field))
            {
                with(what, wrong, Some(value));
            }
        }
    }
}

fn each_element(
    message: &DynamicMessage,
    field: &FieldDescriptor,
    elements: &[Value],
    path: &str,
    found: Found<'_>,
) {
    let mut with = |deep: String, what, wrong, value| {
        let mut changed = message.clone();
        let mut elements = elements.to_vec();
        elements[0] = value;
        changed.set_field(field, Value::List(elements));
        found(deep, what, wrong, changed);
    };
    match &elements[0] {
        Value::Message(inner) => {
            visit(inner, &format!("{path}[0]."), &mut |deep, what, wrong, inner| {
                with(deep, what, wrong, Value::Message(inner));
            });
        }
        _ => {
            for (what, wrong, value) in scalars(field, path) {
                with(format!("{path}[0]"), what, wrong, value);
            }
        }
    }
}

/// Values that a field of this kind may not take, or that stand at the edge of what it may.
fn scalars(field: &FieldDescriptor, path: &str) -> Vec<(&'static str, bool, Value)> {
    let text = |text: &str| Value::String(text.to_owned());
    let is_id = field.name().ends_with("_id");
    let bounded = !MAY_BE_ANY.contains(&path) && !MAY_BE_ANY.contains(&field.name());
    match field.kind() {
        Kind::String => vec![
            ("empty", field.name() == "request_id", text("")),
            ("oversized", true, text(&"x".repeat(LONG))),
            ("of a wrong form (NUL)", true, text("a\0b")),
            ("of a wrong form", is_id || OPAQUE.contains(&field.name()), text("no such thing")),
        ],
        Kind::Bytes => vec![("oversized", true, Value::Bytes(vec![7; LONG].into()))],
        Kind::Enum(_) => {
            vec![
                ("unspecified", false, Value::EnumNumber(0)),
                ("unknown", true, Value::EnumNumber(9_999)),
            ]
        }
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => vec![
            ("zero", false, Value::I32(0)),
            ("below its bounds", bounded, Value::I32(i32::MIN)),
            ("above its bounds", bounded && field.name() != "page_size", Value::I32(i32::MAX)),
        ],
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => vec![
            ("zero", false, Value::I64(0)),
            ("below its bounds", bounded, Value::I64(i64::MIN)),
            ("above its bounds", bounded, Value::I64(i64::MAX)),
        ],
        Kind::Uint32 | Kind::Fixed32 => vec![("above its bounds", bounded, Value::U32(u32::MAX))],
        Kind::Uint64 | Kind::Fixed64 => vec![("above its bounds", bounded, Value::U64(u64::MAX))],
        Kind::Double => vec![
            ("no number", true, Value::F64(f64::NAN)),
            ("infinite", true, Value::F64(f64::INFINITY)),
            ("above its bounds", bounded, Value::F64(1e300)),
        ],
        Kind::Float => vec![
            ("no number", true, Value::F32(f32::NAN)),
            ("above its bounds", bounded, Value::F32(1e30)),
        ],
        Kind::Bool | Kind::Message(_) => vec![],
    }
}

/// Texts that only their maker understands.
const OPAQUE: [&str; 3] = ["page_token", "etag", "cart_etag"];

/// Numbers of which every value means something.
const MAY_BE_ANY: [&str; 0] = [];
