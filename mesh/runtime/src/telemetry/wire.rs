//! Protocol Buffers' wire format, as far as spans need it. What is written is appended, so that a span
//! has become its message when it ends.

use std::borrow::Cow;

/// What a field's value is: a varint, a fixed number, or so many bytes as it says.
const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const BYTES: u32 = 2;
const FIXED32: u32 = 5;

/// A field's value, as spans have them (`opentelemetry.proto.common.v1.AnyValue`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Text(&'a str),
    Bool(bool),
    Int(i64),
    Double(f64),
}

pub(super) fn varint(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

pub(super) const fn varint_len(number: u64) -> usize {
    // Seven bits to a byte, and one byte for 0.
    ((64 - (number | 1).leading_zeros() as usize) * 9 + 64) / 64
}

fn tag(to: &mut Vec<u8>, field: u32, kind: u32) {
    varint(to, u64::from(field << 3 | kind));
}

const fn tag_len(field: u32) -> usize {
    varint_len((field << 3) as u64)
}

/// A number that is left out if it is 0, which is what is read then.
pub(super) fn number(to: &mut Vec<u8>, field: u32, number: u64) {
    if number != 0 {
        tag(to, field, VARINT);
        varint(to, number);
    }
}

pub(super) fn fixed64(to: &mut Vec<u8>, field: u32, number: u64) {
    tag(to, field, FIXED64);
    to.extend_from_slice(&number.to_le_bytes());
}

pub(super) fn fixed32(to: &mut Vec<u8>, field: u32, number: u32) {
    tag(to, field, FIXED32);
    to.extend_from_slice(&number.to_le_bytes());
}

pub(super) fn bytes(to: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    header(to, field, bytes.len());
    to.extend_from_slice(bytes);
}

/// What comes before a message, a text or bytes of this length.
pub(super) fn header(to: &mut Vec<u8>, field: u32, len: usize) {
    tag(to, field, BYTES);
    varint(to, len as u64);
}

/// How long a field with so many bytes is altogether.
pub(super) const fn bytes_len(field: u32, len: usize) -> usize {
    tag_len(field) + varint_len(len as u64) + len
}

/// An attribute: a `KeyValue` in this field of another message.
pub(super) fn attribute(to: &mut Vec<u8>, field: u32, key: &str, value: Value<'_>) {
    const KEY: u32 = 1;
    const VALUE: u32 = 2;
    let inner = value.len();
    header(to, field, bytes_len(KEY, key.len()) + bytes_len(VALUE, inner));
    bytes(to, KEY, key.as_bytes());
    header(to, VALUE, inner);
    value.write(to);
}

impl<'a> Value<'a> {
    /// The nanoseconds since 1970 that it counts.
    pub(super) fn time(self) -> Option<u64> {
        match self {
            Self::Int(number) => number.try_into().ok(),
            _ => None,
        }
    }

    fn len(self) -> usize {
        match self {
            Self::Text(text) => bytes_len(1, text.len()),
            Self::Bool(_) => tag_len(2) + 1,
            Self::Int(number) => tag_len(3) + varint_len(number as u64),
            Self::Double(_) => tag_len(4) + 8,
        }
    }

    /// One of several has to be told even if it is nothing.
    fn write(self, to: &mut Vec<u8>) {
        match self {
            Self::Text(text) => bytes(to, 1, text.as_bytes()),
            Self::Bool(it) => {
                tag(to, 2, VARINT);
                to.push(u8::from(it));
            }
            Self::Int(number) => {
                tag(to, 3, VARINT);
                varint(to, number as u64);
            }
            Self::Double(number) => fixed64(to, 4, number.to_bits()),
        }
    }

    /// As a text, for what is called by a field.
    pub(super) fn text(self) -> Cow<'a, str> {
        match self {
            Self::Text(text) => text.into(),
            Self::Bool(it) => it.to_string().into(),
            Self::Int(number) => number.to_string().into(),
            Self::Double(number) => number.to_string().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_varints_length_is_what_it_takes() {
        for bits in 0..64 {
            for number in [1_u64 << bits, (1 << bits) - 1, u64::MAX >> bits] {
                let mut written = Vec::new();
                varint(&mut written, number);
                assert_eq!(written.len(), varint_len(number), "{number}");
            }
        }
    }

    #[test]
    fn an_attribute_is_as_long_as_it_says() {
        let long = "x".repeat(200);
        for value in [
            Value::Text(""),
            Value::Text(&long),
            Value::Bool(false),
            Value::Int(-1),
            Value::Int(i64::MAX),
            Value::Double(0.5),
        ] {
            let mut written = Vec::new();
            attribute(&mut written, 9, "key", value);
            let (said, from) = match written[1] {
                short @ ..0x80 => (usize::from(short), 2),
                low => (usize::from(low & 0x7f) | usize::from(written[2]) << 7, 3),
            };
            assert_eq!((written[0], written.len() - from), (9 << 3 | 2, said), "{value:?}");
        }
    }
}
