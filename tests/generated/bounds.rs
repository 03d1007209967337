//! Values at the bounds that a contract's comments name, and one beyond them: `1 to 200 characters`,
//! `1 to 40 of A-Z, 0-9 and '-'`, `-90 to 90`, `1 to 100, each SKU once`.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage as _, Value};

/// What is done to a field, whether nobody may accept it, and the value.
pub type Edge = (&'static str, bool, Value);

/// How every value begins that must not be refused for its size.
pub const AT: &str = "at its";
const LOWEST: &str = "at its lower bound";
const HIGHEST: &str = "at its upper bound";
const BELOW: &str = "one below its bounds";
const BLANK: &str = "a blank";
const ABOVE: &str = "one above its bounds";

/// The first bounds that a field's comment names, and the words after them.
struct Bounds {
    /// None of `at most 100`.
    low: Option<i64>,
    high: i64,
    of: String,
    /// What is counted, if it is `of` something.
    what: String,
    /// True if 0 stands for another value, as in `1 to 9; 5 if 0`.
    zero: bool,
}

impl Bounds {
    fn read(field: &FieldDescriptor) -> Option<Self> {
        let text = comment(field);
        let words: Vec<&str> = text.split_whitespace().collect();
        let word = |n: usize| words.get(n).copied().unwrap_or_default().to_owned();
        let (n, low, high) = words.windows(3).enumerate().find_map(|(n, three)| {
            let high = number(three[2])?;
            match three[..2] {
                ["At" | "at", "most"] => Some((n, None, high)),
                [low, "to"] => Some((n, Some(number(low)?), high)),
                _ => None,
            }
        })?;
        // A bound that ends a clause counts nothing.
        let ends = words[n + 2].ends_with([',', '.', ';', ':']);
        let of = if ends { String::new() } else { word(n + 3) };
        Some(Self { low, high, of, what: word(n + 4), zero: text.contains("if 0") })
    }
}

fn number(word: &str) -> Option<i64> {
    word.trim_end_matches([',', '.', ';', ':']).replace(',', "").parse().ok()
}

fn comment(field: &FieldDescriptor) -> String {
    let file = field.parent_message().parent_file();
    let info = file.file_descriptor_proto().source_code_info.clone().unwrap_or_default();
    let found = info.location.into_iter().find(|location| location.path == field.path());
    found.map(|location| location.leading_comments().to_owned()).unwrap_or_default()
}

/// What a scalar may just be, and what it may just not be.
pub fn scalars(field: &FieldDescriptor) -> Vec<Edge> {
    let Some(bounds) = Bounds::read(field) else { return Vec::new() };
    let whole = |of: fn(i64) -> Value| {
        let low =
            bounds.low.map(|low| [(BELOW, !bounds.zero, of(low - 1)), (LOWEST, false, of(low))]);
        let high =
            [(HIGHEST, false, of(bounds.high)), (ABOVE, !is_cut(field), of(bounds.high + 1))];
        low.into_iter().flatten().chain(high).collect()
    };
    match field.kind() {
        Kind::String => text(&bounds),
        Kind::Int32 => whole(|value| Value::I32(i32::try_from(value).unwrap())),
        Kind::Int64 => whole(Value::I64),
        Kind::Double => whole(|value| Value::F64(f64::from(i32::try_from(value).unwrap()))),
        _ => Vec::new(),
    }
}

/// A page may be smaller than somebody asks for.
fn is_cut(field: &FieldDescriptor) -> bool {
    field.name() == "page_size"
}

fn text(bounds: &Bounds) -> Vec<Edge> {
    let letter = match (bounds.of.trim_end_matches(['.', ',', ';']), bounds.what.as_str()) {
        ("characters", _) => "x",
        ("of", "A-Z,") => "A",
        ("of", "a-z,") => "a",
        _ => return Vec::new(),
    };
    let of = |length: i64| Value::String(letter.repeat(usize::try_from(length).unwrap()));
    let mut edges = vec![(HIGHEST, false, of(bounds.high)), (ABOVE, true, of(bounds.high + 1))];
    if bounds.low == Some(1) {
        edges.push((BELOW, true, of(0)));
        edges.push((BLANK, true, Value::String(" ".to_owned())));
    }
    edges
}

/// A list with as many elements as it may have, and with one more; no two are about the same.
pub fn list(field: &FieldDescriptor, element: &Value) -> Vec<Edge> {
    let Some(bounds) = Bounds::read(field) else { return Vec::new() };
    let of = |count: i64| Value::List((0..count).filter_map(|n| other(element, n)).collect());
    match other(element, 0) {
        Some(_) => vec![(HIGHEST, false, of(bounds.high)), (ABOVE, true, of(bounds.high + 1))],
        None => Vec::new(),
    }
}

/// The element about something else; none if nothing tells one from another.
fn other(element: &Value, n: i64) -> Option<Value> {
    match element {
        Value::String(_) => Some(Value::String(format!("N-{n}"))),
        Value::Message(message) => {
            let mut other: DynamicMessage = message.clone();
            let sku = message.descriptor().get_field_by_name("sku")?;
            other.set_field(&sku, Value::String(format!("N-{n}")));
            Some(Value::Message(other))
        }
        _ => None,
    }
}
