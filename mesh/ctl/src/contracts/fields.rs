//! Fields by their paths: how they are on the wire, and what became of one.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

/// How the field at `path` (`charge.captured.units`) is on the wire: `1.5.2 int64`, with `[]` behind the
/// number of each list. None if there is no such field.
pub fn describe(message: &MessageDescriptor, path: &str) -> Option<String> {
    let mut message = message.clone();
    let mut numbers = Vec::new();
    let mut names = path.split('.').peekable();
    loop {
        let field = message.get_field_by_name(names.next()?)?;
        numbers.push(number(&field));
        let Some(_) = names.peek() else {
            return Some(format!("{} {:?}", numbers.join("."), field.kind()));
        };
        message = inner(&field)?;
    }
}

/// What became of a field that was on the wire as `was`; none if it is as it was.
pub(super) fn change(message: &MessageDescriptor, path: &str, was: &str) -> Option<String> {
    let Some((numbers, kind)) = was.split_once(' ') else {
        return Some(format!("is recorded as `{was}`, which says nothing"));
    };
    let mut message = message.clone();
    let mut at = String::new();
    let mut steps = path.split('.').zip(numbers.split('.')).peekable();
    while let Some((name, recorded)) = steps.next() {
        if !at.is_empty() {
            at.push('.');
        }
        at.push_str(name);
        let Some(field) = message.get_field_by_name(name) else {
            return Some(gone(&message, &at, recorded, steps.peek().is_none().then_some(kind)));
        };
        let is = number(&field);
        if is != recorded {
            return Some(format!("{at} has number {is}, not {recorded}"));
        }
        if steps.peek().is_none() {
            let is = format!("{:?}", field.kind());
            return (is != kind).then(|| format!("{at} is {is}, not {kind}"));
        }
        match inner(&field) {
            Some(inner) => message = inner,
            None => return Some(format!("{at} is {:?}, and no message", field.kind())),
        }
    }
    None
}

/// A field that has its number, and if it is known its type, has another name now.
fn gone(message: &MessageDescriptor, at: &str, recorded: &str, kind: Option<&str>) -> String {
    let heirs = message.fields().filter(|field| number(field) == recorded);
    let mut heirs =
        heirs.filter(|field| kind.is_none_or(|kind| format!("{:?}", field.kind()) == kind));
    match heirs.next() {
        Some(heir) => format!("{at} is called {} now", heir.name()),
        None => format!("{at} is gone"),
    }
}

fn number(field: &FieldDescriptor) -> String {
    let list = if field.is_list() { "[]" } else { "" };
    format!("{}{list}", field.number())
}

fn inner(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    match field.kind() {
        Kind::Message(message) => Some(message),
        _ => None,
    }
}
