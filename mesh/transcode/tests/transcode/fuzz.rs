//! What strangers send: what was kept in `corpus/`, and what comes of changing it (`mesh_testkit::fuzz`).

use http::Method;
use mesh_testkit::fuzz::{Target, fuzz};
use mesh_transcode::{Binding, Refusal, Template};
use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde_json::Value;

use crate::support::shelves;

const TEMPLATES: Target<'_> = Target {
    corpus: "tests/transcode/corpus/templates",
    words: &["{name=shelves/*}", "{a.b=**}", "/**", "/*", ":verb", "{a}"],
};
const REQUESTS: Target<'_> = Target {
    corpus: "tests/transcode/corpus/requests",
    words: &["author.given_name=", "formats=", "notes.a=", "read_mask=", "%2F", "?", "&", "NaN"],
};
const BODIES: Target<'_> = Target {
    corpus: "tests/transcode/corpus/bodies",
    words: &[
        "\"book\":",
        "\"tags\":[",
        "\"printed\":\"",
        "\"notes\":{",
        "null",
        "1e999",
        "\\ud83d",
    ],
};
const MESSAGES: Target<'_> = Target {
    corpus: "tests/transcode/corpus/messages",
    words: &["\x0a\x00", "\x32\x04\x0a\x00\x12\x00", "\x3a\x02\x08\x01", "\x5a\x0b\x08"],
};
/// Deeper than any stack.
const DEPTH: usize = 1_000_000;
/// Where a book is put.
const PUT: &str = "/v1/shelves/5/books/7";

fn binding(rpc: &str) -> &'static Binding {
    shelves().bindings().iter().find(|it| it.rpc().name() == rpc).unwrap()
}

/// Whatever is refused is the client's fault, and says what is wrong. Returns the reasons.
fn clear(refusal: &Refusal) -> Result<String, String> {
    let status = refusal.http_status().as_u16();
    let mut reasons = status.to_string();
    if !(400..500).contains(&status) {
        return Err(format!("{refusal:?} is nobody's fault"));
    }
    if let Refusal::Invalid(invalid) = refusal {
        for violation in &invalid.0 {
            if violation.field.is_empty() || violation.description.is_empty() {
                return Err(format!("{refusal:?} does not say what is wrong"));
            }
            reasons = format!("{reasons} {}", violation.reason);
        }
        if invalid.0.is_empty() {
            return Err(format!("{refusal:?} blames nothing"));
        }
    }
    Ok(reasons)
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, one: &T, other: &T) -> Result<(), String> {
    if one == other { Ok(()) } else { Err(format!("{what}: {one:?}, and not {other:?}")) }
}

/// A message as JSON: as bytes the order of a map's entries is anybody's, and NaN is not equal to itself.
fn shown(message: &DynamicMessage) -> Result<Value, String> {
    serde_json::to_value(message).map_err(|error| format!("it cannot be shown: {error}"))
}

/// The message is the same after it was written and read as protobuf.
fn travels(message: &DynamicMessage) -> Result<(), String> {
    let bytes = message.encode_to_vec();
    let again = DynamicMessage::decode(message_type(message), &bytes[..]);
    let again = again.map_err(|error| format!("what was written cannot be read: {error}"))?;
    equal("as protobuf", &shown(&again)?, &shown(message)?)
}

fn message_type(message: &DynamicMessage) -> MessageDescriptor {
    use prost_reflect::ReflectMessage as _;
    message.descriptor()
}

/// A book is the same after it was written as JSON and read from it.
fn is_put(book: DynamicMessage) -> Result<(), String> {
    let update = binding("UpdateBook");
    let mut answer = DynamicMessage::new(update.rpc().output());
    answer.set_field_by_name("book", prost_reflect::Value::Message(book));
    let json = update.answer(&answer).map_err(|error| format!("not written: {error:?}"))?;
    let body = [b"{\"book\":", &json[..], b"}"].concat();
    let again = shelves().route(&Method::PUT, PUT).unwrap().request(None, &body);
    let again = again.map_err(|refusal| format!("what was written is refused: {refusal:?}"))?;
    let read = again.get_field_by_name("book").unwrap().into_owned();
    let book = answer.get_field_by_name("book").unwrap().into_owned();
    let of = |value: &prost_reflect::Value| shown(value.as_message().unwrap());
    equal("as JSON", &of(&read)?, &of(&book)?)
}

#[test]
fn a_template_is_read_as_it_is_written_or_refused() {
    fuzz(&TEMPLATES, |input| {
        let text = String::from_utf8_lossy(input);
        match text.parse::<Template>() {
            Ok(template) => {
                let again = template.to_string().parse::<Template>();
                equal("written", &again.as_ref(), &Ok(&template))?;
                let ends = template.variables().iter().map(|it| it.segments.end);
                let is_inside = ends.max() <= Some(template.segments().len());
                equal("inside", &is_inside, &true)?;
                Ok(format!("{} {}", template.segments().len(), template.variables().len()))
            }
            Err(error) if error.to_string().contains("at character") => {
                let error = error.to_string();
                Ok(error.split(", at").next().unwrap_or_default().to_owned())
            }
            Err(error) => Err(format!("it is not said where: {error}")),
        }
    });
}

#[test]
fn a_request_becomes_a_message_that_travels_or_is_refused() {
    fuzz(&REQUESTS, |input| {
        let text = String::from_utf8_lossy(input);
        let (method, target) = text.split_once(' ').unwrap_or(("GET", &text));
        let method = Method::from_bytes(method.as_bytes()).unwrap_or(Method::GET);
        let (path, query) = target.split_once('?').map_or((target, None), |(p, q)| (p, Some(q)));
        match shelves().route(&method, path).and_then(|route| route.request(query, b"")) {
            Ok(message) => {
                travels(&message)?;
                let fields: Vec<_> = message.fields().map(|(field, _)| field.number()).collect();
                Ok(format!("{} {fields:?}", message_type(&message).name()))
            }
            Err(refusal) => clear(&refusal),
        }
    });
}

#[test]
fn a_body_is_the_same_after_it_was_read_and_written() {
    fuzz(&BODIES, |input| {
        let route = shelves().route(&Method::PUT, PUT).unwrap();
        let message = match route.request(None, input) {
            Ok(message) => message,
            Err(refusal) => return clear(&refusal),
        };
        travels(&message)?;
        let book = message.get_field_by_name("book").unwrap().into_owned();
        let book = book.as_message().unwrap().clone();
        let fields: Vec<_> = book.fields().map(|(field, _)| field.number()).collect();
        is_put(book)?;
        Ok(format!("{fields:?}"))
    });
}

#[test]
fn whatever_a_service_sends_becomes_json_and_the_same_again_or_an_error() {
    let book = binding("UpdateBook").rpc().output().get_field_by_name("book").unwrap();
    let prost_reflect::Kind::Message(book) = book.kind() else { panic!("a book is a message") };
    fuzz(&MESSAGES, |input| {
        let Ok(message) = DynamicMessage::decode(book.clone(), input) else {
            return Ok("no message".to_owned());
        };
        let fields: Vec<_> = message.fields().map(|(field, _)| field.number()).collect();
        // What no JSON can say is an error, such as a time in the year 10000.
        if serde_json::to_value(&message).is_err() {
            return Ok(format!("not shown {fields:?}"));
        }
        is_put(message)?;
        Ok(format!("{fields:?}"))
    });
}

#[test]
fn nothing_is_too_deep() {
    let route = shelves().route(&Method::PUT, PUT).unwrap();
    for open in ["[", "{\"book\":", "{\"book\":{\"author\":", "{\"x\":[", "{\"book\":{\"tags\":["] {
        let refusal = route.request(None, open.repeat(DEPTH).as_bytes()).unwrap_err();
        assert!(matches!(refusal, Refusal::Invalid(_)), "{open}: {refusal:?}");
    }
}

#[test]
fn some_of_what_is_kept_can_be_and_some_cannot() {
    let templates = include_str!("corpus/templates.txt");
    let reads = |line: &str| line.parse::<Template>().is_ok();
    assert_eq!(templates.lines().filter(|line| reads(line)).count(), 7);
    let bodies = include_str!("corpus/bodies.txt");
    let route = shelves().route(&Method::PUT, PUT).unwrap();
    let reads = |line: &str| route.request(None, line.as_bytes()).is_ok();
    assert!((3..bodies.lines().count()).contains(&bodies.lines().filter(|it| reads(it)).count()));
}
